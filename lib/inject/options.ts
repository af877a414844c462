/** What an injector must know of its mesh: where the control plane is and whom to trust. */

import type { ProxyConfig } from "./proxy-config.ts";

/** Where a service of the control plane is, and the identity that it must show. */
export interface ControlService {
  /** `host:port`; a name has the trailing dot of a full name. */
  readonly address: string;
  readonly identity: string;
}

/** How to inject. The same for all pods of a mesh. */
export interface InjectOptions {
  /** The version that the annotation `linkerd.io/proxy-version` shows. */
  readonly version: string;
  readonly controlPlaneNamespace: string;
  readonly clusterDomain: string;
  readonly trustDomain: string;
  /** The trust anchors' certificates, PEM. */
  readonly trustAnchors: string;
  readonly identity: ControlService;
  readonly destination: ControlService;
  readonly policy: ControlService;
  /** CIDRs of pods and services, with commas between. */
  readonly clusterNetworks: string;
  /** IPv6 is redirected and listened on as well. */
  readonly ipv6: boolean;
  /**
   * SO_MARK that exempts the proxy's connections from the redirect; absent: the proxy's uid does. For
   * the laptop, where all processes share one uid.
   */
  readonly mark?: number;
  /** A CNI plugin redirects pods' traffic: they get no init container that does, but one that looks. */
  readonly cni?: boolean;
  /** Pods that say nothing are injected (laptop, `malla inject`); else they must ask for it. */
  readonly injectByDefault: boolean;
  /** Pods that say nothing of it route by the request's authority. */
  readonly ingress?: boolean;
  /** `linkerd.io/inject` is obeyed as well as `malla.dev/inject`. */
  readonly obeyLinkerd: boolean;
  /** The identity that may tap; absent: no tap. */
  readonly tapIdentity?: string;
  readonly firewallBinPath?: string;
  readonly firewallSaveBinPath?: string;
  /** The proxy's configuration where no annotation says otherwise. */
  readonly proxy: ProxyConfig;
}

/** The names and ports of the control plane's services in a cluster. */
export function controlServices(
  controlPlaneNamespace: string,
  clusterDomain: string,
  trustDomain: string,
): Pick<InjectOptions, "identity" | "destination" | "policy"> {
  const service = (name: string, port: number, account: string): ControlService => ({
    address: `${name}.${controlPlaneNamespace}.svc.${clusterDomain}.:${port}`,
    identity: `${account}.${controlPlaneNamespace}.serviceaccount.identity.` +
      `${controlPlaneNamespace}.${trustDomain}`,
  });
  return {
    identity: service("malla-identity", 8080, "malla-identity"),
    destination: service("malla-destination", 8086, "malla-controller"),
    policy: service("malla-policy", 8090, "malla-controller"),
  };
}
