/** Names by which proxies ask: `web.shop.svc.cluster.local:80`, `10.42.0.7:80`, context and workload. */

import { Fault } from "../base/fault.ts";
import { isIp, parseAddress, type SocketAddress } from "../mesh/address.ts";

/** A service, or one pod of it by its hostname, and a port of the service. */
export interface ServiceTarget {
  readonly namespace: string;
  readonly service: string;
  /** `web-0` in `web-0.web.shop.svc.cluster.local`. */
  readonly hostname?: string;
  readonly port: number;
}

/** The pod of an asker, as far as it told. */
export interface AskerPod {
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
}

/** The port that an authority without one means. */
const PORT_DEFAULT = 80;

/** Reads `[pod.]service.namespace.svc.<domain>[:port]`. Throws `invalid_argument` for anything else. */
export function parseServiceAuthority(text: string, clusterDomain: string): ServiceTarget {
  const match = /^(.*?)\.?(?::(\d{1,5}))?$/.exec(text);
  const host = (match?.[1] ?? "").toLowerCase();
  const port = match?.[2] === undefined ? PORT_DEFAULT : Number(match[2]);
  const suffix = `.svc.${clusterDomain.toLowerCase()}`;
  const labels = host.endsWith(suffix) ? host.slice(0, -suffix.length).split(".") : [];
  const [namespace, service, hostname, ...more] = labels.reverse();
  const wellFormed = labels.every((label) => /^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$/.test(label));
  if (!namespace || !service || more.length > 0 || !wellFormed || port < 1 || port > 65_535) {
    throw new Fault(
      "invalid_argument",
      `Cannot resolve "${text}": expected <service>.<namespace>${suffix}:<port>`,
      { source: "downstream" },
    );
  }
  return { namespace, service, port, ...(hostname === undefined ? {} : { hostname }) };
}

/** The service's name in DNS, without a trailing dot. */
export function serviceFqdn(namespace: string, service: string, clusterDomain: string): string {
  return `${service}.${namespace}.svc.${clusterDomain}`;
}

/** Reads an address where the text begins with one; undefined where it is a name. */
export function addressIn(text: string): SocketAddress | undefined {
  if (isIp(text)) return { ip: text, port: PORT_DEFAULT };
  return /^[0-9.]+:\d+$|^\[/.test(text) ? parseAddress(text) : undefined;
}

/** Reads a context or a workload: JSON, `ns:pod`, or nothing that we know (then all parts are empty). */
export function parseAsker(text: string): AskerPod {
  const pair = /^([a-z0-9.-]+):([a-z0-9.-]+)$/.exec(text);
  if (pair !== null) return { namespace: pair[1] ?? "", name: pair[2] ?? "", nodeName: "" };
  const fields = parseFields(text);
  return {
    namespace: textOf(fields["ns"]),
    name: textOf(fields["pod"]),
    nodeName: textOf(fields["nodeName"]),
  };
}

function parseFields(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    // The context is a hint that older injectors leave out or write otherwise; nobody fails for it.
    return {};
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
