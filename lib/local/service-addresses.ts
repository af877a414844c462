/**
 * Gives Services their IP families and addresses as a dual-stack cluster does, the same ones at each
 * start where nothing else has them.
 */

import { AddressPool, SERVICE_ADDRESSES } from "./names.ts";
import { FieldFault, Reader } from "./reader.ts";
import type { Manifest } from "./workloads.ts";

/** An IP family as Kubernetes writes it. */
export type IpFamily = "IPv4" | "IPv6";

const FAMILIES = ["IPv4", "IPv6"] as const;
const POLICIES = ["SingleStack", "PreferDualStack", "RequireDualStack"] as const;

/** Keeps the addresses of the Services that were seen. */
export class ServiceAddresses {
  /** One for each family of the mesh. */
  readonly #pools: ReadonlyMap<IpFamily, AddressPool>;
  #known = new Set<string>();

  /** `versions` are the IP versions of the mesh. */
  constructor(versions: readonly (4 | 6)[]) {
    this.#pools = new Map(
      versions.map((version) => [`IPv${version}`, new AddressPool(SERVICE_ADDRESSES[version])]),
    );
  }

  /**
   * The objects with families in each Service, and addresses in each that wants them and has none.
   * Addresses that manifests name are kept free for them; those of Services that are gone are given
   * back. A family that the mesh has not is left out; with none left it is IPv4.
   */
  fill(objects: readonly Manifest[]): readonly Manifest[] {
    const services = objects.filter((object) => wantsAddress(object));
    const keys = new Set(services.map(keyOf));
    for (const key of this.#known) if (!keys.has(key)) this.#release(key);
    this.#known = keys;
    for (const service of services) {
      for (const ip of namedIps(service)) this.#reserve(service, ip);
    }
    return objects.map((object) => {
      if (object["kind"] !== "Service" || typeOf(object) === "ExternalName") return object;
      const ipFamilies = this.#familiesOf(object);
      const named = namedIps(object);
      const spec = { ...object["spec"] as object, ipFamilies };
      if (!wantsAddress(object)) return { ...object, spec };
      const clusterIPs = ipFamilies.map((family) =>
        named.find((ip) => familyOf(ip) === family) ?? this.#take(family, keyOf(object))
      );
      return { ...object, spec: { ...spec, clusterIP: clusterIPs[0], clusterIPs } };
    });
  }

  #familiesOf(service: Manifest): readonly IpFamily[] {
    const wanted = serviceFamilies(new Reader(service).at("spec"), [...this.#pools.keys()]);
    const had = wanted.filter((family) => this.#pools.has(family));
    return had.length === 0 ? ["IPv4"] : had;
  }

  #take(family: IpFamily, key: string): string {
    return this.#pools.get(family)?.take(key) ?? "";
  }

  #reserve(service: Manifest, ip: string): void {
    const key = keyOf(service);
    const pool = this.#pools.get(familyOf(ip));
    if (pool === undefined || pool.reserve(key, ip)) return;
    pool.release(key);
    if (pool.reserve(key, ip)) return;
    throw new FieldFault(["spec", "clusterIP"], `${ip} belongs to another Service already`);
  }

  #release(key: string): void {
    for (const pool of this.#pools.values()) pool.release(key);
  }
}

/**
 * The families that a Service's spec asks for, the first of them its main one; `known` are those that
 * there are for "prefer dual stack". Throws a `FieldFault` for what a cluster would refuse.
 */
export function serviceFamilies(
  spec: Reader,
  known: readonly IpFamily[] = FAMILIES,
): readonly IpFamily[] {
  const listed = spec.at("ipFamilies").items().map((item) => item.choice(FAMILIES, "IPv4"));
  const families: readonly IpFamily[] = listed.length > 0 ? listed : namedFamilies(spec);
  if (new Set(families).size < families.length || families.length > 2) {
    throw spec.at("ipFamilies").wrong("each family once");
  }
  const usual = families.length > 1 ? "RequireDualStack" : "SingleStack";
  const policy = spec.at("ipFamilyPolicy").choice(POLICIES, usual);
  if (policy === "SingleStack") {
    if (families.length < 2) return families;
    throw spec.at("ipFamilyPolicy").wrong(
      "PreferDualStack or RequireDualStack, since there are two families",
    );
  }
  const others = policy === "RequireDualStack" ? FAMILIES : known;
  return [...families, ...others.filter((family) => !families.includes(family))];
}

/** Where no family is listed, the addresses that are named tell them. */
function namedFamilies(spec: Reader): readonly IpFamily[] {
  const named = new Set(specIps(spec).map(familyOf));
  return named.size > 0 ? [...named] : ["IPv4"];
}

function familyOf(ip: string): IpFamily {
  return ip.includes(":") ? "IPv6" : "IPv4";
}

function wantsAddress(object: Manifest): boolean {
  if (object["kind"] !== "Service") return false;
  const clusterIp = new Reader(object).at("spec").at("clusterIP").textOr("");
  return typeOf(object) !== "ExternalName" && clusterIp !== "None";
}

function typeOf(service: Manifest): string {
  return new Reader(service).at("spec").at("type").textOr("ClusterIP");
}

function namedIps(service: Manifest): readonly string[] {
  return specIps(new Reader(service).at("spec"));
}

function specIps(spec: Reader): readonly string[] {
  const ips = [spec.at("clusterIP").textOr(""), ...spec.at("clusterIPs").texts()];
  return [...new Set(ips)].filter((ip) => ip !== "" && ip !== "None");
}

function keyOf(service: Manifest): string {
  const metadata = new Reader(service).at("metadata");
  return `${metadata.at("namespace").textOr("default")}/${metadata.at("name").text()}`;
}
