/** Gives Services their ClusterIP, the same one at each start where nothing else has it. */

import { FieldFault, Reader } from "./reader.ts";
import { AddressPool } from "./names.ts";
import type { Manifest } from "./workloads.ts";

/** Keeps the addresses of the Services that were seen. */
export class ServiceAddresses {
  readonly #pool = new AddressPool("10.43");
  #known = new Set<string>();

  /**
   * The objects with a ClusterIP in each Service that wants one and has none. Addresses that manifests
   * name are kept free for them; those of Services that are gone are given back.
   */
  fill(objects: readonly Manifest[]): readonly Manifest[] {
    const services = objects.filter((object) => wantsAddress(object));
    const keys = new Set(services.map(keyOf));
    for (const key of this.#known) if (!keys.has(key)) this.#pool.release(key);
    this.#known = keys;
    for (const service of services) {
      const ip = clusterIp(service);
      if (ip !== "") this.#reserve(service, ip);
    }
    return objects.map((object) => {
      if (!wantsAddress(object) || clusterIp(object) !== "") return object;
      const ip = this.#pool.take(keyOf(object));
      return { ...object, spec: { ...object["spec"] as object, clusterIP: ip, clusterIPs: [ip] } };
    });
  }

  #reserve(service: Manifest, ip: string): void {
    const key = keyOf(service);
    if (this.#pool.reserve(key, ip)) return;
    this.#pool.release(key);
    if (this.#pool.reserve(key, ip)) return;
    throw new FieldFault(["spec", "clusterIP"], `${ip} belongs to another Service already`);
  }
}

function wantsAddress(object: Manifest): boolean {
  if (object["kind"] !== "Service") return false;
  const type = new Reader(object).at("spec").at("type").textOr("ClusterIP");
  return type !== "ExternalName" && clusterIp(object) !== "None";
}

function clusterIp(service: Manifest): string {
  return new Reader(service).at("spec").at("clusterIP").textOr("");
}

function keyOf(service: Manifest): string {
  const metadata = new Reader(service).at("metadata");
  return `${metadata.at("namespace").textOr("default")}/${metadata.at("name").text()}`;
}
