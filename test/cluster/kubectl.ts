/** A cluster, seen through kubectl and a kubeconfig: all that works with any cluster. */

import { builtPrograms } from "./build.ts";
import { type CommandOptions, type Outcome, runCommand } from "../support/command.ts";
import { WAIT_LIMIT_MS } from "./wait.ts";

/** A cluster as its administrator sees it. */
export class Kubectl {
  /** The path of the kubeconfig. */
  readonly kubeconfig: string;
  readonly #applied: string[] = [];

  constructor(kubeconfig: string) {
    this.kubeconfig = kubeconfig;
  }

  /** The words that kubectl's own come after. */
  get kubectlCommand(): readonly string[] {
    return [...kubectlProgram(), "--kubeconfig", this.kubeconfig];
  }

  /** Runs kubectl and resolves to its output; rejects with its complaint when it fails. */
  async kubectl(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(args, options);
    if (code === 0) return stdout;
    throw new Error(`kubectl ${args.join(" ")}: exit code ${code}\n${stderr}${stdout}`);
  }

  /** Runs kubectl and resolves to what it left behind. */
  async tryKubectl(args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return await runCommand([...this.kubectlCommand, ...args], options);
  }

  /** Applies manifests: YAML, JSON, or objects. */
  async apply(manifests: string | readonly unknown[]): Promise<void> {
    const input = typeof manifests === "string"
      ? manifests
      : JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests });
    this.#applied.push(input);
    await this.kubectl(["apply", "--server-side", "-f", "-"], { input });
  }

  /** Deletes everything that was applied here and is still there, the last first. */
  async deleteApplied(): Promise<void> {
    for (const input of this.#applied.splice(0).toReversed()) {
      await this.kubectl(["delete", "--ignore-not-found", "-f", "-"], { input });
    }
  }

  /** An object or list, by the words after `kubectl get`. */
  async get(...words: string[]): Promise<unknown> {
    return JSON.parse(await this.kubectl(["get", "-o", "json", ...words]));
  }

  /** Waits until the rollout of `deployment/name` and its like is complete; else tells its last words. */
  async rollout(namespace: string, workload: string, limitMs = WAIT_LIMIT_MS): Promise<void> {
    const limit = `--timeout=${Math.ceil(limitMs / 1000)}s`;
    const words = ["-n", namespace, "rollout", "status", workload, limit];
    const { code, stdout, stderr } = await this.tryKubectl(words);
    if (code === 0) return;
    const log = await this.tryKubectl([
      ...["-n", namespace, "logs", workload, "--all-containers", "--tail=10"],
    ]);
    throw new Error(
      `${namespace} ${workload} is not rolled out:\n${stdout}${stderr}${log.stdout}${log.stderr}`,
    );
  }

  /** Runs a command in a container; `target` is such as `web-1` or `deployment/web`. */
  async exec(
    target: { readonly namespace: string; readonly pod: string; readonly container: string },
    command: readonly string[],
    options: CommandOptions = {},
  ): Promise<Outcome> {
    const input = options.input === undefined ? [] : ["-i"];
    const { namespace, pod, container } = target;
    const words = ["-n", namespace, "exec", ...input, pod, "-c", container, "--", ...command];
    return await this.tryKubectl(words, options);
  }
}

function kubectlProgram(): string[] {
  const built = builtPrograms();
  if (built !== undefined) return [built.kubernetes, "kubectl"];
  const found = Bun.which("kubectl");
  if (found === null) throw new Error("there is no kubectl: build the test cluster, or install it");
  return [found];
}
