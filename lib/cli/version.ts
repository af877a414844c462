/** `malla version`. */

import { COMMIT, VERSION } from "../base/version.ts";
import { oneOf } from "../config/mod.ts";
import { runtimeVersion } from "../host/runtime.ts";
import type { Terminal } from "../host/terminal.ts";
import { createVerb, runVerb, valueOf } from "./verb.ts";

/** Runs the verb; resolves to the exit code. */
export function runVersion(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = createVerb("version", "The version of this program.", terminal)
    .option("--short", "only the number")
    .option("-o, --output <format>", "text or json", valueOf(oneOf(["text", "json"])), "text");
  return runVerb(verb, words, terminal, () => {
    const { short, output } = verb.opts<{ short?: true; output: "text" | "json" }>();
    const facts = { version: VERSION, commit: COMMIT ?? null, bun: runtimeVersion() };
    if (output === "json") terminal.write(`${JSON.stringify(facts, null, 2)}\n`);
    else if (short === true) terminal.write(`${VERSION}\n`);
    else {
      terminal.write(`malla ${VERSION}\n`);
      terminal.write(`commit ${COMMIT ?? "unknown (run from source)"}\nbun ${facts.bun}\n`);
    }
    return Promise.resolve(0);
  });
}
