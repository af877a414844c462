/**
 * The note that a running laptop mesh leaves for the command line: who runs it, since when, and where
 * it answers. One mesh per user; the file lies where only that user can write.
 */

/** What `malla up` writes when its mesh is ready, and removes at its end. */
export interface MeshState {
  /** The process of `malla up` in the machine's own namespaces. */
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The live page and the metrics API as the machine reaches them: `http://127.0.0.1:8084`. */
  readonly pageUrl: string;
  /** The unix socket on which the mesh takes commands, such as `malla run`. */
  readonly controlSocket: string;
}

/** Where the file of this user's mesh lies. `MALLA_STATE` in the environment names another place. */
export function meshStatePath(
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
): string {
  if (env["MALLA_STATE"]) return env["MALLA_STATE"];
  const folder = env["XDG_RUNTIME_DIR"] ? `${env["XDG_RUNTIME_DIR"]}/malla` : `/tmp/malla-${uid}`;
  return `${folder}/mesh.json`;
}

/** The file's text. */
export function formatMeshState(state: MeshState): string {
  return `${JSON.stringify(state, null, 2)}\n`;
}

/** Reads the file's text; undefined when it is not one (half written, or of another program). */
export function parseMeshState(text: string): MeshState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // Told by the result: the caller treats it like no mesh.
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, startedAt, pageUrl, controlSocket } = value as Partial<Record<string, unknown>>;
  if (typeof pid !== "number" || typeof startedAt !== "string") return undefined;
  if (typeof pageUrl !== "string" || typeof controlSocket !== "string") return undefined;
  return { pid, startedAt, pageUrl, controlSocket };
}
