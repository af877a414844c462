/** The configuration files of one node, as texts: containerd, its pod network, the kubelet. */

import type { ClusterPlan, NodePlan } from "./plan.ts";

/** The image whose program keeps each pod's namespaces open. */
export const PAUSE_IMAGE = "malla.test/pause:1";
/** The image of the cluster's name server. */
export const COREDNS_IMAGE = "malla.test/coredns:1";
/** Where containerd listens, seen from within the node. */
export const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";

/** A node's own folder for its pods' network: configurations and the plugins that they name. */
export const CNI_FOLDER = "/var/lib/cni";
/** Where it has its network configurations, as a node sees it. */
export const CNI_NET_FOLDER = `${CNI_FOLDER}/net.d`;
/** Where it has its plugins; the machine's, and what is added to them. */
export const CNI_BIN_FOLDER = `${CNI_FOLDER}/bin`;

/** Where each file of a node lies. */
export function nodeFiles({ folder }: NodePlan) {
  return {
    containerd: `${folder}/containerd.toml`,
    pods: `${CNI_NET_FOLDER}/10-pods.conflist`,
    kubelet: `${folder}/kubelet.json`,
    kubeconfigs: `${folder}/kubeconfigs`,
    logs: `${folder}/log`,
  };
}

/** containerd's configuration. */
export function containerdConfig(node: NodePlan): string {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return `version = 2
root = "${node.folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]

[plugins."io.containerd.internal.v1.opt"]
  path = "${node.folder}/opt"

[${cri}]
  sandbox_image = "${PAUSE_IMAGE}"
  # Where CAP_SYS_RESOURCE is missing, nobody may make a process less likely to be killed.
  restrict_oom_score_adj = true
  [${cri}.cni]
    bin_dir = "${CNI_BIN_FOLDER}"
    conf_dir = "${CNI_NET_FOLDER}"
  [${cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [${cri}.containerd.runtimes.runc.options]
      SystemdCgroup = false
`;
}

/** The pods' network: a bridge of the node with an address for each pod, and host ports. */
export function podNetworkConfig(node: NodePlan): string {
  return JSON.stringify({
    cniVersion: "0.4.0",
    name: "pods",
    plugins: [
      {
        type: "bridge",
        bridge: "pods0",
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          ranges: node.podNetworks.map((subnet) => [{ subnet }]),
          routes: node.podNetworks.map((subnet) => {
            return { dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" };
          }),
          dataDir: "/run/cni",
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });
}

/** The kubelet's configuration. */
export function kubeletConfig(plan: ClusterPlan, node: NodePlan): string {
  return JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${plan.folder}/pki/ca.crt` },
    },
    authorization: { mode: "Webhook" },
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${node.cgroup}`,
    // Machines with the first version of control groups are welcome here.
    failCgroupV1: false,
    failSwapOn: false,
    clusterDNS: [plan.dnsIp],
    clusterDomain: "cluster.local",
    resolvConf: "",
    volumePluginDir: "/var/lib/kubelet/volume-plugins",
    // Images cannot be fetched again: only want of memory evicts, and no image is collected.
    evictionHard: { "memory.available": "50Mi" },
    imageGCHighThresholdPercent: 100,
    serializeImagePulls: false,
    syncFrequency: "10s",
  });
}
