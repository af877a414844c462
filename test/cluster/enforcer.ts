/**
 * Has a cluster's network policies enforced, which a plain network does not: by kube-network-policies of
 * Kubernetes' own project, in the network of each node. The kernel asks it for a verdict about the first
 * packet of each connection.
 *
 *     a connection's first packet ──iptables──▶ queue of the node ──▶ kube-network-policies: let it pass?
 */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Cluster } from "./cluster.ts";
import { goProgram, goProgramObstacle } from "../support/go-programs.ts";
import { loadProgramImage } from "./mesh-world.ts";
import { waitFor } from "./wait.ts";

const NAME = "kube-network-policies";
const PROGRAM = { name: NAME, version: "v0.8.0", main: "sigs.k8s.io/kube-network-policies/cmd" };
const IMAGE = "malla.test/enforcer:1";
const PATH = `/usr/bin/${NAME}`;
const PLACE = "kube-system";
const QUEUE = 100;
/** Each node's queues, a line for each that has somebody at its end. */
const QUEUES = "/proc/net/netfilter/nfnetlink_queue";

/**
 * What leads to the queue. The program would make these rules by nftables, and goes on when the kernel has
 * no queues for those. As in its own, what a node's own programs of root send passes, so that no kubelet is
 * shut out; every packet has its pods' addresses here.
 */
const RULES = [
  "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
  "-m owner --uid-owner 0 -j ACCEPT",
  `-j NFQUEUE --queue-num ${QUEUE}`,
].map((rule) => `iptables -w -t mangle -A POSTROUTING ${rule}`.split(" "));

/** Why nobody can enforce policies here, or null. */
export function enforcerObstacle(): string | null {
  for (const rule of RULES) {
    const { status, stderr } = spawnSync("unshare", ["--net", ...rule], { encoding: "utf8" });
    if (status !== 0) return `network policies need a kernel with queues: ${stderr.trim()}`;
  }
  return goProgramObstacle(PROGRAM);
}

/** Starts it on all nodes; resolves when they enforce. It ends with the cluster. */
export async function enforceNetworkPolicies(cluster: Cluster): Promise<void> {
  const content = readFileSync(await goProgram(PROGRAM));
  const entries = [{ kind: "file", path: PATH, content, mode: 0o755 }] as const;
  await loadProgramImage(cluster, { name: IMAGE, programs: [], entries, entrypoint: [PATH] });
  await cluster.apply(enforcerObjects());
  for (const node of cluster.nodes) {
    // Until it listens, the kernel drops what is queued.
    await waitFor(`the enforcer of ${node}`, async () => {
      const { stdout } = await cluster.inNode(node, ["cat", QUEUES]);
      return stdout.split("\n").some((line) => Number.parseInt(line) === QUEUE);
    });
    for (const rule of RULES) {
      const { code, stderr } = await cluster.inNode(node, rule);
      if (code !== 0) throw new Error(`${rule.join(" ")} in ${node}: ${stderr}`);
    }
  }
}

function enforcerObjects(): unknown[] {
  const metadata = { name: NAME, namespace: PLACE };
  const labels = { app: NAME };
  const read = ["get", "list", "watch"];
  const node = { fieldRef: { fieldPath: "spec.nodeName" } };
  const container = {
    name: "enforcer",
    image: IMAGE,
    args: [`--nfqueue-id=${QUEUE}`, "--hostname-override=$(NODE)"],
    env: [{ name: "NODE", valueFrom: node }],
    securityContext: { capabilities: { add: ["NET_ADMIN"] } },
  };
  const spec = {
    serviceAccountName: NAME,
    hostNetwork: true,
    tolerations: [{ operator: "Exists" }],
    containers: [container],
  };
  const rbac = "rbac.authorization.k8s.io";
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRole",
      metadata,
      rules: [
        { apiGroups: [""], resources: ["pods", "namespaces"], verbs: read },
        { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: read },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata,
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: NAME },
      subjects: [{ kind: "ServiceAccount", ...metadata }],
    },
    {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata,
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec },
      },
    },
  ];
}
