/**
 * What can be configured for one pod's proxy, and the defaults. Annotations overwrite single fields
 * (`annotations.ts`); containers and environment are made from the result.
 */

import type { Network } from "../mesh/address.ts";
import type { PortRange } from "../mesh/port-range.ts";
import type { JsonObject } from "./json-patch.ts";

/** An environment variable as Kubernetes has it, passed on as it is. */
export interface EnvVar extends JsonObject {
  readonly name: string;
  readonly value?: string;
  /** Where the value comes from, in place of a plain one. */
  readonly valueFrom?: JsonObject;
}

/** The configuration of one pod's proxy. Durations are text with a unit, as the proxy reads them. */
export interface ProxyConfig {
  readonly image: string;
  /** The image's tag; replaces the one in `image`. With neither it is the injector's own version. */
  readonly imageVersion?: string;
  readonly imagePullPolicy?: string;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly adminPort: number;
  readonly controlPort: number;
  readonly uid: number;
  readonly gid?: number;
  readonly skipInboundPorts: readonly PortRange[];
  readonly skipOutboundPorts: readonly PortRange[];
  readonly skipSubnets: readonly Network[];
  readonly opaquePorts: readonly PortRange[];
  readonly requireIdentityPorts: readonly PortRange[];
  readonly cpuRequest?: string;
  readonly cpuLimit?: string;
  readonly memoryRequest?: string;
  readonly memoryLimit?: string;
  readonly storageRequest?: string;
  readonly storageLimit?: string;
  /** Share of the node's cores that the proxy may use at most. */
  readonly cpuRatioLimit?: number;
  readonly logLevel: string;
  readonly logFormat: string;
  readonly logHttpHeaders?: string;
  readonly accessLog?: string;
  /** off, adaptive or a number. */
  readonly inboundConcurrencyLimit?: string;
  readonly defaultInboundPolicy: string;
  readonly adminShutdown: boolean;
  readonly externalProfiles: boolean;
  readonly hostnameLabels: boolean;
  readonly outboundConnectTimeout: string;
  readonly inboundConnectTimeout: string;
  readonly outboundDiscoveryUnused: string;
  readonly inboundDiscoveryUnused: string;
  readonly disableOutboundDetectTimeout: boolean;
  readonly disableInboundDetectTimeout: boolean;
  readonly nativeSidecar: boolean;
  readonly await: boolean;
  readonly waitBeforeExitSeconds: number;
  readonly shutdownGracePeriod?: string;
  /** 0 leaves the kernel's setting. */
  readonly closeWaitSeconds: number;
  readonly additionalEnv: readonly EnvVar[];
  /** The proxy routes by the request's authority instead of the original destination. */
  readonly ingress: boolean;
  /** The proxy passes on what other clusters send to this one's services. */
  readonly gateway: boolean;
  /** A container with tools to look at the pod's traffic runs beside the proxy. */
  readonly debug: boolean;
  /** Empty: there is none, and a pod that wants one must name it. */
  readonly debugImage: string;
  readonly debugImageVersion?: string;
  readonly debugImagePullPolicy?: string;
}

/** What a pod gets when nothing is said. */
export const DEFAULT_PROXY_CONFIG: ProxyConfig = {
  image: "malla/malla",
  inboundPort: 4143,
  outboundPort: 4140,
  adminPort: 4191,
  controlPort: 4190,
  uid: 2102,
  skipInboundPorts: [],
  // Galera's replication breaks when its peers do not see each other's addresses.
  skipOutboundPorts: [{ first: 4567, last: 4568 }],
  skipSubnets: [],
  // Protocols in which the server speaks first, so that detection would wait for nothing.
  opaquePorts: [25, 587, 3306, 4444, 5432, 6379, 9300, 11211].map((port) => ({
    first: port,
    last: port,
  })),
  requireIdentityPorts: [],
  logLevel: "warn,linkerd=info,hickory=error",
  logFormat: "plain",
  defaultInboundPolicy: "all-unauthenticated",
  adminShutdown: false,
  externalProfiles: false,
  hostnameLabels: false,
  outboundConnectTimeout: "1000ms",
  inboundConnectTimeout: "100ms",
  outboundDiscoveryUnused: "5s",
  inboundDiscoveryUnused: "90s",
  disableOutboundDetectTimeout: false,
  disableInboundDetectTimeout: false,
  nativeSidecar: true,
  await: true,
  waitBeforeExitSeconds: 0,
  closeWaitSeconds: 0,
  additionalEnv: [],
  ingress: false,
  gateway: false,
  debug: false,
  debugImage: "",
};

/** An image with its tag: the given version, else the one in its name, else `usual`. */
export function taggedImage(image: string, version: string | undefined, usual?: string): string {
  // A colon after the last slash begins a tag; one before it belongs to the registry's port.
  const slash = image.lastIndexOf("/");
  const colon = image.indexOf(":", slash + 1);
  const tag = version ?? (colon < 0 ? usual : undefined);
  if (tag === undefined) return image;
  return `${colon < 0 ? image : image.slice(0, colon)}:${tag}`;
}
