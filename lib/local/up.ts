/** Starting and ending a laptop mesh from a program: `malla up`, `malla demo`, tests. */

import { Fault } from "../base/fault.ts";
import { systemClock } from "../host/clock.ts";
import { absolutePath, removeEmptyFolder, removeTree, textAt } from "../host/directory.ts";
import { removeFile, splitPath, writeTextAtomic } from "../host/files.ts";
import {
  type Child,
  currentDirectory,
  environment,
  ownCommand,
  ownIds,
  ownPid,
  signalProcess,
} from "../host/process.ts";
import { connectLines, type LinePeer } from "../host/unix-lines.ts";
import { Changes } from "./changes.ts";
import { manifestFiles, type ManifestSet, readManifests } from "./manifest-set.ts";
import { shorten } from "./manifest-watch.ts";
import { makeMeshFolder } from "./mesh-folder.ts";
import {
  controlSocketPath,
  insideSocketPath,
  type NodeEvent,
  type NodeRequest,
  type NodeSpec,
  outsideSocketPath,
} from "./node-spec.ts";
import { checkMachine, startNode } from "./outer.ts";
import { createBunNet } from "../host/bun-net.ts";
import { childrenOf } from "../host/namespace.ts";
import { lookUpName, queryMachine } from "../host/machine-dns.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { PAGE_SERVICE } from "./control-objects.ts";
import { MESH_ADDRESSES, MESH_ADDRESSES_6, MESH_NAMES, networksOf } from "./names.ts";
import { serveOutside } from "./outside.ts";
import { checkPublications, type Publication, publish, type PublishOptions } from "./publish.ts";
import type { Listener } from "../host/net.ts";
import { formatMeshState, meshStatePath } from "./state.ts";

/** How to start a mesh. */
export interface MeshOptions {
  /** Manifest files and folders. */
  readonly places: readonly string[];
  readonly namespace: string;
  readonly overrides: ReadonlyMap<string, string>;
  readonly published: readonly Publication[];
  /** Port of the live page on 127.0.0.1; 0 takes a free one. */
  readonly pagePort: number;
  readonly colours: boolean;
  readonly logLevel: NodeSpec["logLevel"];
  readonly proxyLogLevel: string;
  /** How long programs may take to end after SIGTERM. */
  readonly graceMs: number;
  /** The words that start this program; for a program that uses it as a library. */
  readonly executable?: readonly string[];
  /** Where log lines go. */
  readonly output: "inherit" | ((chunk: Uint8Array) => void);
}

/** A mesh that was started. */
export interface RunningMesh {
  readonly folder: string;
  /** Where the live page is. */
  readonly pageUrl: string;
  /** Resolves when every pod is ready and published ports lead to them; rejects when the mesh ends before. */
  readonly ready: Promise<void>;
  /** Resolves with the exit code when everything has ended and is cleaned up. */
  readonly ended: Promise<number>;
  /** Begins to end it; a second call ends it at once. */
  stop(): void;
}

/** How often a node that is starting is asked whether it listens. */
const CONNECT_POLL_MS = 20;

/** Reads and checks the manifests. Throws `invalid_argument` with every error in its message. */
export function checkManifests(options: MeshOptions): ManifestSet {
  const from = currentDirectory();
  const files = manifestFiles(options.places, from);
  const set = readManifests(files, {
    namespace: options.namespace,
    overrides: options.overrides,
    shown: (path) => shorten(path, from),
  });
  const errors = [...set.errors, ...unknownOverrides(set, options.overrides)];
  if (errors.length > 0) throw new Fault("invalid_argument", errors.join("\n"));
  return set;
}

/** Starts a mesh. Throws a fault, before anything runs, for what cannot be started. */
export async function startMesh(options: MeshOptions): Promise<RunningMesh> {
  const startedAtMs = systemClock.nowMs();
  const env = environment();
  const { uid, gid } = ownIds();
  checkManifests(options);
  checkPublications([pagePublication(options.pagePort), ...options.published]);
  await checkMachine(env["PATH"]);
  const folder = makeMeshFolder(env, uid);
  const outside = listenOutside(folder, options);
  const { pageUrl } = outside;
  const workingDir = currentDirectory();
  const child = startNode({
    folder,
    places: options.places.map((place) => absolutePath(place, workingDir)),
    namespace: options.namespace,
    workingDir,
    environment: env,
    overrides: Object.fromEntries(options.overrides),
    uid,
    gid,
    ownCommand: options.executable ?? ownCommand(),
    colours: options.colours,
    logLevel: options.logLevel,
    proxyLogLevel: options.proxyLogLevel,
    graceMs: options.graceMs,
    pageUrl,
    published: options.published,
    startedAtMs,
  }, options.output);
  const statePath = meshStatePath(env, uid);
  const state = formatMeshState({
    pid: ownPid(),
    startedAt: new Date(startedAtMs).toISOString(),
    pageUrl,
    controlSocket: controlSocketPath(folder),
  });
  await writeTextAtomic(statePath, state, 0o600);
  return new Handle(child, { folder, pageUrl }, async () => {
    outside.stop();
    // Another mesh of this user may have left its note there in the meantime.
    if (textAt(statePath) === state) await removeFile(statePath);
    removeTree(folder);
    removeEmptyFolder(splitPath(folder).folder);
  });
}

/** The machine's side of the mesh. */
interface Outside {
  readonly pageUrl: string;
  stop(): void;
}

/** What the machine's side of the mesh listens on: sockets for the node, ports for the user. */
function listenOutside(folder: string, options: MeshOptions): Outside {
  const net = createBunNet();
  const clock = systemClock;
  const stops: (() => void)[] = [];
  const page = pagePublication(options.pagePort);
  try {
    const outside = serveOutside({
      net,
      clock,
      path: outsideSocketPath(folder),
      meshNetworks: [MESH_ADDRESSES, MESH_ADDRESSES_6].flatMap(networksOf),
      resolve: lookUpName,
      query: queryMachine,
    });
    stops.push(() => outside.stop());
    const relayPath = insideSocketPath(folder);
    const publishOptions = { net, clock, log: silentLogger, relayPath };
    const pageListener = publishPage(page, publishOptions);
    stops.push(() => pageListener.stop());
    for (const publication of options.published) {
      const listener = publish(publication, publishOptions);
      stops.push(() => listener.stop());
    }
    return {
      pageUrl: `http://127.0.0.1:${pageListener.address.port}`,
      stop: () => stops.forEach((stop) => stop()),
    };
  } catch (error) {
    for (const stop of stops) stop();
    removeTree(folder);
    removeEmptyFolder(splitPath(folder).folder);
    throw error;
  }
}

function pagePublication(hostPort: number): Publication {
  const { name, port } = PAGE_SERVICE;
  return { namespace: MESH_NAMES.controlPlane, service: name, port, hostPort };
}

function publishPage(page: Publication, options: PublishOptions): Listener {
  try {
    return publish(page, options);
  } catch (cause) {
    throw new Fault(
      "unavailable",
      `Cannot serve the live page on 127.0.0.1:${page.hostPort}: is the port in use, perhaps by ` +
        "another mesh? End what uses it, or choose another one with --page-port",
      { cause },
    );
  }
}

class Handle implements RunningMesh {
  readonly folder: string;
  readonly pageUrl: string;
  readonly ready: Promise<void>;
  readonly ended: Promise<number>;
  readonly #child: Child;
  readonly #changes = new Changes();
  #peer: LinePeer | null = null;
  #isReady = false;
  #isOver = false;
  #stops = 0;

  constructor(
    child: Child,
    { folder, pageUrl }: Pick<RunningMesh, "folder" | "pageUrl">,
    cleanUp: () => Promise<void>,
  ) {
    this.#child = child;
    this.folder = folder;
    this.pageUrl = pageUrl;
    this.ended = child.exited.then(async ({ code }) => {
      this.#isOver = true;
      this.#changes.ring();
      await cleanUp();
      return this.#stops > 1 ? 130 : code;
    });
    this.ready = this.#changes.until(() => this.#isReady || this.#isOver).then(() => {
      if (!this.#isReady) throw new Fault("unavailable", "The mesh ended before it was ready");
    });
    // Whoever does not wait for readiness must not die of it.
    this.ready.catch(() => {});
    void this.#connect();
  }

  stop(): void {
    this.#stops++;
    if (this.#stops > 1 || this.#peer === null) {
      // The first process of the mesh is our child's child. Its parent sees its end only when the
      // kernel has ended everything in there.
      const [node] = childrenOf(this.#child.pid);
      if (node === undefined) this.#child.kill("SIGKILL");
      else signalProcess(node, "SIGKILL");
    } else this.#send({ type: "stop" });
  }

  #send(request: NodeRequest): void {
    this.#peer?.send(request);
  }

  async #connect(): Promise<void> {
    const path = controlSocketPath(this.folder);
    while (!this.#isOver && this.#peer === null) {
      try {
        this.#peer = await connectLines(path, {
          message: (value) => this.#take(value as NodeEvent),
          closed: () => {},
        });
        this.#send({ type: "watch" });
      } catch {
        // It does not listen yet: its namespaces are being made.
        await new Promise<void>((resolve) => systemClock.after(CONNECT_POLL_MS, resolve));
      }
    }
  }

  #take(event: NodeEvent): void {
    if (event.type === "ready") this.#isReady = true;
    this.#changes.ring();
  }
}

function unknownOverrides(set: ManifestSet, overrides: ReadonlyMap<string, string>): string[] {
  const known = new Set(
    set.workloads.flatMap((
      { name, model },
    ) => [name, ...model.containers.map((each) => each.name)]),
  );
  return [...overrides.keys()].filter((name) => !known.has(name)).map((name) =>
    `--exec ${name}: there is no workload or container of this name; there are ` +
    `${[...known].sort().join(", ") || "none"}`
  );
}
