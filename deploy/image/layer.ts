/**
 * Layers of an image: files as values, and their bytes as a tar archive that depends on nothing else:
 * sorted, owned by root, and without times.
 */

import { pack } from "tar-stream";

/** One file, link or folder of a layer. Paths are absolute; parents are made where none is given. */
export type Entry =
  | {
    readonly kind: "file";
    readonly path: string;
    readonly content: Uint8Array | string;
    /** Default: 0o644. */
    readonly mode?: number;
  }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | {
    readonly kind: "folder";
    readonly path: string;
    /** Default: 0o755. */
    readonly mode?: number;
  };

/** Some entries that belong together. */
export interface Layer {
  /** What stands in the image's history. */
  readonly comment: string;
  readonly entries: readonly Entry[];
}

/** The bytes of a layer, uncompressed. Rejects when a path occurs twice or is not absolute. */
export async function layerTar(layer: Layer): Promise<Uint8Array> {
  const archive = pack();
  const collected = collect(archive);
  for (const entry of withParents(layer.entries)) {
    const name = entry.path.slice(1);
    const common = { uid: 0, gid: 0, mtime: new Date(0) };
    if (entry.kind === "link") {
      archive.entry({ ...common, name, type: "symlink", linkname: entry.target, mode: 0o777 });
    } else if (entry.kind === "folder") {
      archive.entry({ ...common, name, type: "directory", mode: entry.mode ?? 0o755 });
    } else {
      const { content, mode = 0o644 } = entry;
      archive.entry({ ...common, name, type: "file", mode }, Buffer.from(content));
    }
  }
  archive.finalize();
  return await collected;
}

/** The entries in the order of their paths, each after its folder. */
export function withParents(entries: readonly Entry[]): Entry[] {
  const found = new Map<string, Entry>();
  for (const entry of entries) {
    if (!/^(\/[^/]+)+$/.test(entry.path)) {
      throw new Error(`Cannot put "${entry.path}" into a layer: expected an absolute path`);
    }
    if (found.has(entry.path)) throw new Error(`Cannot put "${entry.path}" into a layer twice`);
    found.set(entry.path, entry);
  }
  for (const { path } of entries) {
    const parts = path.split("/").slice(1, -1);
    for (let depth = 1; depth <= parts.length; depth++) {
      const parent = `/${parts.slice(0, depth).join("/")}`;
      if (!found.has(parent)) found.set(parent, { kind: "folder", path: parent });
    }
  }
  // By bytes, not by the language of whoever builds.
  return [...found.values()].sort((a, b) => a.path < b.path ? -1 : 1);
}

/** Everything that a stream of bytes gives, in one piece. */
export async function collect(stream: AsyncIterable<unknown>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    if (chunk instanceof Uint8Array) chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
