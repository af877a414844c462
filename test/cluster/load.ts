/** Constant load from a pod of the mesh, beside whatever a test replaces, stops and kills. */

import { readFileSync } from "node:fs";
import type { Entry } from "../../deploy/image/layer.ts";
import type { Cluster } from "./cluster.ts";
import { APPS_IMAGE } from "./mesh-world.ts";
import { waitFor } from "./wait.ts";

/** What became of one kind of load. */
export interface LoadFigures {
  readonly name: string;
  readonly sent: number;
  readonly done: number;
  readonly failed: number;
  /** The first failures, each with its time. */
  readonly failures: readonly string[];
  readonly slowestMs: number;
}

/** The scripts' place in images, and the runtime that they need there. */
const FOLDER = "/scripts";
const FIXTURES = `${import.meta.dir}/../fixtures/cluster`;
/** Told to the test only: no part of what is tested. */
const FIGURES_PORT = 7000;

/** What an image needs for `script`, beside the program `scriptRuntime`. */
export function scriptEntries(): readonly Entry[] {
  return ["load.mjs", "echo.mjs"].map((name) => ({
    kind: "file",
    path: `${FOLDER}/${name}`,
    content: readFileSync(`${FIXTURES}/${name}`),
  }));
}

/** The program that runs the scripts. */
export function scriptRuntime(): string {
  return process.execPath;
}

/** The command of a container that runs a script. */
export function script(name: "load" | "echo", ...args: readonly string[]): readonly string[] {
  return [scriptRuntime(), `${FOLDER}/${name}.mjs`, ...args];
}

/** A pod's load; the pod is a Deployment's only one. */
export class Load {
  readonly #cluster: Cluster;
  readonly #namespace: string;
  readonly #name: string;

  constructor(cluster: Cluster, namespace: string, name: string) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.#name = name;
  }

  /** Starts the pod; each word is as `load.mjs` takes it. Resolves when every kind was answered. */
  async start(words: readonly string[]): Promise<void> {
    const labels = { app: this.#name };
    await this.#cluster.apply([{
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: this.#name, namespace: this.#namespace },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [{ name: "load", image: APPS_IMAGE, command: script("load", ...words) }],
          },
        },
      },
    }]);
    await this.#cluster.rollout(this.#namespace, `deployment/${this.#name}`);
    await this.goesOn(1);
  }

  /** The figures of all kinds; undefined while nobody can ask. */
  async figures(): Promise<readonly LoadFigures[] | undefined> {
    const pod = `deployment/${this.#name}`;
    const target = { namespace: this.#namespace, pod, container: "load" };
    const url = `http://127.0.0.1:${FIGURES_PORT}/`;
    const { code, stdout } = await this.#cluster.exec(target, ["curl", "-s", "-m", "5", url]);
    return code === 0 ? JSON.parse(stdout) as LoadFigures[] : undefined;
  }

  /** Resolves when each kind was answered so often again; rejects when one failed. */
  async goesOn(requests = 20): Promise<readonly LoadFigures[]> {
    let goals: ReadonlyMap<string, number> | undefined;
    let figures: readonly LoadFigures[] = [];
    await waitFor("the load to go on", async () => {
      const found = await this.figures();
      if (found === undefined) return false;
      figures = found;
      const failed = figures.filter((kind) => kind.failed > 0);
      if (failed.length > 0) {
        const told = JSON.stringify(failed, null, 1);
        throw new Error(`requests failed: ${told}\n${await this.#proxyLog()}`);
      }
      goals ??= new Map(figures.map(({ name, done }) => [name, done + requests]));
      return figures.every(({ name, done }) => done >= (goals?.get(name) ?? 0));
    });
    return figures;
  }

  /** What the load's proxy has to say, for whoever must find out why a request failed. */
  async #proxyLog(): Promise<string> {
    const words = [
      "-n",
      this.#namespace,
      "logs",
      `deployment/${this.#name}`,
      "-c",
      "linkerd-proxy",
    ];
    const { stdout, stderr } = await this.#cluster.tryKubectl([...words, "--tail=40"]);
    return stdout + stderr;
  }
}
