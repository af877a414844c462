/**
 * The files of a pod's volumes, from ConfigMaps, Secrets, fields of the pod and tokens. Pure: who writes
 * them is `pod-files.ts`.
 */

import { Fault } from "../base/fault.ts";
import { type PodContext, podField, resourceValue } from "./environment.ts";
import type { PodModel } from "./pod-model.ts";
import type { FileSource, Volume } from "./volume-model.ts";

/** One file of a volume. */
export interface VolumeFile {
  readonly path: string;
  readonly contents: Uint8Array;
  readonly mode: number;
}

/** Makes a token for a pod that the identity service of this mesh accepts. */
export type MakeToken = (pod: PodModel, expirationSeconds: number) => Promise<string>;

/** The files of a volume, later sources over earlier ones. Throws `not_found` for what is missing. */
export async function volumeFiles(
  volume: Extract<Volume, { readonly kind: "files" }>,
  context: PodContext,
  token: MakeToken,
): Promise<readonly VolumeFile[]> {
  const files = new Map<string, VolumeFile>();
  for (const source of volume.sources) {
    const found = await sourceFiles(source, volume, context, token);
    for (const file of found) files.set(file.path, file);
  }
  return [...files.values()];
}

async function sourceFiles(
  source: FileSource,
  volume: Extract<Volume, { readonly kind: "files" }>,
  context: PodContext,
  token: MakeToken,
): Promise<VolumeFile[]> {
  const { pod } = context;
  const text = (path: string, contents: string, mode = volume.mode): VolumeFile => ({
    path,
    contents: new TextEncoder().encode(contents),
    mode,
  });
  switch (source.kind) {
    case "token": {
      return [text(source.path, await token(pod, source.expirationSeconds))];
    }
    case "downward":
      return source.items.map(({ path, fieldPath, resource }) => {
        if (resource === null) return text(path, podField(fieldPath ?? "", context));
        const all = [...pod.containers, ...pod.initContainers];
        const container = all.find(({ name }) => name === resource.container);
        if (container === undefined) {
          throw new Fault(
            "not_found",
            `Cannot fill volume "${volume.name}": there is no container "${resource.container}"`,
          );
        }
        return text(path, resourceValue(resource.resource, container, context));
      });
    default:
      return entryFiles(source, volume, context);
  }
}

function entryFiles(
  source: Extract<FileSource, { readonly kind: "configMap" | "secret" }>,
  volume: Extract<Volume, { readonly kind: "files" }>,
  context: PodContext,
): VolumeFile[] {
  const { pod, objects } = context;
  const entries = objects.entries(source.kind, pod.namespace, source.name);
  const what = `${source.kind === "configMap" ? "ConfigMap" : "Secret"} "${source.name}"`;
  const fault = (problem: string) =>
    new Fault(
      "not_found",
      `Cannot fill volume "${volume.name}" of pod ${pod.namespace}/${pod.name}: ${problem}`,
    );
  if (entries === undefined) {
    if (source.optional) return [];
    throw fault(`there is no ${what} in namespace ${pod.namespace}`);
  }
  if (source.items === null) {
    return [...entries].map(([path, contents]) => ({ path, contents, mode: volume.mode }));
  }
  return source.items.flatMap(({ key, path, mode }) => {
    const contents = entries.get(key);
    if (contents !== undefined) return [{ path, contents, mode: mode ?? volume.mode }];
    if (source.optional) return [];
    throw fault(`there is no key "${key}" in ${what} of namespace ${pod.namespace}`);
  });
}
