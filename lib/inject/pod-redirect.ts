/**
 * What is settled about one pod's redirect, and the annotation by which the injector tells it to the CNI
 * plugin of the pod's node. The init container is told the same by its flags.
 */

import { Fault } from "../base/fault.ts";
import { type Network, parseNetwork } from "../mesh/address.ts";
import { formatPortRanges, parsePortRanges, type PortRange } from "../mesh/port-range.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import type { RedirectOptions } from "./redirect.ts";

/** The annotation, on pods whose redirect is the plugin's part. */
export const REDIRECT_ANNOTATION = "malla.dev/redirect";

/** The redirect of a pod whose proxy is known by its user. */
export interface PodRedirect {
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly uid: number;
  readonly gid?: number;
  /** The proxy's own ports, and those that the pod's owner named. */
  readonly inboundSkip: readonly PortRange[];
  readonly outboundSkip: readonly PortRange[];
  readonly skipNetworks: readonly Network[];
  readonly ipv6: boolean;
  /** 0 leaves the kernel's setting. */
  readonly closeWaitSeconds: number;
}

const PORT_MAX = 65_535;
const ID_MAX = 4_294_967_294;
const DAY_SECONDS = 86_400;
/** What is read here becomes a rule of the packet filter, by a program that runs as root on the node. */
const NETWORK = /^[0-9a-fA-F.:]+(?:\/\d{1,3})?$/;

/** The redirect of a pod with this configuration. */
export function podRedirect(config: ProxyConfig, ipv6: boolean): PodRedirect {
  const own = [config.controlPort, config.adminPort].map((port) => ({ first: port, last: port }));
  return {
    inboundPort: config.inboundPort,
    outboundPort: config.outboundPort,
    uid: config.uid,
    ...(config.gid === undefined ? {} : { gid: config.gid }),
    inboundSkip: [...own, ...config.skipInboundPorts],
    outboundSkip: config.skipOutboundPorts,
    skipNetworks: config.skipSubnets,
    ipv6,
    closeWaitSeconds: config.closeWaitSeconds,
  };
}

/** The same as rules are made of it. */
export function redirectOptions({ uid, gid, ...rest }: PodRedirect): RedirectOptions {
  return { ...rest, exemption: { kind: "uid", uid, ...(gid === undefined ? {} : { gid }) } };
}

/** Writes the annotation's value. */
export function formatRedirect(redirect: PodRedirect): string {
  return JSON.stringify({
    ...redirect,
    inboundSkip: formatPortRanges(redirect.inboundSkip),
    outboundSkip: formatPortRanges(redirect.outboundSkip),
    skipNetworks: redirect.skipNetworks.map(({ text }) => text).join(","),
  });
}

/** Reads the annotation's value; pods' owners can write it. Throws `invalid_argument`. */
export function parseRedirect(text: string): PodRedirect {
  const fields = jsonFields(text);
  const number = (name: string, min: number, max: number): number => {
    const value = fields[name];
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) {
      return value;
    }
    throw wrong(`${name} is ${JSON.stringify(value)}: expected a number from ${min} to ${max}`);
  };
  const string = (name: string): string => {
    const value = fields[name];
    if (typeof value === "string") return value;
    throw wrong(`${name} is ${JSON.stringify(value)}: expected a text`);
  };
  const port = (name: string): number => number(name, 1, PORT_MAX);
  const { ipv6 } = fields;
  if (typeof ipv6 !== "boolean") {
    throw wrong(`ipv6 is ${JSON.stringify(ipv6)}: expected true or false`);
  }
  return {
    inboundPort: port("inboundPort"),
    outboundPort: port("outboundPort"),
    uid: number("uid", 1, ID_MAX),
    ...(fields["gid"] === undefined ? {} : { gid: number("gid", 1, ID_MAX) }),
    inboundSkip: parsePortRanges(string("inboundSkip")),
    outboundSkip: parsePortRanges(string("outboundSkip")),
    skipNetworks: string("skipNetworks").split(",").filter((word) => word !== "").map(networkOf),
    ipv6,
    closeWaitSeconds: number("closeWaitSeconds", 0, DAY_SECONDS),
  };
}

function jsonFields(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch {
    // Said below, as for JSON of another kind.
  }
  throw wrong("expected an object in JSON, as the injector writes it");
}

function networkOf(word: string): Network {
  if (!NETWORK.test(word)) throw wrong(`skipNetworks has "${word}": expected networks`);
  return parseNetwork(word);
}

function wrong(reason: string): Fault {
  return new Fault("invalid_argument", `Cannot read annotation ${REDIRECT_ANNOTATION}: ${reason}`);
}
