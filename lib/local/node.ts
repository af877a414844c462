/**
 * The inner node: the first process in the mesh's namespaces. It makes the network, starts the control
 * plane and the pods, takes commands on a unix socket, and when it ends the kernel ends everything.
 */

import { describeError } from "../base/fault.ts";
import { createBunNet } from "../host/bun-net.ts";
import { type Clock, systemClock } from "../host/clock.ts";
import { makeFolder } from "../host/directory.ts";
import { OrphanReaper } from "../host/namespace.ts";
import { exitNow } from "../host/process.ts";
import { type LineHandler, type LinePeer, listenLines } from "../host/unix-lines.ts";
import type { InjectNamespace } from "../inject/mod.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { applicationEnvironment, ownEnvironment } from "./application-environment.ts";
import { ConfigObjects } from "./config-objects.ts";
import { controlObjects } from "./control-objects.ts";
import { ControlPlane } from "./control-plane.ts";
import { Gateway } from "./gateway.ts";
import { feedGateway } from "./gateway-feed.ts";
import { injectOptions, namespacesOf, preparePod } from "./injection.ts";
import { LogPrinter } from "./log-lines.ts";
import { ManifestWatch } from "./manifest-watch.ts";
import { Mesh } from "./mesh.ts";
import { MESH_ADDRESSES, MESH_NAMES } from "./names.ts";
import { BRIDGE, makeMeshNetwork } from "./network.ts";
import { maskNameServices, mountPrivate } from "./node-setup.ts";
import {
  controlSocketPath,
  innerFolder,
  insideSocketPath,
  type NodeEvent,
  type NodeRequest,
  type NodeSpec,
  outsideSocketPath,
} from "./node-spec.ts";
import { ObjectFolder } from "./object-folder.ts";
import type { PodHost } from "./pod-host.ts";
import type { Rights } from "./sandbox.ts";
import { ServiceAddresses } from "./service-addresses.ts";
import { type Manifest, NODE_NAME } from "./workloads.ts";

/** How often orphans are buried. */
const REAP_MS = 1_000;
/** By then no proxy is left that could ask anything. */
const CONTROL_GRACE_MS = 1_000;
/** The id that applications get where `malla up` itself runs as root: programs refuse or distrust 0. */
const ORDINARY_ID = 1000;

/** Runs the node until it is told to stop; resolves with the exit code. */
export async function runNode(
  spec: NodeSpec,
  write: (text: string) => void,
  machine: PodHost["machine"],
): Promise<number> {
  const node = new Node(spec, write, machine);
  return await node.run();
}

class Node {
  readonly #spec: NodeSpec;
  readonly #clock: Clock = systemClock;
  readonly #log: LogPrinter;
  readonly #configs = new ConfigObjects();
  readonly #watchers = new Set<LinePeer>();
  readonly #machine: PodHost["machine"];
  readonly #ended = Promise.withResolvers<number>();
  #mesh: Mesh | null = null;
  #control: ControlPlane | null = null;
  #namespaces: ReadonlyMap<string, InjectNamespace> = new Map();
  #stopping = false;
  #told = false;

  constructor(spec: NodeSpec, write: (text: string) => void, machine: PodHost["machine"]) {
    this.#spec = spec;
    this.#machine = machine;
    this.#log = new LogPrinter(write, { colours: spec.colours, widthMax: 40 });
  }

  async run(): Promise<number> {
    const reaper = new OrphanReaper();
    this.#clock.every(REAP_MS, () => void reaper.sweep());
    const { folder } = this.#spec;
    const inner = innerFolder(folder);
    await mountPrivate(inner);
    await maskNameServices();
    await makeMeshNetwork();
    for (const name of ["pods", "control"]) makeFolder(`${inner}/${name}`);
    const objects = new ObjectFolder(`${inner}/objects`, `${inner}/drafts`);
    const control = await this.#startControlPlane(`${inner}/control`, `${inner}/objects`);
    this.#control = control;
    await this.#startGateway(inner);
    const mesh = this.#makeMesh(control, objects, `${inner}/pods`);
    this.#mesh = mesh;
    await listenLines(controlSocketPath(folder), (peer) => this.#accept(peer));
    this.#followManifests(mesh, objects);
    return await this.#ended.promise;
  }

  async #startControlPlane(folder: string, objects: string): Promise<ControlPlane> {
    const control = await ControlPlane.prepare({
      folder,
      objects,
      ownCommand: this.#spec.ownCommand,
      environment: ownEnvironment(this.#spec.environment),
      logLevel: this.#spec.logLevel,
      clock: this.#clock,
      lines: (name) => this.#log.stream(name),
      complain: (text) => this.#log.complain(text),
    });
    control.start();
    return control;
  }

  async #startGateway(inner: string): Promise<void> {
    const gateway = await Gateway.start({
      net: createBunNet(),
      clock: this.#clock,
      log: this.#logger(),
      bridge: BRIDGE,
      address: MESH_ADDRESSES.gateway,
      podNetwork: MESH_ADDRESSES.podNetwork,
      serviceNetwork: MESH_ADDRESSES.serviceNetwork,
      clusterDomain: MESH_NAMES.domain,
      outsidePath: outsideSocketPath(this.#spec.folder),
      insidePath: insideSocketPath(this.#spec.folder),
      lockPath: `${inner}/xtables.lock`,
    });
    await feedGateway(gateway, `${inner}/objects`, this.#clock);
  }

  #makeMesh(control: ControlPlane, objects: ObjectFolder, folder: string): Mesh {
    const options = injectOptions(control.trustAnchors, this.#spec.proxyLogLevel);
    const mesh = new Mesh({
      host: this.#podHost(folder, control),
      objects,
      prepare: (plan) =>
        preparePod(plan, this.#namespaces, options, (text) => this.#log.complain(text)),
    });
    mesh.changes.listen(() => this.#tellProgress());
    return mesh;
  }

  #followManifests(mesh: Mesh, objects: ObjectFolder): void {
    const addresses = new ServiceAddresses();
    let former: readonly Manifest[] = [];
    const manifests = new ManifestWatch(this.#spec, this.#clock, (set) => {
      for (const problem of set.errors) this.#log.complain(problem);
      // With an error in a file nobody knows what is meant: what runs goes on as it is.
      if (set.errors.length > 0) return;
      const filled = addresses.fill([...controlObjects(), ...set.objects]);
      // Pods are written with their status by whoever runs them.
      const next = filled.filter(({ kind }) => kind !== "Pod");
      this.#configs.replace(next);
      this.#namespaces = namespacesOf(next);
      objects.replace(former, next);
      former = next;
      mesh.apply(set.workloads);
    });
    manifests.start();
  }

  /** The node's own log, as lines among the others'. */
  #logger(): Logger {
    const write = (message: string, fields: LogFields = {}) => {
      const facts = Object.entries(fields).map(([name, value]) => ` ${name}=${String(value)}`);
      this.#log.complain(`${message}${facts.join("")}`);
    };
    const { logLevel } = this.#spec;
    const quiet = () => {};
    return {
      error: write,
      warn: logLevel === "error" ? quiet : write,
      info: logLevel === "info" || logLevel === "debug" ? write : quiet,
      debug: logLevel === "debug" ? write : quiet,
      setLevel: quiet,
      level: () => logLevel,
    };
  }

  #podHost(folder: string, control: ControlPlane): PodHost {
    const spec = this.#spec;
    return {
      clock: this.#clock,
      folder,
      nodeName: NODE_NAME,
      hostIp: MESH_ADDRESSES.gateway,
      workingDir: spec.workingDir,
      ownCommand: spec.ownCommand,
      ownEnvironment: ownEnvironment(spec.environment),
      applicationEnvironment: applicationEnvironment(spec.environment),
      machine: this.#machine,
      overrides: new Map(Object.entries(spec.overrides)),
      objects: this.#configs,
      makeToken: ({ namespace, serviceAccount, name }, expirationSeconds) =>
        control.tokens.issue({
          namespace,
          serviceAccount,
          pod: name,
          lifetimeMs: expirationSeconds * 1_000,
        }),
      graceMs: spec.graceMs,
      applicationRights: (asked): Rights => {
        const uid = asked || spec.uid || ORDINARY_ID;
        return { kind: "application", uid, gid: spec.gid || uid };
      },
      lines: (name) => this.#log.stream(name),
      complain: (text) => this.#log.complain(text),
    };
  }

  #accept(peer: LinePeer): LineHandler {
    return {
      message: (value) => {
        // The socket is ours alone, and so are the messages.
        const request = value as NodeRequest;
        if (request.type === "stop") void this.stop();
        if (request.type === "watch") {
          this.#watchers.add(peer);
          if (this.#told) peer.send(this.#readyEvent());
        }
      },
      closed: () => void this.#watchers.delete(peer),
    };
  }

  /** Stops everything; at once when asked again. */
  async stop(): Promise<void> {
    if (this.#stopping) exitNow(0);
    this.#stopping = true;
    try {
      await this.#mesh?.stop(this.#spec.graceMs);
      await this.#control?.stop(CONTROL_GRACE_MS);
    } catch (error) {
      this.#log.complain(describeError(error));
    }
    this.#ended.resolve(0);
  }

  #tellProgress(): void {
    const { wanted, ready, failed } = this.#mesh?.progress() ?? { wanted: 0, ready: 0, failed: 0 };
    if (this.#told || ready < wanted || failed > 0) return;
    this.#told = true;
    const seconds = ((this.#clock.nowMs() - this.#spec.startedAtMs) / 1_000).toFixed(1);
    const page = this.#spec.pageUrl === null ? "" : `, page ${this.#spec.pageUrl}`;
    this.#log.say(`mesh ready in ${seconds} s: ${wanted} pods${page}`);
    for (const peer of this.#watchers) peer.send(this.#readyEvent());
  }

  #readyEvent(): NodeEvent {
    return { type: "ready", pods: this.#mesh?.progress().wanted ?? 0 };
  }
}
