/**
 * Names and addresses that the laptop mesh gives, so that the same manifests get the same ones at
 * each start: pods are named as Kubernetes names them, addresses follow from the name where free.
 */

import { Fault } from "../base/fault.ts";
import { sha256Hex } from "../host/digest.ts";
import { type Network, parseNetwork } from "../mesh/address.ts";

/** The addresses of the mesh's networks in one IP version. */
export interface MeshNetworks {
  readonly version: 4 | 6;
  /** CIDR. */
  readonly podNetwork: string;
  /** CIDR. */
  readonly serviceNetwork: string;
  /** The mesh's own namespace: router, DNS, control plane, the way out. */
  readonly gateway: string;
  /** The length of the pod network's prefix. */
  readonly prefix: number;
}

/** The mesh's IPv4 networks; the control plane has its addresses there. */
export const MESH_ADDRESSES: MeshNetworks = {
  version: 4,
  podNetwork: "10.42.0.0/16",
  serviceNetwork: "10.43.0.0/16",
  gateway: "10.42.0.1",
  prefix: 16,
};

/** The mesh's IPv6 networks (unique local, RFC 4193), for machines that have IPv6. */
export const MESH_ADDRESSES_6: MeshNetworks = {
  version: 6,
  podNetwork: "fd6d:616c:6c61:42::/64",
  serviceNetwork: "fd6d:616c:6c61:43::/64",
  gateway: "fd6d:616c:6c61:42::1",
  prefix: 64,
};

/** Both networks, parsed. */
export function networksOf({ podNetwork, serviceNetwork }: MeshNetworks): readonly Network[] {
  return [podNetwork, serviceNetwork].map(parseNetwork);
}

/** All networks as a setting of the mesh's programs. */
export function clusterNetworks(networks: readonly MeshNetworks[]): string {
  return networks.flatMap(networksOf).map(({ text }) => text).join(",");
}

/** Writes the address at a place of a network; both numbers are from 1 to 254. */
export type AddressForm = (high: number, low: number) => string;

/** The addresses of pods, by IP version. */
export const POD_ADDRESSES: Readonly<Record<4 | 6, AddressForm>> = {
  4: (high, low) => `10.42.${high}.${low}`,
  6: (high, low) => `fd6d:616c:6c61:42::${high.toString(16)}:${low.toString(16)}`,
};

/** The addresses of Services, by IP version. */
export const SERVICE_ADDRESSES: Readonly<Record<4 | 6, AddressForm>> = {
  4: (high, low) => `10.43.${high}.${low}`,
  6: (high, low) => `fd6d:616c:6c61:43::${high.toString(16)}:${low.toString(16)}`,
};

/** The fixed names of a laptop mesh. */
export const MESH_NAMES = { controlPlane: "malla", domain: "cluster.local" } as const;

/** The letters that Kubernetes makes suffixes of: no vowels, so no words. */
const SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

/** A text of `length` letters that follows from the seed alone. */
export function stableSuffix(seed: string, length: number): string {
  const hex = sha256Hex(seed);
  let suffix = "";
  for (let at = 0; at < length; at++) {
    const byte = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
    suffix += SUFFIX_LETTERS[byte % SUFFIX_LETTERS.length] ?? "";
  }
  return suffix;
}

/** The hash of a pod template, as in the name of a ReplicaSet; the order of keys does not matter. */
export function templateHash(template: unknown): string {
  return stableSuffix(canonical(template), 9);
}

/** JSON with sorted keys: equal values give equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => a < b ? -1 : 1);
    return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/**
 * Gives addresses of one form to keys. A key gets the address that its name hashes to, or the next free
 * one; so addresses stay the same over restarts while nothing collides.
 */
export class AddressPool {
  readonly #form: AddressForm;
  readonly #byKey = new Map<string, string>();
  readonly #taken = new Set<string>();

  constructor(form: AddressForm) {
    this.#form = form;
  }

  /** Keeps an address from being given; true when it was free. */
  reserve(key: string, ip: string): boolean {
    if (this.#taken.has(ip)) return this.#byKey.get(key) === ip;
    this.#taken.add(ip);
    this.#byKey.set(key, ip);
    return true;
  }

  /** The address of the key, the same one until it is released. Throws `resource_exhausted`. */
  take(key: string): string {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const places = 254 * 254;
    const start = Number.parseInt(sha256Hex(key).slice(0, 8), 16) % places;
    for (let step = 0; step < places; step++) {
      const place = (start + step) % places;
      const ip = this.#form(1 + Math.floor(place / 254), 1 + place % 254);
      if (this.reserve(key, ip)) return ip;
    }
    throw new Fault("resource_exhausted", `Cannot find a free address like ${this.#form(1, 1)}`);
  }

  release(key: string): void {
    const ip = this.#byKey.get(key);
    if (ip === undefined) return;
    this.#byKey.delete(key);
    this.#taken.delete(ip);
  }
}
