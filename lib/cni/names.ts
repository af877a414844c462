/** What the plugin is called on a node. */

/** The plugin's type in network configurations, and its file among the node's plugins. */
export const PLUGIN = "malla-cni";

/** The file beside the network configurations that says how the plugin reaches the cluster. */
export const KUBECONFIG = "ZZZ-malla-cni-kubeconfig";

/** Namespaces whose pods are never redirected: the network of a node must come up without the cluster. */
export const EXCLUDED_NAMESPACES: readonly string[] = ["kube-system"];
