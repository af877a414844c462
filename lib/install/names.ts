/** What the parts of the control plane are called in a cluster, and where they listen. */

/** A part of the control plane: its Deployment, ServiceAccount, roles and labels have this name. */
export type Component = "malla-identity" | "malla-controller" | "malla-injector" | "malla-viz";

/** All of them. */
export const COMPONENTS: readonly Component[] = [
  "malla-identity",
  "malla-controller",
  "malla-injector",
  "malla-viz",
];

/** The ConfigMap with the values of the installation. */
export const CONFIG_MAP = "malla-config";

/** Its key. */
export const CONFIG_KEY = "values";

/** The trust anchors' key in their ConfigMap; the contract's. */
export const TRUST_ROOTS_KEY = "ca-bundle.crt";

/** The Lease of the controller. */
export const CONTROLLER_LEASE = "malla-controller";

/** The Secret of a webhook certificate that somebody else writes. */
export const WEBHOOK_TLS_SECRET = "malla-injector-tls";

/** The label of all objects of an installation: the namespace of its control plane. */
export const INSTALLATION_LABEL = "malla.dev/control-plane-ns";

/** The label by which the webhook knows pods of a control plane; the contract's. */
export const COMPONENT_LABEL = "linkerd.io/control-plane-component";

/** DaemonSet, account, roles and label of the part that runs on each node. */
export const CNI = "malla-cni";

/** The namespace that it is in; the contract's. */
export const CNI_NAMESPACE = "linkerd-cni";

/** The label of everything that belongs to it; the contract's. */
export const CNI_LABEL = "linkerd.io/cni-resource";

/** Where the parts listen. */
export const PORTS = {
  identity: 8080,
  identityAdmin: 9990,
  destination: 8086,
  policy: 8090,
  controllerAdmin: 9996,
  webhook: 8443,
  injectorAdmin: 9995,
  vizApi: 8085,
  vizPage: 8084,
  cniAdmin: 9998,
} as const;
