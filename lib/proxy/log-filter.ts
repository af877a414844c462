/**
 * `LINKERD2_PROXY_LOG` has the syntax of Rust's tracing filters: `warn,linkerd=info,[{headers}]=off`.
 * The mesh's own lines are what `linkerd` (or `malla`) names there, so of all directives one decides.
 */

import type { LogLevel } from "../telemetry/logger.ts";

const LEVELS: Readonly<Record<string, LogLevel>> = {
  off: "silent",
  error: "error",
  warn: "warn",
  info: "info",
  debug: "debug",
  trace: "trace",
};

/** The level of this proxy's lines under a filter, or undefined when the filter makes no sense. */
export function logLevelOf(filter: string): LogLevel | undefined {
  let general: LogLevel | undefined;
  let linkerd: LogLevel | undefined;
  let malla: LogLevel | undefined;
  for (const directive of directives(filter)) {
    const { target, level } = directive;
    if (level === undefined) return undefined;
    if (target === "") general = level;
    else if (target === "linkerd") linkerd = level;
    else if (target === "malla") malla = level;
  }
  return malla ?? linkerd ?? general ?? "info";
}

/** What one directive says; without a level it could not be read. */
interface Directive {
  readonly target: string;
  readonly level: LogLevel | undefined;
}

function* directives(filter: string): Generator<Directive> {
  // Spans (`[{headers}]`) may hold commas of their own; they say nothing about our lines.
  for (const part of filter.replaceAll(/\[[^\]]*\]/g, "[]").split(",").map((text) => text.trim())) {
    if (part === "") continue;
    const [target = "", word, ...more] = part.split("=").map((text) => text.trim());
    if (more.length > 0) yield { target, level: undefined };
    else if (word !== undefined) yield { target, level: LEVELS[word.toLowerCase()] };
    else yield bare(target);
  }
}

/**
 * A word alone is a level, or a target whose lines are all wanted. Targets are Rust paths; any other
 * word is more likely a misspelt level than a crate's name.
 */
function bare(word: string): Directive {
  const level = LEVELS[word.toLowerCase()];
  if (level !== undefined) return { target: "", level };
  const isTarget = word === "linkerd" || word === "malla" || /_|::|\[/.test(word);
  return { target: word, level: isTarget ? "trace" : undefined };
}
