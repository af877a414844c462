/**
 * The inner node: the first process in the mesh's namespaces. It makes the network, starts the control
 * plane and the pods, takes commands on a unix socket, and when it ends the kernel ends everything.
 */

import { describeError } from "../base/fault.ts";
import { createBunNet } from "../host/bun-net.ts";
import { type Clock, systemClock } from "../host/clock.ts";
import { makeFolder } from "../host/directory.ts";
import { OrphanReaper } from "../host/namespace.ts";
import { environment, exitNow, findProgram } from "../host/process.ts";
import { type LineHandler, type LinePeer, listenLines } from "../host/unix-lines.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { AddedProcess, type RunRequest } from "./added-process.ts";
import { applicationEnvironment, ownEnvironment } from "./application-environment.ts";
import { ControlPlane } from "./control-plane.ts";
import { firewallRun, Gateway } from "./gateway.ts";
import { GatewayFeed } from "./gateway-feed.ts";
import { injectOptions, preparePod } from "./injection.ts";
import { whyNoIpv6 } from "./ipv6.ts";
import { LogPrinter } from "./log-lines.ts";
import { ManifestWatch } from "./manifest-watch.ts";
import { Mesh } from "./mesh.ts";
import { MeshObjects } from "./mesh-objects.ts";
import { MESH_ADDRESSES, MESH_ADDRESSES_6, MESH_NAMES, type MeshNetworks } from "./names.ts";
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
import type { Rights, SandboxPrograms } from "./sandbox.ts";
import { NODE_NAME } from "./workloads.ts";

/** How often orphans are buried. */
const REAP_MS = 1_000;
/** Until then a slow start is nothing to speak of. */
const PATIENCE_MS = 20_000;
/** Tokens last a day or more; proxies read them when they renew their certificates. */
const REFRESH_MS = 3_600_000;
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
  readonly #watchers = new Set<LinePeer>();
  readonly #machine: PodHost["machine"];
  readonly #ended = Promise.withResolvers<number>();
  readonly #isReachable = (ip: string): boolean => this.#feed?.knowsReady(ip) === true;
  #networks: readonly MeshNetworks[] = [MESH_ADDRESSES];
  #mesh: Mesh | null = null;
  #control: ControlPlane | null = null;
  #feed: GatewayFeed | null = null;
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
    await this.#findNetworks(`${inner}/xtables.lock`);
    await makeMeshNetwork(this.#networks);
    for (const name of ["pods", "control"]) makeFolder(`${inner}/${name}`);
    const folderOfObjects = new ObjectFolder(`${inner}/objects`, `${inner}/drafts`);
    const objects = new MeshObjects(folderOfObjects, this.#networks);
    const control = await this.#prepareControlPlane(`${inner}/control`, `${inner}/objects`);
    this.#control = control;
    const mesh = this.#makeMesh(control, objects, folderOfObjects, `${inner}/pods`);
    this.#mesh = mesh;
    await listenLines(controlSocketPath(folder), (peer) => this.#accept(peer, mesh, objects));
    await Promise.all([this.#startGateway(inner), control.start()]);
    this.#followManifests(mesh, objects);
    this.#clock.after(PATIENCE_MS, () => {
      if (this.#told || this.#stopping) return;
      this.#log.complain(`the mesh is not ready yet: ${mesh.waitingFor().join("; ")}`);
    });
    return await this.#ended.promise;
  }

  /** A machine without IPv6 has a mesh of IPv4 alone. */
  async #findNetworks(lockPath: string): Promise<void> {
    const reason = await whyNoIpv6(firewallRun(lockPath));
    if (reason === null) this.#networks = [MESH_ADDRESSES, MESH_ADDRESSES_6];
    else this.#log.say(`the mesh has IPv4 alone: ${reason}`);
  }

  #prepareControlPlane(folder: string, objects: string): Promise<ControlPlane> {
    return ControlPlane.prepare({
      folder,
      objects,
      networks: this.#networks,
      ownCommand: this.#spec.ownCommand,
      environment: ownEnvironment(this.#spec.environment),
      logLevel: this.#spec.logLevel,
      clock: this.#clock,
      lines: (name) => this.#log.stream(name),
      complain: (text) => this.#log.complain(text),
    });
  }

  async #startGateway(inner: string): Promise<void> {
    const gateway = await Gateway.start({
      net: createBunNet(),
      clock: this.#clock,
      log: this.#logger(),
      bridge: BRIDGE,
      networks: this.#networks,
      clusterDomain: MESH_NAMES.domain,
      outsidePath: outsideSocketPath(this.#spec.folder),
      insidePath: insideSocketPath(this.#spec.folder),
      lockPath: `${inner}/xtables.lock`,
    });
    this.#feed = await GatewayFeed.start(gateway, `${inner}/objects`, this.#clock);
    this.#feed.changes.listen(() => this.#mesh?.changes.ring());
  }

  #makeMesh(
    control: ControlPlane,
    objects: MeshObjects,
    folderOfObjects: ObjectFolder,
    folder: string,
  ): Mesh {
    const options = injectOptions(
      control.trustAnchors,
      this.#spec.proxyLogLevel,
      this.#networks,
    );
    const mesh = new Mesh({
      host: this.#podHost(folder, control, objects),
      objects: folderOfObjects,
      prepare: (plan) =>
        preparePod(plan, objects.namespaces, options, (text) => this.#log.complain(text)),
    });
    mesh.changes.listen(() => this.#tellProgress());
    return mesh;
  }

  #followManifests(mesh: Mesh, objects: MeshObjects): void {
    const told = new Set<string>();
    const manifests = new ManifestWatch(this.#spec, this.#clock, (set) => {
      for (const problem of set.errors) this.#log.complain(problem);
      for (const note of set.notes) {
        if (!told.has(note)) this.#log.say(note);
        told.add(note);
      }
      // With an error in a file nobody knows what is meant: what runs goes on as it is.
      if (set.errors.length > 0) return;
      try {
        if (objects.apply(set.objects)) void mesh.refreshFiles();
        mesh.apply(set.workloads);
      } catch (error) {
        this.#log.complain(describeError(error));
      }
    });
    manifests.start();
    this.#clock.every(REFRESH_MS, () => void mesh.refreshFiles());
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

  #podHost(folder: string, control: ControlPlane, objects: MeshObjects): PodHost {
    const spec = this.#spec;
    return {
      clock: this.#clock,
      folder,
      meshFolder: spec.folder,
      nodeName: NODE_NAME,
      networks: this.#networks,
      workingDir: spec.workingDir,
      ownCommand: spec.ownCommand,
      ownEnvironment: ownEnvironment(spec.environment),
      applicationEnvironment: applicationEnvironment(spec.environment),
      programs: sandboxPrograms(),
      machine: this.#machine,
      overrides: new Map(Object.entries(spec.overrides)),
      objects: objects.configs,
      makeToken: ({ namespace, serviceAccount, name }, expirationSeconds) =>
        control.tokens.issue({
          namespace,
          serviceAccount,
          pod: name,
          lifetimeMs: expirationSeconds * 1_000,
        }),
      graceMs: spec.graceMs,
      quiet: spec.logLevel === "error" || spec.logLevel === "warn",
      applicationRights: (asked): Rights => {
        const uid = asked || spec.uid || ORDINARY_ID;
        return { kind: "application", uid, gid: spec.gid || uid };
      },
      lines: (name) => this.#log.stream(name),
      complain: (text) => this.#log.complain(text),
    };
  }

  #accept(peer: LinePeer, mesh: Mesh, objects: MeshObjects): LineHandler {
    let added: AddedProcess | null = null;
    return {
      message: (value) => {
        // The socket is ours alone, and so are the messages.
        const request = value as NodeRequest;
        switch (request.type) {
          case "stop":
            return void this.stop();
          case "watch":
            this.#watchers.add(peer);
            if (this.#told) peer.send(this.#readyEvent());
            return;
          case "run":
            added ??= this.#add(request, mesh, objects, peer);
            return;
          case "end":
            return added?.end();
        }
      },
      closed: () => {
        this.#watchers.delete(peer);
        added?.remove();
      },
    };
  }

  #add(
    request: RunRequest,
    mesh: Mesh,
    objects: MeshObjects,
    peer: LinePeer,
  ): AddedProcess | null {
    try {
      return new AddedProcess(request, { mesh, objects, peer, isReachable: this.#isReachable });
    } catch (error) {
      const failed: NodeEvent = { type: "failed", message: describeError(error) };
      peer.send(failed);
      peer.close();
      return null;
    }
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
    // Published ports and service addresses work from here on.
    if (this.#mesh?.readyAddresses().every(this.#isReachable) !== true) return;
    this.#told = true;
    const seconds = ((this.#clock.nowMs() - this.#spec.startedAtMs) / 1_000).toFixed(1);
    this.#log.say(`mesh ready in ${seconds} s: ${wanted} pods, page ${this.#spec.pageUrl}`);
    for (const { service, namespace, port, hostPort } of this.#spec.published) {
      this.#log.say(`${service}.${namespace}:${port} is published on 127.0.0.1:${hostPort}`);
    }
    for (const peer of this.#watchers) peer.send(this.#readyEvent());
  }

  #readyEvent(): NodeEvent {
    return { type: "ready", pods: this.#mesh?.progress().wanted ?? 0 };
  }
}

function sandboxPrograms(): SandboxPrograms {
  const path = environment()["PATH"];
  const find = (name: string) => findProgram(name, path) ?? name;
  return {
    nsenter: find("nsenter"),
    unshare: find("unshare"),
    setpriv: find("setpriv"),
    sh: find("sh"),
  };
}
