/** Settings that `malla inject` and `malla injector` share: what proxies are like and where they turn to. */

import { VERSION } from "../base/version.ts";
import {
  boolean,
  inboundPolicySettings,
  meshSettings,
  networks,
  networkSettings,
  nonEmpty,
  oneOf,
  port,
  ports,
  readTrustAnchors,
  type Settings,
  trustAnchorSettings,
} from "../config/mod.ts";
import { controlServices, type InjectOptions } from "./options.ts";
import { formatPortRanges } from "../mesh/port-range.ts";
import { DEFAULT_PROXY_CONFIG } from "./proxy-config.ts";

const DEFAULTS = DEFAULT_PROXY_CONFIG;

/** The schema; modes spread it into their own. */
export const injectSettings = {
  ...meshSettings,
  image: {
    env: "MALLA_IMAGE",
    flag: "image",
    type: nonEmpty(),
    default: `${DEFAULTS.image}:${VERSION}`,
    help: "The image of the proxy and of the init container.",
  },
  imagePullPolicy: {
    env: "MALLA_IMAGE_PULL_POLICY",
    flag: "image-pull-policy",
    type: oneOf(["Always", "IfNotPresent", "Never"]),
    help: "When nodes fetch the image.",
  },
  ...trustAnchorSettings,
  ...networkSettings,
  skipInboundPorts: {
    env: "MALLA_SKIP_INBOUND_PORTS",
    flag: "skip-inbound-ports",
    type: ports(),
    default: formatPortRanges(DEFAULTS.skipInboundPorts),
    help: "Ports whose incoming connections go straight to the application.",
  },
  skipOutboundPorts: {
    env: "MALLA_SKIP_OUTBOUND_PORTS",
    flag: "skip-outbound-ports",
    type: ports(),
    default: formatPortRanges(DEFAULTS.skipOutboundPorts),
    help: "Ports to which applications connect without the proxy.",
  },
  skipSubnets: {
    env: "MALLA_SKIP_SUBNETS",
    flag: "skip-subnets",
    type: networks(),
    default: "",
    help: "Networks whose connections are not redirected.",
  },
  opaquePorts: {
    env: "MALLA_DEFAULT_OPAQUE_PORTS",
    flag: "opaque-ports",
    type: ports(),
    default: formatPortRanges(DEFAULTS.opaquePorts),
    help: "Ports whose protocol is not looked at.",
  },
  inboundPort: {
    flag: "inbound-port",
    type: port(),
    default: `${DEFAULTS.inboundPort}`,
    help: "The proxy's port for incoming connections.",
  },
  outboundPort: {
    flag: "outbound-port",
    type: port(),
    default: `${DEFAULTS.outboundPort}`,
    help: "The proxy's port for outgoing connections.",
  },
  adminPort: {
    flag: "admin-port",
    type: port(),
    default: `${DEFAULTS.adminPort}`,
    help: "The proxy's port for probes and metrics.",
  },
  controlPort: {
    flag: "control-port",
    type: port(),
    default: `${DEFAULTS.controlPort}`,
    help: "The proxy's port for tap.",
  },
  ...inboundPolicySettings,
  proxyLogLevel: {
    env: "MALLA_PROXY_LOG",
    flag: "proxy-log-level",
    type: nonEmpty(),
    default: DEFAULTS.logLevel,
    help: "How much proxies log.",
  },
  nativeSidecar: {
    env: "MALLA_NATIVE_SIDECAR",
    flag: "native-sidecar",
    type: boolean(),
    default: "true",
    help:
      "Whether the proxy is an init container that goes on running (Kubernetes 1.29 and later).",
  },
  ipv6: {
    env: "MALLA_IPV6",
    flag: "ipv6",
    type: boolean(),
    default: "false",
    help: "Whether pods have IPv6, so that the proxy listens there and it is redirected too.",
  },
  obeyLinkerd: {
    env: "MALLA_OBEY_LINKERD",
    flag: "obey-linkerd",
    type: boolean(),
    default: "true",
    help: "Whether linkerd.io/inject is obeyed like malla.dev/inject.",
  },
  tapIdentity: {
    env: "MALLA_TAP_IDENTITY",
    flag: "tap-identity",
    type: nonEmpty(),
    help: "The identity that may tap proxies; without it nobody may.",
  },
} as const;

/** The settings' values. */
export type InjectSettings = Settings<typeof injectSettings>;

/**
 * What injection needs, from the settings. `readFile` reads the file of the trust anchors. Throws a
 * `ConfigFault` when there are none.
 */
export function injectOptionsOf(
  settings: InjectSettings,
  injectByDefault: boolean,
  readFile: (path: string) => string,
): InjectOptions {
  const { controlPlaneNamespace, clusterDomain, trustDomain, imagePullPolicy } = settings;
  const { inboundPort, outboundPort, adminPort, controlPort } = settings;
  return {
    version: VERSION,
    controlPlaneNamespace,
    clusterDomain,
    trustDomain,
    trustAnchors: readTrustAnchors("injection", settings, readFile),
    ...controlServices(controlPlaneNamespace, clusterDomain, trustDomain),
    clusterNetworks: settings.clusterNetworks.map(({ text }) => text).join(","),
    ipv6: settings.ipv6,
    injectByDefault,
    obeyLinkerd: settings.obeyLinkerd,
    ...(settings.tapIdentity === undefined ? {} : { tapIdentity: settings.tapIdentity }),
    proxy: {
      ...DEFAULTS,
      image: settings.image,
      ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
      inboundPort,
      outboundPort,
      adminPort,
      controlPort,
      skipInboundPorts: settings.skipInboundPorts,
      skipOutboundPorts: settings.skipOutboundPorts,
      skipSubnets: settings.skipSubnets,
      opaquePorts: settings.opaquePorts,
      defaultInboundPolicy: settings.defaultInboundPolicy,
      logLevel: settings.proxyLogLevel,
      nativeSidecar: settings.nativeSidecar,
    },
  };
}
