/**
 * All objects of the mesh but its running pods: the user's, the control plane's, and those of added
 * processes; completed with addresses and written for the controller and the dashboard.
 */

import type { InjectNamespace } from "../inject/mod.ts";
import { ConfigObjects } from "./config-objects.ts";
import { controlObjects } from "./control-objects.ts";
import { namespacesOf } from "./injection.ts";
import { canonical, type MeshNetworks } from "./names.ts";
import type { ObjectFolder } from "./object-folder.ts";
import { Reader } from "./reader.ts";
import { ServiceAddresses } from "./service-addresses.ts";
import type { Manifest } from "./workloads.ts";

/** Keeps the folder of objects in step with what is given. */
export class MeshObjects {
  /** ConfigMaps and Secrets, for the pods. */
  readonly configs = new ConfigObjects();
  readonly #folder: ObjectFolder;
  readonly #addresses: ServiceAddresses;
  #namespaces: ReadonlyMap<string, InjectNamespace> = new Map();
  #manifests: readonly Manifest[] = [];
  #added: readonly Manifest[] = [];
  #written: readonly Manifest[] = [];

  constructor(folder: ObjectFolder, networks: readonly MeshNetworks[]) {
    this.#folder = folder;
    this.#addresses = new ServiceAddresses(networks.map(({ version }) => version));
    this.#write();
  }

  /** The namespaces with annotations. */
  get namespaces(): ReadonlyMap<string, InjectNamespace> {
    return this.#namespaces;
  }

  /** Replaces the user's objects. Returns whether any of them is new, gone or different. */
  apply(manifests: readonly Manifest[]): boolean {
    const changed = canonical(manifests) !== canonical(this.#manifests);
    this.#manifests = manifests;
    this.#write();
    return changed;
  }

  /** Whether there is an object of this kind and name. */
  has(kind: string, namespace: string, name: string): boolean {
    return [...this.#manifests, ...this.#added].some((object) => {
      const reader = new Reader(object);
      const metadata = reader.at("metadata");
      return reader.at("kind").value === kind && metadata.at("name").value === name &&
        metadata.at("namespace").textOr("") === namespace;
    });
  }

  add(objects: readonly Manifest[]): void {
    this.#added = [...this.#added, ...objects];
    this.#write();
  }

  remove(objects: readonly Manifest[]): void {
    this.#added = this.#added.filter((object) => !objects.includes(object));
    this.#write();
  }

  #write(): void {
    const all = [...controlObjects(), ...this.#manifests, ...this.#added];
    // Pods are written with their status by whoever runs them.
    const next = this.#addresses.fill(all).filter(({ kind }) => kind !== "Pod");
    this.configs.replace(next);
    this.#namespaces = namespacesOf(next);
    this.#folder.replace(this.#written, next);
    this.#written = next;
  }
}
