/**
 * `--set a.b=c,d[0].e=f` in the way of Helm: paths with dots, several with commas, lists in braces or
 * by index, and a backslash before a dot or comma that is meant.
 */

import { ConfigFault } from "./fault.ts";
import type { Yaml, YamlMap } from "./value-tree.ts";

/** How the text after the equals sign is read: as YAML would read it, or always as text. */
export type SetMode = "typed" | "text";

type Step = string | number;
/** A list by index may leave holes; nobody means a long one. */
const INDEX_MAX = 1_000;

/** The tree that such words make; of two with one path the later counts. Throws a `ConfigFault`. */
export function readSets(what: string, words: readonly string[], mode: SetMode): YamlMap {
  let tree: YamlMap = {};
  for (const word of words) {
    for (const { path, text } of assignments(what, word)) {
      const value = text.startsWith("{") && text.endsWith("}")
        ? split(text.slice(1, -1), ",").filter((item) => item !== "").map((item) =>
          scalarOf(unescape(item), mode)
        )
        : scalarOf(unescape(text), mode);
      tree = placed(tree, path, value) as YamlMap;
    }
  }
  return tree;
}

/** One path and its text, such as what `--set-file` reads from a file. */
export function setPath(what: string, path: string, value: Yaml): YamlMap {
  return placed({}, stepsOf(what, path), value) as YamlMap;
}

function assignments(what: string, word: string): { path: Step[]; text: string }[] {
  return split(word, ",").filter((part) => part.trim() !== "").map((part) => {
    const equals = part.indexOf("=");
    if (equals <= 0) {
      throw new ConfigFault(what, [
        `Cannot use "${word}" for --set: expected NAME=VALUE, such as proxy.logLevel=debug`,
      ]);
    }
    return { path: stepsOf(what, part.slice(0, equals).trim()), text: part.slice(equals + 1) };
  });
}

function stepsOf(what: string, path: string): Step[] {
  return split(path, ".").flatMap((part): Step[] => {
    const [, name, indices = ""] = /^([^[\]]+)((?:\[\d{1,4}\])*)$/.exec(part) ?? [];
    const numbers = [...indices.matchAll(/\d+/g)].map(([digits]) => Number(digits));
    if (name === undefined || numbers.some((number) => number > INDEX_MAX)) {
      throw new ConfigFault(what, [
        `Cannot use the path "${path}" for --set: expected names with dots, such as proxy.logLevel`,
      ]);
    }
    return [unescape(name), ...numbers];
  });
}

/** Splits at a character that stands neither after a backslash nor in braces. */
function split(text: string, at: string): string[] {
  const parts: string[] = [""];
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text[index] ?? "";
    const last = parts.length - 1;
    if (character === "\\") parts[last] += character + (text[++index] ?? "");
    else {
      if (character === "{") depth++;
      if (character === "}") depth--;
      if (character === at && depth <= 0) parts.push("");
      else parts[last] += character;
    }
  }
  return parts;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}

function scalarOf(text: string, mode: SetMode): Yaml {
  if (mode === "text") return text;
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  return /^-?(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
}

function placed(tree: Yaml | undefined, path: readonly Step[], value: Yaml): Yaml {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === "number") {
    const list: Yaml[] = Array.isArray(tree) ? [...tree] : [];
    while (list.length <= step) list.push(null);
    list[step] = placed(list[step], rest, value);
    return list;
  }
  const map = typeof tree === "object" && tree !== null && !Array.isArray(tree)
    ? tree as YamlMap
    : {};
  return { ...map, [step]: placed(map[step], rest, value) };
}
