/**
 * The frame of the modes that are told by settings: the help, what is wrong with the settings, and the
 * exit codes, the same for all of them.
 */

import { readFileSync } from "node:fs";
import { describeError } from "../lib/base/fault.ts";
import {
  type Definition,
  exitCodeOf,
  helpText,
  loadSettings,
  type Schema,
  type Settings,
  type SettingSources,
  wantsHelp,
} from "../lib/config/mod.ts";
import { environment } from "../lib/host/process.ts";
import { createLogger, type Logger, type LoggerOptions } from "../lib/telemetry/logger.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Settings of a mode that logs. */
interface LogSettings {
  readonly logLevel: LoggerOptions["level"];
  readonly logFormat: LoggerOptions["format"];
}

/**
 * Shows the help, or loads the settings and works; resolves to the exit code: that of the work, 64 for
 * wrong settings, 1 for what the work throws.
 */
export async function runMode<S extends Schema>(
  definition: Definition<S>,
  args: readonly string[],
  work: (settings: Settings<S>) => Promise<number>,
): Promise<number> {
  const complain = (text: string) => {
    process.stderr.write(`malla ${definition.mode}: ${text}\n`);
  };
  if (wantsHelp(args)) {
    processTerminal().write(helpText(definition));
    return 0;
  }
  try {
    const sources: SettingSources = {
      args,
      env: environment(),
      readFile: readSettingsText,
      warn: complain,
    };
    return await work(loadSettings(definition, sources));
  } catch (thrown) {
    complain(describeError(thrown));
    return exitCodeOf(thrown);
  }
}

/** The logger of a mode, as its settings say. */
export function loggerOf(
  definition: Definition<Schema>,
  { logLevel: level, logFormat: format }: LogSettings,
): Logger {
  return createLogger({ level, format, name: definition.mode });
}

/** Reads the file that `--config` names. */
export function readSettingsText(path: string): string {
  return readFileSync(path, "utf8");
}
