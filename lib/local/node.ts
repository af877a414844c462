/**
 * The inner node: the first process in the mesh's namespaces. It makes the network, starts the control
 * plane and the pods, takes commands on a unix socket, and when it ends the kernel ends everything.
 */

import { describeError } from "../base/fault.ts";
import { type Clock, systemClock } from "../host/clock.ts";
import { makeFolder } from "../host/directory.ts";
import { OrphanReaper } from "../host/namespace.ts";
import { exitNow } from "../host/process.ts";
import { type LineHandler, type LinePeer, listenLines } from "../host/unix-lines.ts";
import { applicationEnvironment, ownEnvironment } from "./application-environment.ts";
import { ConfigObjects } from "./config-objects.ts";
import { LogPrinter } from "./log-lines.ts";
import { ManifestWatch } from "./manifest-watch.ts";
import { Mesh } from "./mesh.ts";
import { MESH_ADDRESSES } from "./names.ts";
import { makeMeshNetwork } from "./network.ts";
import {
  controlSocketPath,
  innerFolder,
  type NodeEvent,
  type NodeRequest,
  type NodeSpec,
} from "./node-spec.ts";
import { maskNameServices, mountPrivate } from "./node-setup.ts";
import { ObjectFolder } from "./object-folder.ts";
import type { PodHost } from "./pod-host.ts";
import { readPod } from "./pod-model.ts";
import { Reader } from "./reader.ts";
import type { Rights } from "./sandbox.ts";
import { NODE_NAME } from "./workloads.ts";

/** How often orphans are buried. */
const REAP_MS = 1_000;
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
    const inner = innerFolder(this.#spec.folder);
    await mountPrivate(inner);
    await maskNameServices();
    await makeMeshNetwork();
    makeFolder(`${inner}/pods`);
    const objects = new ObjectFolder(`${inner}/objects`, `${inner}/drafts`);
    const mesh = new Mesh({
      host: this.#podHost(`${inner}/pods`),
      objects,
      prepare: (plan) => ({ object: plan.pod, model: readPod(new Reader(plan.pod)) }),
    });
    this.#mesh = mesh;
    mesh.changes.listen(() => this.#tellProgress());
    await listenLines(controlSocketPath(this.#spec.folder), (peer) => this.#accept(peer));
    const manifests = new ManifestWatch(this.#spec, this.#clock, (set) => {
      for (const problem of set.errors) this.#log.complain(problem);
      this.#configs.replace(set.objects);
      objects.replace([], set.objects);
      mesh.apply(set.workloads);
    });
    manifests.start();
    return await this.#ended.promise;
  }

  #podHost(folder: string): PodHost {
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
      makeToken: () => "",
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
    this.#log.say(`mesh ready in ${seconds} s: ${wanted} pods`);
    for (const peer of this.#watchers) peer.send(this.#readyEvent());
  }

  #readyEvent(): NodeEvent {
    return { type: "ready", pods: this.#mesh?.progress().wanted ?? 0 };
  }
}
