/** The objects that run the cluster's name server. */

import { COREDNS_IMAGE } from "./node-files.ts";
import type { ClusterPlan } from "./plan.ts";

const NAME = "coredns";
const NAMESPACE = "kube-system";
const LABELS = { "k8s-app": "kube-dns" };

/** Answers for the cluster's own names only: there is no way out of a test cluster. */
const CONFIGURATION = `.:53 {
  errors
  health {
    lameduck 1s
  }
  ready
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    ttl 5
  }
  cache 5
}
`;

/** The objects, to be applied. */
export function corednsObjects(plan: ClusterPlan): unknown[] {
  const metadata = { name: NAME, namespace: NAMESPACE };
  const role = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: NAME };
  const rbac = "rbac.authorization.k8s.io/v1";
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    {
      apiVersion: rbac,
      kind: "ClusterRole",
      metadata: { name: NAME },
      rules: [
        {
          apiGroups: [""],
          resources: ["services", "pods", "namespaces"],
          verbs: ["list", "watch"],
        },
        {
          apiGroups: ["discovery.k8s.io"],
          resources: ["endpointslices"],
          verbs: ["list", "watch"],
        },
      ],
    },
    {
      apiVersion: rbac,
      kind: "ClusterRoleBinding",
      metadata: { name: NAME },
      roleRef: role,
      subjects: [{ kind: "ServiceAccount", ...metadata }],
    },
    { apiVersion: "v1", kind: "ConfigMap", metadata, data: { Corefile: CONFIGURATION } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: NAMESPACE },
      spec: {
        clusterIP: plan.dnsIp,
        selector: LABELS,
        ports: [
          { name: "dns", port: 53, protocol: "UDP" },
          { name: "dns-tcp", port: 53, protocol: "TCP" },
        ],
      },
    },
    { apiVersion: "apps/v1", kind: "Deployment", metadata, spec: deployment() },
  ];
}

function deployment() {
  const container = {
    name: NAME,
    image: COREDNS_IMAGE,
    args: ["-conf", "/etc/coredns/Corefile"],
    readinessProbe: { httpGet: { path: "/ready", port: 8181 }, periodSeconds: 1 },
    volumeMounts: [{ name: "configuration", mountPath: "/etc/coredns" }],
  };
  return {
    selector: { matchLabels: LABELS },
    template: {
      metadata: { labels: LABELS },
      spec: {
        serviceAccountName: NAME,
        dnsPolicy: "Default",
        containers: [container],
        volumes: [{ name: "configuration", configMap: { name: NAME } }],
      },
    },
  };
}
