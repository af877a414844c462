/**
 * A Kubernetes cluster for tests: a real one of this machine, started in seconds and gone without a
 * trace, or any other that `MALLA_TEST_KUBECONFIG` names.
 */

import { processStamp } from "../../lib/host/namespace.ts";
import { askAgent, tellAgent } from "./agent.ts";
import { type CommandOptions, type Outcome, runCommand } from "../support/command.ts";
import { Kubectl } from "./kubectl.ts";
import {
  launchCluster,
  type LaunchedCluster,
  type LaunchOptions,
  removeLeftovers,
} from "./launch.ts";
import type { NodeStatus } from "./node.ts";
import { clusterFolder, type NodePlan } from "./plan.ts";
import { externalKubeconfig } from "./requirements.ts";
import { readSpec, readState } from "./state.ts";
import { waitFor } from "./wait.ts";

/** A cluster in use. */
export class Cluster extends Kubectl {
  readonly name: string;
  /** null for a cluster that was there before us. */
  readonly #local: LaunchedCluster | null;

  /** For the two functions below. */
  private constructor(name: string, kubeconfig: string, local: LaunchedCluster | null) {
    super(kubeconfig);
    this.name = name;
    this.#local = local;
  }

  /**
   * Starts a cluster and resolves when it works: nodes are ready and names are answered. With
   * `MALLA_TEST_KUBECONFIG` it resolves to that cluster. `clusterObstacle` tells whether it can be.
   */
  static async start(name: string, options: LaunchOptions = {}): Promise<Cluster> {
    const external = externalKubeconfig();
    if (external !== undefined) return new Cluster(name, external, null);
    const launched = await launchCluster(name, options);
    return new Cluster(name, `${launched.plan.folder}/kubeconfig`, launched);
  }

  /** The cluster of that name that runs on this machine. Throws when there is none. */
  static running(name: string): Cluster {
    const external = externalKubeconfig();
    if (external !== undefined) return new Cluster(name, external, null);
    const folder = clusterFolder(name);
    const state = readState(folder);
    if (state === null) throw new Error(`There is no running cluster "${name}"`);
    return new Cluster(name, `${folder}/kubeconfig`, { plan: readSpec(folder).plan, state });
  }

  /**
   * Puts an image's archive on all nodes. For a cluster that was there before us,
   * `MALLA_TEST_LOAD_IMAGE` is the command that does it, called with the archive's path.
   */
  async loadImage(archive: string): Promise<void> {
    if (this.#local === null) return await loadElsewhere(archive);
    const words = ["ctr", "--namespace", "k8s.io", "images", "import", "-"];
    for (const { name } of this.#local.plan.nodes) {
      const { code, stderr } = await this.inNode(name, words, { inputFile: archive });
      if (code !== 0) throw new Error(`Cannot load ${archive} into ${name}: ${stderr}`);
    }
  }

  /** Whether its nodes are ours, so that what is below works. */
  get isLocal(): boolean {
    return this.#local !== null;
  }

  /** The names of the nodes. */
  get nodes(): readonly string[] {
    return this.#own().plan.nodes.map(({ name }) => name);
  }

  /** Runs a command of this machine in a node's namespaces. */
  async inNode(
    node: string,
    command: readonly string[],
    options: CommandOptions = {},
  ): Promise<Outcome> {
    const pid = this.#own().state.nodes[this.#node(node).name];
    const enter = ["nsenter", "-t", `${pid}`, "-p", "-m", "-n", "--"];
    return await runCommand([...enter, ...command], options);
  }

  /** Ends one of a node's programs, such as `kube-apiserver`, until `startProgram`. */
  async stopProgram(
    node: string,
    program: string,
    signal: NodeJS.Signals = "SIGTERM",
  ): Promise<void> {
    await tellAgent(this.#node(node).folder, `programs/${program}/stop?signal=${signal}`);
  }

  /** Starts a program that was stopped. */
  async startProgram(node: string, program: string): Promise<void> {
    await tellAgent(this.#node(node).folder, `programs/${program}/start`);
  }

  /** What each node's programs are doing. */
  async status(): Promise<Readonly<Record<string, NodeStatus | null>>> {
    const { nodes } = this.#own().plan;
    const answers = nodes.map(async ({ name, folder }) =>
      [name, await askAgent(folder, "status")] as const
    );
    return Object.fromEntries(await Promise.all(answers));
  }

  /** Ends it and removes everything of it; one that was there before us loses what was applied. */
  async stop(): Promise<void> {
    if (this.#local === null) return await this.deleteApplied();
    const { keeper } = this.#local.state;
    const pid = Number(keeper.split(" ")[0]);
    const runs = () => processStamp(pid) === keeper;
    if (runs()) process.kill(pid, "SIGTERM");
    // What it removes goes piece by piece: only its end says that all has gone.
    await waitFor("the cluster's end", () => !runs());
    await removeLeftovers(this.name);
  }

  #own(): LaunchedCluster {
    if (this.#local === null) throw new Error("this cluster is not ours: its nodes are left alone");
    return this.#local;
  }

  #node(name: string): NodePlan {
    const node = this.#own().plan.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`cluster "${this.name}" has no node "${name}"`);
    return node;
  }
}

async function loadElsewhere(archive: string): Promise<void> {
  const command = process.env["MALLA_TEST_LOAD_IMAGE"]?.split(" ").filter((word) => word !== "");
  // Without the command the cluster must have the image already, or know where it is kept.
  if (command === undefined || command.length === 0) return;
  const { code, stderr } = await runCommand([...command, archive]);
  if (code !== 0) throw new Error(`${command.join(" ")} ${archive}: ${stderr}`);
}
