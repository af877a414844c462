/**
 * The index: facts of all objects by the names under which questions ask for them. It is told levels
 * ("this object now is so"), answers look-ups, and says which names a change touched. It knows no
 * subscriber and makes no answer.
 *
 *     object → facts → by name, by address → View → answers (destination, profile, policies)
 */

import { equalValues } from "../base/equal.ts";
import { ipBits } from "../mesh/address.ts";
import type { MeshObject, ObjectRef } from "../source/objects.ts";
import {
  type NamespaceFacts,
  namespaceFacts,
  type PodFacts,
  podFacts,
  type ProfileFacts,
  profileFacts,
  type ServerFacts,
  serverFacts,
  type ServiceFacts,
  serviceFacts,
  type SliceFacts,
  sliceFacts,
} from "./facts.ts";

/** What an answer may look up. */
export interface View {
  namespace(name: string): NamespaceFacts | undefined;
  pod(namespace: string, name: string): PodFacts | undefined;
  service(namespace: string, name: string): ServiceFacts | undefined;
  /** The slices of a service, in the order of their names. */
  slices(namespace: string, service: string): readonly SliceFacts[];
  /** The servers of a namespace, in the order of their names. */
  servers(namespace: string): readonly ServerFacts[];
  /** The ServiceProfile of a namespace for a Service's name in DNS. */
  profile(namespace: string, name: string): ProfileFacts | undefined;
  serviceAt(ip: string): ServiceFacts | undefined;
  podAt(ip: string): PodFacts | undefined;
}

/** Takes the keys that a change touched; see `keyOf`. */
export type Touched = (key: string) => void;

/** The keys of look-ups: two look-ups with one key change together. */
export const keyOf = {
  namespace: (name: string): string => `namespace ${name}`,
  pod: (namespace: string, name: string): string => `pod ${namespace}/${name}`,
  service: (namespace: string, name: string): string => `service ${namespace}/${name}`,
  slices: (namespace: string, service: string): string => `slices ${namespace}/${service}`,
  servers: (namespace: string): string => `servers ${namespace}`,
  profile: (namespace: string, name: string): string => `profile ${namespace}/${name}`,
  ip: (ip: string): string => `ip ${ipKey(ip)}`,
} as const;

/** The kinds that the index is made of. */
export const INDEXED_KINDS = [
  "Namespace",
  "Pod",
  "Service",
  "EndpointSlice",
  "Server",
  "ServiceProfile",
] as const;

/** Holds all facts. One owner feeds it; it calls `touched` before `apply` or `delete` returns. */
export class Index implements View {
  readonly #touched: Touched;
  readonly #namespaces = new Map<string, NamespaceFacts>();
  readonly #pods = new Map<string, PodFacts>();
  readonly #services = new Map<string, ServiceFacts>();
  readonly #slices = new Map<string, SliceFacts>();
  readonly #servers = new Map<string, Map<string, ServerFacts>>();
  readonly #profiles = new Map<string, ProfileFacts>();
  readonly #slicesByService = new Map<string, Map<string, SliceFacts>>();
  readonly #podsByIp = new AddressMap<PodFacts>();
  readonly #servicesByIp = new AddressMap<ServiceFacts>();

  constructor(touched: Touched) {
    this.#touched = touched;
  }

  /** Takes an object as it is now; kinds that are not indexed are ignored. */
  apply(object: MeshObject): void {
    const { namespace, name } = object.metadata;
    switch (object.kind) {
      case "Namespace":
        return this.#setNamespace(name, namespaceFacts(object));
      case "Pod":
        return this.#setPod(keyOf.pod(namespace, name), podFacts(object));
      case "Service":
        return this.#setService(keyOf.service(namespace, name), serviceFacts(object));
      case "EndpointSlice":
        return this.#setSlice(`${namespace}/${name}`, sliceFacts(object));
      case "Server":
        return this.#setServer(namespace, name, serverFacts(object));
      case "ServiceProfile":
        return this.#setProfile(keyOf.profile(namespace, name), profileFacts(object));
      default:
        return;
    }
  }

  /** Forgets an object. */
  delete(ref: ObjectRef): void {
    const { namespace, name } = ref;
    switch (ref.kind) {
      case "Namespace":
        return this.#setNamespace(name, undefined);
      case "Pod":
        return this.#setPod(keyOf.pod(namespace, name), undefined);
      case "Service":
        return this.#setService(keyOf.service(namespace, name), undefined);
      case "EndpointSlice":
        return this.#setSlice(`${namespace}/${name}`, undefined);
      case "Server":
        return this.#setServer(namespace, name, undefined);
      case "ServiceProfile":
        return this.#setProfile(keyOf.profile(namespace, name), undefined);
      default:
        return;
    }
  }

  namespace(name: string): NamespaceFacts | undefined {
    return this.#namespaces.get(name);
  }

  pod(namespace: string, name: string): PodFacts | undefined {
    return this.#pods.get(keyOf.pod(namespace, name));
  }

  service(namespace: string, name: string): ServiceFacts | undefined {
    return this.#services.get(keyOf.service(namespace, name));
  }

  slices(namespace: string, service: string): readonly SliceFacts[] {
    const found = this.#slicesByService.get(keyOf.slices(namespace, service));
    if (found === undefined) return [];
    return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  servers(namespace: string): readonly ServerFacts[] {
    const found = [...this.#servers.get(namespace)?.values() ?? []];
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  profile(namespace: string, name: string): ProfileFacts | undefined {
    return this.#profiles.get(keyOf.profile(namespace, name));
  }

  serviceAt(ip: string): ServiceFacts | undefined {
    return this.#servicesByIp.owner(ip, (a, b) => compare(nameOf(b), nameOf(a)));
  }

  podAt(ip: string): PodFacts | undefined {
    return this.#podsByIp.owner(
      ip,
      (a, b) => compare(a.createdAt, b.createdAt) || compare(nameOf(b), nameOf(a)),
    );
  }

  /** How many objects of each kind are held. */
  sizes(): Readonly<Record<typeof INDEXED_KINDS[number], number>> {
    return {
      Namespace: this.#namespaces.size,
      Pod: this.#pods.size,
      Service: this.#services.size,
      EndpointSlice: this.#slices.size,
      Server: [...this.#servers.values()].reduce((sum, { size }) => sum + size, 0),
      ServiceProfile: this.#profiles.size,
    };
  }

  #setNamespace(name: string, next: NamespaceFacts | undefined): void {
    if (!replace(this.#namespaces, name, next)) return;
    this.#touched(keyOf.namespace(name));
  }

  #setPod(key: string, next: PodFacts | undefined): void {
    const previous = this.#pods.get(key);
    if (!replace(this.#pods, key, next)) return;
    this.#podsByIp.move(key, previous?.ips, next?.ips, next);
    this.#touched(key);
    this.#touchIps(previous?.ips, next?.ips);
  }

  #setService(key: string, next: ServiceFacts | undefined): void {
    const previous = this.#services.get(key);
    if (!replace(this.#services, key, next)) return;
    this.#servicesByIp.move(key, previous?.clusterIps, next?.clusterIps, next);
    this.#touched(key);
    this.#touchIps(previous?.clusterIps, next?.clusterIps);
  }

  #setSlice(key: string, next: SliceFacts | undefined): void {
    const previous = this.#slices.get(key);
    if (!replace(this.#slices, key, next)) return;
    for (const facts of [previous, next]) {
      if (facts === undefined) continue;
      const group = keyOf.slices(facts.namespace, facts.service);
      const slices = this.#slicesByService.get(group) ?? new Map<string, SliceFacts>();
      if (facts === next) slices.set(key, facts);
      else slices.delete(key);
      if (slices.size > 0) this.#slicesByService.set(group, slices);
      else this.#slicesByService.delete(group);
      this.#touched(group);
    }
  }

  #setServer(namespace: string, name: string, next: ServerFacts | undefined): void {
    const servers = this.#servers.get(namespace) ?? new Map<string, ServerFacts>();
    if (!replace(servers, name, next)) return;
    if (servers.size > 0) this.#servers.set(namespace, servers);
    else this.#servers.delete(namespace);
    this.#touched(keyOf.servers(namespace));
  }

  #setProfile(key: string, next: ProfileFacts | undefined): void {
    if (replace(this.#profiles, key, next)) this.#touched(key);
  }

  #touchIps(...lists: readonly (readonly string[] | undefined)[]): void {
    for (const ip of new Set(lists.flatMap((ips) => ips ?? []))) this.#touched(keyOf.ip(ip));
  }
}

/** Values by their addresses, where for a moment two may have one. */
class AddressMap<V> {
  readonly #byIp = new Map<string, Map<string, V>>();

  /** Takes the value of `key` from its former addresses and puts it at its present ones. */
  move(
    key: string,
    from: readonly string[] | undefined,
    to: readonly string[] | undefined,
    value: V | undefined,
  ): void {
    for (const ip of from ?? []) {
      const holders = this.#byIp.get(ipKey(ip));
      holders?.delete(key);
      if (holders?.size === 0) this.#byIp.delete(ipKey(ip));
    }
    if (value === undefined) return;
    for (const ip of to ?? []) {
      const holders = this.#byIp.get(ipKey(ip)) ?? new Map<string, V>();
      holders.set(key, value);
      this.#byIp.set(ipKey(ip), holders);
    }
  }

  /** The greatest holder of an address in the given order. */
  owner(ip: string, order: (a: V, b: V) => number): V | undefined {
    let best: V | undefined;
    for (const value of this.#byIp.get(ipKey(ip))?.values() ?? []) {
      if (best === undefined || order(value, best) > 0) best = value;
    }
    return best;
  }
}

/** Puts, changes or removes an entry; false when that changed nothing. */
function replace<V>(map: Map<string, V>, key: string, next: V | undefined): boolean {
  if (equalValues(map.get(key), next)) return false;
  if (next === undefined) map.delete(key);
  else map.set(key, next);
  return true;
}

/** One text for each address, however it was written. */
function ipKey(ip: string): string {
  return ip.includes(":") ? `${ipBits(ip)?.toString(16) ?? ip}` : ip;
}

function nameOf(facts: { readonly namespace: string; readonly name: string }): string {
  return `${facts.namespace}/${facts.name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
