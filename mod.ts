/**
 * Malla as a library: the domain types of the mesh, the config library that all modes share, and a
 * mesh or a single mode started from a program or a test.
 *
 * ```ts
 * import { startMesh } from "@malla/malla";
 *
 * const mesh = await startMesh({ manifests: ["app/"], publish: ["web:80=8080"] });
 * await mesh.ready;
 * console.log(await (await fetch("http://127.0.0.1:8080/")).text());
 * await mesh.stop();
 * ```
 *
 * @module
 */

import { currentDirectory, environment, sourceCommand, spawn } from "./lib/host/process.ts";
import { parsePublication, startMesh as startLocalMesh } from "./lib/local/mod.ts";

export { Fault, type FaultCode, type FaultOptions, type FaultSource } from "./lib/base/fault.ts";
export {
  boolean,
  ConfigFault,
  defineSettings,
  type Definition,
  duration,
  type Environment,
  helpText,
  type HostPort,
  hostPort,
  integer,
  list,
  loadSettings,
  networks,
  nonEmpty,
  oneOf,
  type ParsedSetting,
  type Schema,
  type Setting,
  type Settings,
  type SettingSources,
  type SettingType,
  socketAddress,
  string,
  type ValueOf,
} from "./lib/config/mod.ts";
export {
  formatAddress,
  type Network,
  networkContains,
  parseAddress,
  parseNetwork,
  type SocketAddress,
} from "./lib/mesh/address.ts";
export type { Endpoint, EndpointUpdate, PeerIdentity, ProtocolHint } from "./lib/mesh/endpoint.ts";
export {
  identityName,
  parseIdentityName,
  spiffeUri,
  type WorkloadIdentity,
} from "./lib/mesh/identity.ts";
export type {
  Authorization,
  Backend,
  ClientMatch,
  ClientPolicy,
  PortProtocol,
  ProbeRequest,
  Profile,
  ResourceRef,
  Route,
  RouteAction,
  ServerPolicy,
} from "./lib/mesh/policy.ts";
export type { BackoffBounds } from "./lib/base/backoff.ts";
export type {
  FailureAccrual,
  HedgePolicy,
  LoadPenalty,
  RetryBudget,
  RetryPolicy,
  RouteTimeouts,
  SuccessRatePolicy,
} from "./lib/mesh/reliability.ts";
export type {
  ProfileOverride,
  ProfileRoute,
  RequestMatch,
  ResponseClass,
  ResponseMatch,
} from "./lib/mesh/service-profile.ts";

/** The modes of the executable that serve, and so can be started and stopped. */
export type ServingMode = "proxy" | "controller" | "identity" | "injector" | "viz";

/** How to start a laptop mesh; see `malla up --help` for the same as flags. */
export interface MeshSettings {
  /** Manifest files and folders, relative to the current directory. */
  readonly manifests: readonly string[];
  /** Namespace of objects that name none; default `default`. */
  readonly namespace?: string;
  /** `SVC[.NS]:PORT=HOSTPORT`: Services to reach on 127.0.0.1. */
  readonly publish?: readonly string[];
  /** What to run for a workload or container, in place of its command, by its name. */
  readonly commands?: Readonly<Record<string, string>>;
  /** Port of the live page on 127.0.0.1; 0 takes a free one; default 8084. */
  readonly pagePort?: number;
  /** Takes the log lines of all containers; default: they go to standard output. */
  readonly log?: (chunk: Uint8Array) => void;
  /** The words that start Malla; default: this package's source, by Bun. */
  readonly executable?: readonly string[];
}

/** A running mesh. */
export interface Mesh {
  /** Where the live page is. */
  readonly pageUrl: string;
  /** Resolves when every pod is ready and published ports lead to them; rejects when it ends before. */
  readonly ready: Promise<void>;
  /** Resolves with the exit code when everything has ended and nothing is left. */
  readonly ended: Promise<number>;
  /** Ends the mesh and waits for that. */
  stop(): Promise<number>;
}

/** How to start one mode. */
export interface ModeSettings {
  /** Flags, as on the command line. */
  readonly args?: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The words that start Malla; default: this package's source, by Bun. */
  readonly executable?: readonly string[];
}

/** A running mode. */
export interface Mode {
  /** Its process. */
  readonly pid: number;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  /** Asks it to drain and end (SIGTERM), and waits for that. */
  stop(): Promise<number>;
}

/**
 * Starts a laptop mesh: needs Linux with user namespaces, `iproute2` and `iptables`, but no root. Throws
 * a `Fault` before anything runs when a manifest or the machine is not fit; its message says why.
 */
export async function startMesh(settings: MeshSettings): Promise<Mesh> {
  const mesh = await startLocalMesh({
    places: settings.manifests,
    namespace: settings.namespace ?? "default",
    overrides: new Map(Object.entries(settings.commands ?? {})),
    published: (settings.publish ?? []).map((text) => parsePublication(text)),
    pagePort: settings.pagePort ?? 8084,
    colours: false,
    logLevel: "warn",
    proxyLogLevel: "warn",
    graceMs: 5_000,
    executable: settings.executable ?? ownSource(),
    output: settings.log ?? "inherit",
  });
  return {
    pageUrl: mesh.pageUrl,
    ready: mesh.ready,
    ended: mesh.ended,
    stop() {
      mesh.stop();
      return mesh.ended;
    },
  };
}

/** Starts one mode as a process, with its log on this process's standard error. */
export function startMode(mode: ServingMode, settings: ModeSettings = {}): Mode {
  const child = spawn({
    command: [...settings.executable ?? ownSource(), mode, ...settings.args ?? []],
    env: { ...environment(), ...settings.env },
    cwd: currentDirectory(),
    stdout: "inherit",
    stderr: "inherit",
  });
  const ended = child.exited.then((exit) => exit.code);
  return {
    pid: child.pid,
    ended,
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

function ownSource(): readonly string[] {
  return sourceCommand(decodeURIComponent(new URL("cmd/malla.ts", import.meta.url).pathname));
}
