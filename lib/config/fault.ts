/** What a wrong setting becomes: one error that names all that is wrong, and the exit code for it. */

import { Fault } from "../base/fault.ts";

/** The exit code of a process that was given a wrong setting (EX_USAGE of sysexits). */
export const EXIT_USAGE = 64;

/** All problems of one start; each is a line that names the setting, the value and what was expected. */
export class ConfigFault extends Fault {
  /** One line for each wrong setting. */
  readonly problems: readonly string[];

  /** Makes the fault of one mode's start. */
  constructor(mode: string, problems: readonly string[]) {
    const [first = "", ...rest] = problems;
    const message = rest.length === 0
      ? `Cannot configure ${mode}: ${first}`
      : `Cannot configure ${mode}, ${problems.length} problems:\n` +
        problems.map((problem) => `  - ${problem}`).join("\n");
    super("invalid_argument", message);
    this.name = "ConfigFault";
    this.problems = problems;
  }
}

/** The exit code that tells a wrong setting from any other failure. */
export function exitCodeOf(thrown: unknown): number {
  return thrown instanceof ConfigFault ? EXIT_USAGE : 1;
}
