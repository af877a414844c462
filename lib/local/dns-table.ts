/**
 * The names of the laptop mesh, as cluster DNS defines them: Services, the pods behind headless ones,
 * SRV for named ports, PTR for addresses of the mesh, and the name of the machine. Pure: built from
 * Services and EndpointSlices, asked by name and type. Names of other domains are not known here.
 */

import { ipBits, type Network, networkContains } from "../mesh/address.ts";
import { type EndpointSlice, type Service, SERVICE_NAME_LABEL } from "../source/objects.ts";

/** One record of an answer. */
export type DnsRecord =
  | { readonly type: "A" | "AAAA" | "CNAME" | "PTR"; readonly name: string; readonly data: string }
  | {
    readonly type: "SRV";
    readonly name: string;
    readonly data: { readonly port: number; readonly target: string };
  };

/** What the mesh knows of a name. `foreign`: it is for the machine's resolver to say. */
export type DnsFinding =
  | { readonly kind: "found"; readonly records: readonly DnsRecord[] }
  /** The name exists, but has no record of this type. */
  | { readonly kind: "empty" }
  | { readonly kind: "missing" }
  | { readonly kind: "foreign" };

/** What a table is made from. */
export interface DnsTableOptions {
  readonly clusterDomain: string;
  /** Networks whose addresses are looked up here in reverse. */
  readonly networks: readonly Network[];
  /** Names outside the cluster domain with a fixed address. */
  readonly hosts: Readonly<Record<string, string>>;
}

const FOREIGN: DnsFinding = { kind: "foreign" };
const MISSING: DnsFinding = { kind: "missing" };
const EMPTY: DnsFinding = { kind: "empty" };

/** A chain of ExternalName Services is followed this far; a longer one is a circle. */
const CNAME_STEPS_MAX = 8;

/** RFC 1035 §2.3.4, less the bytes for the first length and the root. */
const NAME_CHARS_MAX = 253;
const LABEL_CHARS_MAX = 63;

/** The names at one moment; made anew whenever Services or EndpointSlices change. */
export class DnsTable {
  readonly #records = new Map<string, DnsRecord[]>();
  /** Names with something below them, such as `shop.svc.cluster.local`: they exist, but are empty. */
  readonly #parents = new Set<string>();
  readonly #domain: string;
  readonly #networks: readonly Network[];

  constructor(
    options: DnsTableOptions,
    services: Iterable<Service>,
    slices: Iterable<EndpointSlice>,
  ) {
    this.#domain = options.clusterDomain.toLowerCase();
    this.#networks = options.networks;
    const byService = Map.groupBy(
      slices,
      (slice) => `${slice.metadata.labels[SERVICE_NAME_LABEL] ?? ""}.${slice.metadata.namespace}`,
    );
    this.#parents.add(`svc.${this.#domain}`).add(`pod.${this.#domain}`).add(this.#domain);
    for (const service of services) {
      const { name, namespace } = service.metadata;
      this.#addService(service, byService.get(`${name}.${namespace}`) ?? []);
    }
    for (const [name, ip] of Object.entries(options.hosts)) {
      this.#add(addressRecord(name.toLowerCase(), ip));
    }
  }

  /** Looks a name up. `name` is without the dot at its end; upper and lower case are the same. */
  find(name: string, type: string): DnsFinding {
    return this.#find(name.toLowerCase(), type, 0);
  }

  #find(name: string, type: string, steps: number): DnsFinding {
    const known = this.#records.get(name) ?? this.#podRecords(name);
    if (known === undefined) return this.#absent(name);
    const records = known.filter((record) => record.type === type);
    if (records.length > 0) return { kind: "found", records };
    const alias = known.find((record) => record.type === "CNAME");
    if (alias === undefined || typeof alias.data !== "string") return EMPTY;
    if (steps >= CNAME_STEPS_MAX) return { kind: "found", records: [alias] };
    // Within the mesh the alias is followed here; the server follows it elsewhere.
    const behind = this.#find(alias.data, type, steps + 1);
    const rest = behind.kind === "found" ? behind.records : [];
    return { kind: "found", records: [alias, ...rest] };
  }

  #absent(name: string): DnsFinding {
    if (this.#parents.has(name)) return EMPTY;
    if (name === this.#domain || name.endsWith(`.${this.#domain}`)) return MISSING;
    const ip = reverseAddress(name);
    if (ip === undefined) return FOREIGN;
    return this.#networks.some((network) => networkContains(network, ip)) ? MISSING : FOREIGN;
  }

  /** `10-42-1-2.shop.pod.cluster.local` names any address of the mesh's networks. */
  #podRecords(name: string): DnsRecord[] | undefined {
    const suffix = `.pod.${this.#domain}`;
    if (!name.endsWith(suffix)) return undefined;
    const [label = "", namespace, ...more] = name.slice(0, -suffix.length).split(".");
    if (namespace === undefined || more.length > 0) return undefined;
    const ip = /^\d+-\d+-\d+-\d+$/.test(label)
      ? label.replaceAll("-", ".")
      : label.replaceAll("-", ":");
    if (ipBits(ip) === undefined) return undefined;
    const own = this.#networks.some((network) => networkContains(network, ip));
    return own ? [addressRecord(name, ip)] : undefined;
  }

  #addService(service: Service, slices: readonly EndpointSlice[]): void {
    const { name, namespace } = service.metadata;
    const full = `${name}.${namespace}.svc.${this.#domain}`.toLowerCase();
    this.#parents.add(`${namespace}.svc.${this.#domain}`.toLowerCase());
    const { clusterIP, clusterIPs, externalName, type, ports } = service.spec;
    if (type === "ExternalName") {
      const target = (externalName ?? "").toLowerCase().replace(/\.$/, "");
      if (target !== "") this.#add({ type: "CNAME", name: full, data: target });
      return;
    }
    const ips = clusterIPs.length > 0 ? clusterIPs : clusterIP === undefined ? [] : [clusterIP];
    if (ips.includes("None")) return this.#addHeadless(service, full, slices);
    for (const ip of ips.filter((text) => text !== "")) {
      this.#add(addressRecord(full, ip));
      this.#add({ type: "PTR", name: reverseName(ip), data: full });
    }
    for (const port of ports) {
      this.#addPort(full, port.name, port.protocol, { port: port.port, target: full });
    }
  }

  #addHeadless(service: Service, full: string, slices: readonly EndpointSlice[]): void {
    // The name exists even while no pod is ready.
    this.#parents.add(full);
    const { publishNotReadyAddresses } = service.spec;
    for (const slice of slices) {
      for (const endpoint of slice.endpoints) {
        const [ip] = endpoint.addresses;
        if (ip === undefined || slice.addressType === "FQDN") continue;
        if (endpoint.conditions.ready === false && publishNotReadyAddresses !== true) continue;
        const label = endpoint.hostname ?? ip.replaceAll(".", "-").replaceAll(":", "-");
        const target = `${label}.${full}`.toLowerCase();
        this.#add(addressRecord(full, ip));
        this.#add(addressRecord(target, ip));
        this.#add({ type: "PTR", name: reverseName(ip), data: target });
        for (const { name, port, protocol } of slice.ports) {
          if (port !== undefined) this.#addPort(full, name, protocol, { port, target });
        }
      }
    }
  }

  #addPort(
    full: string,
    port: string | undefined,
    protocol: string | undefined,
    data: { readonly port: number; readonly target: string },
  ): void {
    // A headless service is asked without a port's name too, by whoever looks for all of its pods.
    this.#add({ type: "SRV", name: full, data });
    if (port === undefined || port === "") return;
    const parent = `_${(protocol ?? "TCP").toLowerCase()}.${full}`;
    this.#parents.add(parent);
    this.#add({ type: "SRV", name: `_${port}.${parent}`.toLowerCase(), data });
  }

  #add(record: DnsRecord): void {
    const target = typeof record.data === "string" ? record.data : record.data.target;
    // What cannot be written into a message must not come into the table.
    if (!isWritable(record.name) || !isWritable(target)) return;
    const records = this.#records.get(record.name);
    if (records === undefined) this.#records.set(record.name, [record]);
    else if (!records.some((other) => sameRecord(other, record))) records.push(record);
  }
}

/** Whether the text can be a name in a message; addresses pass as well. */
function isWritable(name: string): boolean {
  return name.length <= NAME_CHARS_MAX &&
    name.split(".").every((label) => label.length > 0 && label.length <= LABEL_CHARS_MAX);
}

function addressRecord(name: string, ip: string): DnsRecord {
  return { type: ip.includes(":") ? "AAAA" : "A", name, data: ip };
}

function sameRecord(a: DnsRecord, b: DnsRecord): boolean {
  if (a.type !== b.type) return false;
  if (a.type !== "SRV" || b.type !== "SRV") return a.data === b.data;
  return a.data.port === b.data.port && a.data.target === b.data.target;
}

/** `10.42.0.1` → `1.0.42.10.in-addr.arpa`. */
export function reverseName(ip: string): string {
  if (!ip.includes(":")) return `${ip.split(".").reverse().join(".")}.in-addr.arpa`;
  const hex = (ipBits(ip) ?? 0n).toString(16).padStart(32, "0");
  return `${[...hex].reverse().join(".")}.ip6.arpa`;
}

/** The address that a name for reverse look-up stands for; undefined: it is no such name. */
function reverseAddress(name: string): string | undefined {
  if (name.endsWith(".in-addr.arpa")) {
    const ip = name.slice(0, -".in-addr.arpa".length).split(".").reverse().join(".");
    return ipBits(ip) === undefined ? undefined : ip;
  }
  if (!name.endsWith(".ip6.arpa")) return undefined;
  const digits = name.slice(0, -".ip6.arpa".length).split(".").reverse().join("");
  return /^[0-9a-f]{32}$/.test(digits) ? digits.match(/.{4}/g)?.join(":") : undefined;
}
