/** Settings that `malla inject` and `malla injector` share: what proxies are like and where they turn to. */

import { VERSION } from "../base/version.ts";
import {
  boolean,
  meshSettings,
  networkSettings,
  nonEmpty,
  readTrustAnchors,
  type Settings,
  trustAnchorSettings,
} from "../config/mod.ts";
import { controlServices, type InjectOptions } from "./options.ts";
import { PROXY_OPTIONS, proxyConfigOf } from "./proxy-options.ts";

/** Who redirects the pods' traffic. */
export const cniSetting = {
  env: "MALLA_CNI",
  flag: "linkerd-cni-enabled",
  type: boolean(),
  default: "false",
  help: "Whether a CNI plugin redirects pods' traffic, so that they need no container that may.",
} as const;

/** The schema; modes spread it into their own. */
export const injectSettings = {
  ...meshSettings,
  ...trustAnchorSettings,
  ...networkSettings,
  ...PROXY_OPTIONS,
  ipv6: {
    env: "MALLA_IPV6",
    flag: "ipv6",
    type: boolean(),
    default: "false",
    help: "Whether pods have IPv6, so that the proxy listens there and it is redirected too.",
  },
  cni: cniSetting,
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
  const { controlPlaneNamespace, clusterDomain, trustDomain } = settings;
  return {
    version: VERSION,
    controlPlaneNamespace,
    clusterDomain,
    trustDomain,
    trustAnchors: readTrustAnchors("injection", settings, readFile),
    ...controlServices(controlPlaneNamespace, clusterDomain, trustDomain),
    clusterNetworks: settings.clusterNetworks.map(({ text }) => text).join(","),
    ipv6: settings.ipv6,
    cni: settings.cni,
    injectByDefault,
    obeyLinkerd: true,
    ...(settings.tapIdentity === undefined ? {} : { tapIdentity: settings.tapIdentity }),
    proxy: proxyConfigOf(settings),
  };
}
