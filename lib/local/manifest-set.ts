/**
 * The user's manifests: all files of all given places, parsed, with defaults filled in and checked
 * against each other. Errors are sentences that begin with file and line.
 */

import { Fault } from "../base/fault.ts";
import { absolutePath, entriesOf, exists, kindAt, textAt } from "../host/directory.ts";
import { parseManifests } from "../source/files/mod.ts";
import { chooseCommand, type CommandOverrides, missingCommand } from "./command.ts";
import { FieldFault, type FieldPath, formatPath, Reader } from "./reader.ts";
import { serviceFamilies } from "./service-addresses.ts";
import { type Manifest, readWorkload, type Workload } from "./workloads.ts";

/** What is in the manifests. */
export interface ManifestSet {
  /** Every object, with its namespace. */
  readonly objects: readonly Manifest[];
  readonly workloads: readonly Workload[];
  /** Each begins with `file:line: `. */
  readonly errors: readonly string[];
  /** What was left out without harm. */
  readonly notes: readonly string[];
}

/** Kinds without a namespace; anything else gets the default one. */
const CLUSTER_KINDS = new Set([
  "Namespace",
  "Node",
  "PersistentVolume",
  "ClusterRole",
  "ClusterRoleBinding",
  "StorageClass",
  "GatewayClass",
  "CustomResourceDefinition",
]);

/** The files that the places stand for. Throws `not_found` for a place that does not exist. */
export function manifestFiles(places: readonly string[], from: string): readonly string[] {
  return places.flatMap((place) => {
    const path = absolutePath(place, from);
    if (!exists(path)) {
      throw new Fault("not_found", `Cannot read manifests from "${place}": no such file or folder`);
    }
    if (kindAt(path) === "file") return [path];
    const names = entriesOf(`${path}/`).map(({ name }) => name)
      .filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name));
    if (names.length === 0) {
      throw new Fault(
        "not_found",
        `Cannot read manifests from "${place}": expected files named *.yaml, *.yml or *.json in it`,
      );
    }
    return names.map((name) => `${path}/${name}`);
  });
}

/** How manifests are read. */
export interface ReadingOptions {
  /** The namespace of objects that name none. */
  readonly namespace: string;
  /** Commands that replace those of the manifests. */
  readonly overrides: CommandOverrides;
  /** Shortens a path for messages. */
  shown(path: string): string;
}

/** Reads the files. */
export function readManifests(files: readonly string[], options: ReadingOptions): ManifestSet {
  const set = new Builder(options);
  const { shown } = options;
  for (const file of files) {
    const text = textAt(file);
    if (text === null) {
      set.errors.push(`${shown(file)}:1: cannot be read`);
      continue;
    }
    const parsed = parseManifests(text, shown(file));
    set.errors.push(...parsed.errors);
    set.notes.push(...parsed.notes);
    for (const manifest of parsed.manifests) {
      set.add(manifest.raw, (path) => `${manifest.file}:${parsed.lineOf(manifest, path)}`);
    }
  }
  return set;
}

class Builder implements ManifestSet {
  readonly objects: Manifest[] = [];
  readonly workloads: Workload[] = [];
  readonly errors: string[] = [];
  readonly notes: string[] = [];
  readonly #options: ReadingOptions;
  readonly #places = new Map<string, string>();
  readonly #clusterIps = new Map<string, string>();

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  add(raw: Manifest, place: (path: FieldPath) => string): void {
    try {
      this.#add(raw, place);
    } catch (error) {
      if (!(error instanceof FieldFault)) throw error;
      const { path, reason } = error;
      this.errors.push(`${place(path)}: ${title(raw)}: ${formatPath(path)}: ${reason}`);
    }
  }

  #add(raw: Manifest, placeOf: (path: FieldPath) => string): void {
    const place = placeOf([]);
    const object = this.#withNamespace(raw);
    const reader = new Reader(object);
    const metadata = reader.at("metadata");
    const kind = reader.at("kind").text();
    const key = `${kind}/${metadata.at("namespace").textOr("")}/${metadata.at("name").text()}`;
    const former = this.#places.get(key);
    if (former !== undefined) {
      this.errors.push(`${place}: ${title(raw)} is already defined in ${former}`);
      return;
    }
    this.#places.set(key, place);
    if (kind === "Service") this.#checkService(reader, place);
    const workload = readWorkload(object, this.#options.namespace);
    if (workload !== null) {
      for (const { path, problem } of this.#missingCommands(workload)) {
        this.errors.push(`${placeOf(path)}: ${title(raw)}: ${problem}`);
      }
      this.workloads.push(workload);
    }
    this.objects.push(object);
  }

  #missingCommands({ kind, name, model }: Workload) {
    const { overrides } = this.#options;
    const above = kind === "Pod" ? ["spec"] : ["spec", "template", "spec"];
    return (["initContainers", "containers"] as const).flatMap((list) =>
      model[list].flatMap((container, index) => {
        if (chooseCommand(container, model, name, overrides) !== null) return [];
        return [{ path: [...above, list, index], problem: missingCommand(container, name) }];
      })
    );
  }

  #withNamespace(raw: Manifest): Manifest {
    const reader = new Reader(raw);
    if (CLUSTER_KINDS.has(reader.at("kind").textOr(""))) return raw;
    const namespace = reader.at("metadata").at("namespace").textOr("") || this.#options.namespace;
    return { ...raw, metadata: { ...(raw["metadata"] as object | undefined), namespace } };
  }

  #checkService(service: Reader, place: string): void {
    const spec = service.at("spec");
    const ip = spec.at("clusterIP").textOr("");
    const name = title(service.value as Manifest);
    if (ip !== "" && ip !== "None") {
      const former = this.#clusterIps.get(ip);
      if (former !== undefined) {
        throw spec.at("clusterIP").wrong(`an address of its own: ${former} has it`);
      }
      this.#clusterIps.set(ip, `${name} (${place})`);
    }
    serviceFamilies(spec);
    const ports = new Set<string>();
    for (const port of spec.at("ports").items()) {
      const number = port.at("port").integer(1, 65_535);
      const key = `${number}/${port.at("protocol").textOr("TCP")}`;
      if (ports.has(key)) throw port.at("port").wrong("a port that the Service has not yet");
      ports.add(key);
    }
  }
}

function title(raw: Manifest): string {
  const name = new Reader(raw).at("metadata").at("name").value;
  return `${String(raw["kind"])} "${String(name)}"`;
}
