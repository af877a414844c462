/**
 * What `malla up` hands to its inner node, and what both say to each other. The specification is the
 * first line on the node's standard input, which stays open: its end means that `malla up` is gone.
 */

import type { Publication } from "./publish.ts";

/** Everything that the node must know. */
export interface NodeSpec {
  /** The mesh's folder on the machine, private to its user. */
  readonly folder: string;
  /** Absolute paths of the manifests, files and folders. */
  readonly places: readonly string[];
  readonly namespace: string;
  /** The directory of `malla up`. */
  readonly workingDir: string;
  /** The environment of `malla up`. */
  readonly environment: Readonly<Record<string, string>>;
  /** `--exec NAME='CMD'`. */
  readonly overrides: Readonly<Record<string, string>>;
  /** The user of `malla up`, whose id applications see. */
  readonly uid: number;
  readonly gid: number;
  readonly ownCommand: readonly string[];
  readonly colours: boolean;
  readonly logLevel: "error" | "warn" | "info" | "debug";
  /** The level of the proxies' logs. */
  readonly proxyLogLevel: string;
  readonly graceMs: number;
  /** For the summary line. */
  readonly pageUrl: string;
  readonly published: readonly Publication[];
  /** When `malla up` was started, for the summary line. */
  readonly startedAtMs: number;
}

/** What is asked of the node over its control socket. */
export type NodeRequest =
  /** End: stop everything and exit. A second one ends at once. */
  | { readonly type: "stop" }
  /** Tell what happens. */
  | { readonly type: "watch" }
  /** Add a process. The connection's end takes it away again. */
  | {
    readonly type: "run";
    readonly name: string;
    readonly namespace: string;
    /** null: nobody calls it. */
    readonly port: number | null;
    readonly command: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    readonly workingDir: string;
  }
  /** End the added process, and tell its exit code. */
  | { readonly type: "end" };

/** What the node answers. */
export type NodeEvent =
  /** All pods are ready, for the first time. */
  | { readonly type: "ready"; readonly pods: number }
  /** What was asked for cannot be done, or could not go on. */
  | { readonly type: "failed"; readonly message: string }
  /** Output of a process that was added by `run`, in base64. */
  | { readonly type: "output"; readonly stream: "out" | "err"; readonly data: string }
  /** The added process serves. */
  | { readonly type: "running"; readonly ip: string }
  | { readonly type: "exit"; readonly code: number };

/** The node's control socket in the mesh's folder. */
export function controlSocketPath(folder: string): string {
  return `${folder}/control.sock`;
}

/** The folder that the node mounts its private file system over. */
export function innerFolder(folder: string): string {
  return `${folder}/inner`;
}

/** The socket on which the outer process makes connections into the machine's network. */
export function outsideSocketPath(folder: string): string {
  return `${folder}/outside.sock`;
}

/** The socket on which the node makes connections to Services. */
export function insideSocketPath(folder: string): string {
  return `${folder}/inside.sock`;
}
