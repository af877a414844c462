/**
 * `malla check`: a cluster, or this machine and the mesh that runs on it. Which of the two, the flags
 * say; without them the mesh that runs here counts, else the cluster that a kubeconfig leads to.
 */

import { Fault } from "../base/fault.ts";
import { type Component, COMPONENTS } from "../install/names.ts";
import { duration, oneOf } from "../config/mod.ts";
import { systemClock } from "../host/clock.ts";
import { environment } from "../host/process.ts";
import type { Terminal } from "../host/terminal.ts";
import {
  type Category,
  checksJson,
  formatCategory,
  formatShortly,
  formatSummary,
  isPassed,
  type Patience,
  runChecks,
} from "./check.ts";
import { machineCategories } from "./check-here.ts";
import {
  addClusterOptions,
  type ClusterFlags,
  CONTROL_NAMESPACE,
  kubeconfigFiles,
  openClient,
} from "./cluster-flags.ts";
import { clusterChecks } from "./cluster/check-cluster.ts";
import { ClusterView } from "./cluster/view.ts";
import { meshRunsHere } from "./mesh-note.ts";
import { createStyle } from "./style.ts";
import { createVerb, runVerb, valueOf } from "./verb.ts";

/** As people call them. */
const PARTS = COMPONENTS.map((component) => component.replace("malla-", ""));

type Output = "table" | "short" | "json";

interface CheckFlags extends ClusterFlags {
  readonly pre?: true;
  readonly crds?: true;
  readonly proxy?: true;
  readonly machine?: true;
  readonly namespace?: string;
  readonly expectedVersion?: string;
  readonly acceptUnservedPolicy?: true;
  readonly linkerdCniEnabled?: true;
  readonly cniNamespace?: string;
  readonly wait: number;
  readonly output: Output;
}

/** What is checked, and a line about it for people. */
interface Checked {
  readonly categories: readonly Category[];
  readonly note?: string;
  readonly patience?: Patience;
}

/** Runs the verb; the exit code is 1 when a check failed. */
export function runCheck(words: readonly string[], terminal: Terminal): Promise<number> {
  const formats = valueOf(oneOf(["table", "short", "json"]));
  const verb = createVerb(
    "check",
    "Whether a cluster and the mesh in it are well, or this machine and the mesh that runs here.",
    terminal,
  )
    .argument("[part]", `one part of the control plane alone: ${PARTS.join(", ")}`)
    .option("--pre", "whether Malla can be installed into the cluster")
    .option("--crds", "only what must be so before the rest")
    .option("--proxy", "the pods of the mesh as well")
    .option("--machine", "this machine and its mesh, not a cluster")
    .option("-n, --namespace <ns>", "only pods of this namespace")
    .option("--expected-version <version>", "the version that should be installed")
    .option("--accept-unserved-policy", "with --pre: policies that are not served are no obstacle")
    .option(
      "--linkerd-cni-enabled",
      "the CNI plugin too, though no installation says that it needs one",
    )
    .option("--cni-namespace <ns>", "namespace of the CNI plugin (default: linkerd-cni)")
    .option("--wait <duration>", "how long to wait for what comes by itself", waited, 300_000)
    .option(
      "-o, --output <format>",
      "table, short (only what is not well) or json",
      formats,
      "table",
    );
  return runVerb(addClusterOptions(verb), words, terminal, async () => {
    const flags = verb.opts<CheckFlags>();
    const part = partOf(verb.args[0], flags);
    const isHere = part === undefined && await isOfMachine(flags);
    const checked = isHere ? await checkedHere() : await checkedCluster(flags, part);
    const style = createStyle(terminal.colours);
    const { output } = flags;
    const results = await runChecks(checked.categories, (result) => {
      if (output === "table") terminal.write(formatCategory(result, style));
      if (output === "short") terminal.write(formatShortly(result, style));
    }, checked.patience);
    if (output === "json") terminal.write(`${JSON.stringify(checksJson(results), null, 2)}\n`);
    else {
      if (checked.note !== undefined) terminal.write(`${checked.note}\n`);
      terminal.write(formatSummary(results, style));
    }
    return isPassed(results) ? 0 : 1;
  });
}

async function isOfMachine(flags: CheckFlags): Promise<boolean> {
  if (flags.machine === true) return true;
  const { pre, crds, proxy, kubeconfig, context, mallaNamespace, apiAddr } = flags;
  const { linkerdCniEnabled, cniNamespace } = flags;
  const named = [
    ...[pre, crds, proxy, kubeconfig, context, mallaNamespace, apiAddr],
    ...[linkerdCniEnabled, cniNamespace],
  ];
  if (named.some((flag) => flag !== undefined)) return false;
  return await meshRunsHere() || kubeconfigFiles(undefined, environment()) === undefined;
}

async function checkedHere(): Promise<Checked> {
  const { categories, note } = await machineCategories();
  return { categories, ...note === undefined ? {} : { note } };
}

/** Throws `invalid_argument` for another word, and for flags that are about something else. */
function partOf(word: string | undefined, flags: CheckFlags): Component | undefined {
  if (word === undefined) return undefined;
  const part = COMPONENTS.find((component) => component === `malla-${word.replace(/^malla-/, "")}`);
  if (part === undefined) {
    throw new Fault(
      "invalid_argument",
      `Cannot check "${word}": expected one of ${PARTS.join(", ")}`,
    );
  }
  const others = (["pre", "crds", "proxy", "machine"] as const).filter((flag) => flags[flag]);
  if (others.length === 0) return part;
  throw new Fault("invalid_argument", `Cannot check ${word} with --${others[0]}: give one of both`);
}

async function checkedCluster(flags: CheckFlags, part?: Component): Promise<Checked> {
  const client = await openClient(flags);
  const view = new ClusterView(client, flags.mallaNamespace ?? CONTROL_NAMESPACE);
  const { namespace, expectedVersion, cniNamespace } = flags;
  const categories = await clusterChecks(view, {
    stage: flags.pre === true ? "pre" : flags.crds === true ? "crds" : "all",
    withProxies: flags.proxy === true,
    ...namespace === undefined ? {} : { namespace },
    ...expectedVersion === undefined ? {} : { expectedVersion },
    ...part === undefined ? {} : { part },
    acceptUnserved: flags.acceptUnservedPolicy === true,
    cni: {
      isWanted: flags.linkerdCniEnabled === true || cniNamespace !== undefined,
      ...cniNamespace === undefined ? {} : { namespace: cniNamespace },
    },
  }, systemClock);
  return {
    categories,
    note: `The cluster of ${client.server} was checked; --machine checks this machine`,
    patience: { clock: systemClock, waitMs: flags.wait, again: () => view.refresh() },
  };
}

const waited = valueOf(duration());
