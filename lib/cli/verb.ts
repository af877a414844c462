/**
 * The frame of a verb for people: its words are read by commander, mistakes exit with 64, failures of
 * the work with 1, and every message goes to standard error.
 */

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { describeError, Fault } from "../base/fault.ts";
import { ConfigFault, EXIT_USAGE, oneOf, type SettingType } from "../config/mod.ts";
import type { Terminal } from "../host/terminal.ts";
import { grantingCommands } from "../source/kube/grant.ts";
import { addClusterOptions, type ClusterFlags } from "./cluster-flags.ts";

/** A verb that is being defined; its action returns the exit code through `runVerb`. */
export type Verb = Command;

/** Begins a verb. */
export function createVerb(name: string, summary: string, terminal: Terminal): Verb {
  return new Command(`malla ${name}`)
    .description(summary)
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError(`"malla ${name} --help" tells more`)
    .helpOption("-h, --help", "show this")
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.writeError(text),
      outputError: (text, write) => write(text.replace(/^error: /, `malla ${name}: `)),
      getOutHelpWidth: () => Math.min(terminal.columns(), 100),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
}

/** How a verb may answer. */
export const OUTPUT_FORMATS = ["table", "wide", "json"] as const;

/** One of them. */
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** The options of all verbs that ask a mesh. */
export interface MeshFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly output: OutputFormat;
  /** Address of a dashboard. */
  readonly url?: string;
}

/** Adds the options of `MeshFlags`; `namespaceHelp` says what the namespace picks. */
export function addMeshOptions(verb: Verb, namespaceHelp: string): Verb {
  const format = valueOf(oneOf(OUTPUT_FORMATS));
  verb
    .option("-n, --namespace <ns>", `${namespaceHelp} (default: all)`)
    .option("-A, --all-namespaces", "in all namespaces")
    .option("-o, --output <format>", OUTPUT_FORMATS.join(", "), format, "table")
    .option(
      "--url <url>",
      "address of a dashboard (default: the mesh that runs here, or a cluster's)",
    );
  return addClusterOptions(verb);
}

/** Reads the words and runs the action; resolves to the exit code, never rejects. */
export async function runVerb(
  verb: Verb,
  words: readonly string[],
  terminal: Terminal,
  action: (verb: Verb) => Promise<number>,
): Promise<number> {
  let code = 1;
  verb.action(async () => void (code = await action(verb)));
  try {
    await verb.parseAsync([...words], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    terminal.writeError(`${describeError(error)}\n`);
    const grant = grantingCommands(error);
    if (grant !== undefined) {
      terminal.writeError(`An administrator grants that by\n${grant.replace(/^/gm, "  ")}\n`);
    }
    return isUsage(error) ? EXIT_USAGE : 1;
  }
}

/** Reads an option's text with a type of the config library. */
export function valueOf<T>(type: SettingType<T>): (text: string) => T {
  return (text) => {
    const parsed = type.parse(text);
    if (parsed.ok) return parsed.value;
    throw new InvalidArgumentError(`Expected ${type.expected}.`);
  };
}

/** For an option that may be given again: reads each value, and keeps them in their order. */
export function repeated<T>(
  read: (text: string) => T,
): (text: string, former: readonly T[] | undefined) => readonly T[] {
  return (text, former = []) => {
    try {
      return [...former, read(text)];
    } catch (error) {
      if (error instanceof Fault) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

function isUsage(error: unknown): boolean {
  return error instanceof ConfigFault ||
    (error instanceof Fault && error.code === "invalid_argument");
}
