/** An application of foreign programs: nginx behind a service, a client in the mesh, one outside of it. */

import { APPS_IMAGE } from "./mesh-world.ts";
import { deployment, job, namespace as namespaceOf } from "./workloads.ts";

/** The namespace of the application; its pods are injected. */
export const SHOP = "shop";
/** A path that no probe asks for: probes are admitted whatever the policy is. */
export const SHOP_URL = `http://web.${SHOP}:80/page`;

/** nginx tells who the mesh says that its client is. */
const nginx = (isDualStack: boolean) =>
  `daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 8080;
    listen 8081;
    ${isDualStack ? "listen [::]:8080;" : ""}
    location = /ready { if (-f /tmp/broken) { return 503; } return 200; }
    location / { return 200 "hello $http_l5d_client_id\\n"; }
  }
}
`;

const SECURITY = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  runAsUser: 1000,
  seccompProfile: { type: "RuntimeDefault" },
};

/** All objects of the application. */
export function shopObjects(): unknown[] {
  return [
    namespaceOf(SHOP, { "linkerd.io/inject": "enabled" }),
    nginxConfiguration(SHOP),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: SHOP },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] },
    },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "web", namespace: SHOP } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "client", namespace: SHOP } },
    webDeployment(),
    clientDeployment("client", SHOP),
    clientDeployment("stranger", "default"),
  ];
}

/**
 * The ConfigMap with nginx's configuration: it answers who the mesh says that its client is. nginx
 * listens for IPv6 where it is told to; it would not start where there is none.
 */
export function nginxConfiguration(namespace: string, isDualStack = false) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "nginx", namespace },
    data: { "nginx.conf": nginx(isDualStack) },
  };
}

/** A Job that asks the application once, from within the mesh. */
export function shopJob(name: string) {
  const command = ["curl", "-s", "-m", "10", SHOP_URL];
  return job(name, SHOP, {
    serviceAccountName: "client",
    containers: [{ name: "client", image: APPS_IMAGE, command }],
  });
}

function webDeployment() {
  const container = {
    name: "nginx",
    image: APPS_IMAGE,
    command: ["nginx", "-c", "/etc/nginx/nginx.conf"],
    ports: [{ name: "http", containerPort: 8080 }],
    readinessProbe: { httpGet: { path: "/ready", port: "http" }, periodSeconds: 1 },
    securityContext: SECURITY,
    volumeMounts: [{ name: "configuration", mountPath: "/etc/nginx" }],
  };
  const spread = {
    maxSkew: 1,
    topologyKey: "kubernetes.io/hostname",
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: { app: "web" } },
  };
  const spec = {
    serviceAccountName: "web",
    topologySpreadConstraints: [spread],
    containers: [container],
    volumes: [{ name: "configuration", configMap: { name: "nginx" } }],
  };
  return deployment("web", SHOP, spec, { replicas: 2 });
}

/** A pod that waits for commands; outside of the shop it has the namespace's usual account. */
export function clientDeployment(name: string, namespace: string) {
  return deployment(name, namespace, {
    ...(namespace === SHOP ? { serviceAccountName: name } : {}),
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "client",
        image: APPS_IMAGE,
        command: ["sleep", "1000000"],
        securityContext: SECURITY,
      },
    ],
  });
}
