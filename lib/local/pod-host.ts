/** What a pod needs of the mesh that it runs in. */

import type { Clock } from "../host/clock.ts";
import type { CommandOverrides } from "./command.ts";
import type { ConfigLookup } from "./environment.ts";
import type { LineStream } from "./log-lines.ts";
import type { MeshNetworks } from "./names.ts";
import type { Rights, SandboxPrograms } from "./sandbox.ts";
import type { MakeToken } from "./volume-files.ts";

/** The mesh as a pod sees it; the same for all pods. */
export interface PodHost {
  readonly clock: Clock;
  /** A folder on the mesh's private file system. */
  readonly folder: string;
  /** The mesh's folder, which has everything in it that pods must not see. */
  readonly meshFolder: string;
  readonly nodeName: string;
  /** The mesh's networks, one for each IP version, IPv4 first. */
  readonly networks: readonly MeshNetworks[];
  /** The directory of `malla up`. */
  readonly workingDir: string;
  /** The words that start this executable. */
  readonly ownCommand: readonly string[];
  /** The environment of the mesh's own programs, before their container's. */
  readonly ownEnvironment: Readonly<Record<string, string>>;
  /** The environment of applications, before their container's. */
  readonly applicationEnvironment: Readonly<Record<string, string>>;
  readonly programs: SandboxPrograms;
  readonly machine: { readonly cores: number; readonly memoryBytes: number };
  readonly overrides: CommandOverrides;
  readonly objects: ConfigLookup;
  readonly makeToken: MakeToken;
  /** How long programs may take to end after SIGTERM, unless the pod says less. */
  readonly graceMs: number;
  /** Say nothing of what went as it should. */
  readonly quiet: boolean;
  /** The user that an application runs as; `asked` is the manifest's `runAsUser`. */
  applicationRights(asked: number | null): Rights;
  /** A new stream of log lines under this name. */
  lines(name: string): LineStream;
  complain(text: string): void;
}
