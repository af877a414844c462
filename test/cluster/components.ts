/** The programs of one node and their arguments, in the order in which they start. */

import { pkiFolder } from "./certificates.ts";
import { nodeFiles } from "./node-files.ts";
import type { ClusterPlan, NodePlan } from "./plan.ts";

/** The API server's port on its node. */
export const API_PORT = 6443;

/** One program. */
export interface Component {
  readonly name: string;
  readonly command: readonly string[];
  /** Whether it starts once the API server is ready: before that it would only be refused. */
  readonly needsApi: boolean;
}

/** All programs of a node; `kubernetes` is the executable with the parts. */
export function componentsOf(plan: ClusterPlan, node: NodePlan, kubernetes: string): Component[] {
  const worker = [
    component("kubelet", kubernetes, true, kubeletFlags(node)),
    component("kube-proxy", kubernetes, true, proxyFlags(plan, node)),
  ];
  const runtime: Component = {
    name: "containerd",
    command: ["containerd", "--config", nodeFiles(node).containerd],
    needsApi: false,
  };
  if (!node.isControlPlane) return [runtime, ...worker];
  return [
    runtime,
    component("etcd", kubernetes, false, etcdFlags()),
    component("kube-apiserver", kubernetes, false, apiServerFlags(plan, node)),
    component("kube-controller-manager", kubernetes, true, controllerManagerFlags(plan, node)),
    component("kube-scheduler", kubernetes, true, {
      kubeconfig: kubeconfigOf(node, "scheduler"),
      "leader-elect": "false",
    }),
    ...worker,
  ];
}

/** Who logs in on a node, and with which certificate: the name of the kubeconfig and of the files. */
export function loginsOf(node: NodePlan): Readonly<Record<string, string>> {
  const worker = { kubelet: `kubelet-${node.name}`, proxy: "proxy" };
  if (!node.isControlPlane) return worker;
  return { ...worker, "controller-manager": "controller-manager", scheduler: "scheduler" };
}

/** The kubeconfig of one login of a node. */
export function kubeconfigOf(node: NodePlan, login: string): string {
  return `${nodeFiles(node).kubeconfigs}/${login}`;
}

type Flags = Readonly<Record<string, string>>;

function component(name: string, program: string, needsApi: boolean, flags: Flags): Component {
  const words = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  return { name, command: [program, name, ...words], needsApi };
}

function etcdFlags(): Flags {
  return {
    // In memory: it is gone with the node, and no disk is waited for.
    "data-dir": "/run/etcd",
    "unsafe-no-fsync": "true",
    "log-level": "warn",
    "listen-client-urls": "http://127.0.0.1:2379",
    "advertise-client-urls": "http://127.0.0.1:2379",
    "listen-peer-urls": "http://127.0.0.1:2380",
  };
}

function apiServerFlags(plan: ClusterPlan, node: NodePlan): Flags {
  const pki = pkiFolder(plan);
  return {
    "etcd-servers": "http://127.0.0.1:2379",
    "advertise-address": node.ip,
    "secure-port": `${API_PORT}`,
    "service-cluster-ip-range": plan.serviceNetworks.join(","),
    "authorization-mode": "Node,RBAC",
    "enable-admission-plugins": "NodeRestriction",
    "allow-privileged": "true",
    "client-ca-file": `${pki}/ca.crt`,
    "tls-cert-file": `${pki}/apiserver.crt`,
    "tls-private-key-file": `${pki}/apiserver.key`,
    "kubelet-client-certificate": `${pki}/admin.crt`,
    "kubelet-client-key": `${pki}/admin.key`,
    "kubelet-preferred-address-types": "InternalIP",
    "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
    "service-account-key-file": `${pki}/accounts.pub`,
    "service-account-signing-key-file": `${pki}/accounts.key`,
    // Aggregated API servers are told who asks by these.
    "requestheader-client-ca-file": `${pki}/ca.crt`,
    "requestheader-allowed-names": "front-proxy",
    "requestheader-username-headers": "X-Remote-User",
    "requestheader-group-headers": "X-Remote-Group",
    "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    "proxy-client-cert-file": `${pki}/front-proxy.crt`,
    "proxy-client-key-file": `${pki}/front-proxy.key`,
  };
}

function controllerManagerFlags(plan: ClusterPlan, node: NodePlan): Flags {
  const pki = pkiFolder(plan);
  return {
    kubeconfig: kubeconfigOf(node, "controller-manager"),
    "leader-elect": "false",
    "service-account-private-key-file": `${pki}/accounts.key`,
    "root-ca-file": `${pki}/ca.crt`,
    "cluster-signing-cert-file": `${pki}/ca.crt`,
    "cluster-signing-key-file": `${pki}/ca.key`,
    "use-service-account-credentials": "true",
    "flex-volume-plugin-dir": "/var/lib/kubelet/volume-plugins",
    // Each controller has a client that holds itself back; at the start that costs seconds.
    "kube-api-qps": "200",
    "kube-api-burst": "300",
  };
}

function kubeletFlags(node: NodePlan): Flags {
  return {
    config: nodeFiles(node).kubelet,
    kubeconfig: kubeconfigOf(node, "kubelet"),
    "hostname-override": node.name,
    "node-ip": [node.ip, ...node.ip6 === undefined ? [] : [node.ip6]].join(","),
    "node-labels": `topology.kubernetes.io/region=test,topology.kubernetes.io/zone=${node.name}`,
  };
}

function proxyFlags(plan: ClusterPlan, node: NodePlan): Flags {
  return {
    kubeconfig: kubeconfigOf(node, "proxy"),
    "hostname-override": node.name,
    "proxy-mode": "iptables",
    "cluster-cidr": plan.podNetworks.join(","),
    // These limits belong to the whole machine and cannot be set from here.
    "conntrack-max-per-core": "0",
    "conntrack-tcp-timeout-established": "0s",
    "conntrack-tcp-timeout-close-wait": "0s",
  };
}
