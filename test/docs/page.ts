/**
 * Pages of the documentation, as tests read them: fenced commands, and the output that a page shows.
 *
 * A command's fence says after `sh` where it runs, which a reader of the rendered page does not see:
 *
 *     ```sh cluster          in a test cluster (or `laptop`: on this machine)
 *     ```sh cluster repeat   until its output is the one shown, because that comes by itself
 *     ```sh cluster status=1 with this exit status
 *     ```sh laptop stays     in another terminal, until the next one that stays or the page's end
 *     ```sh cluster needs=x  where x is to be had
 *     ```sh skip="reason"    nowhere
 *
 * A fence `text` behind it is its output: `…` stands for any characters of a line, and on a line of
 * its own for any lines; how many blanks there are does not count.
 */

/** Where commands run. */
export type Place = "laptop" | "cluster";

/** One fenced command. */
export interface Step {
  /** `docs/x.md:12`. */
  readonly at: string;
  readonly script: string;
  /** Undefined for one that is skipped. */
  readonly place: Place | undefined;
  readonly skip?: string;
  /** A program without which it cannot be done, and which not every machine has. */
  readonly needs?: string;
  readonly repeats: boolean;
  readonly stays: boolean;
  readonly status: number;
  /** The output that the page shows. */
  readonly shown?: string;
}

interface Fence {
  readonly line: number;
  readonly words: string;
  readonly text: string;
}

const FENCE = /^( *)```(.*)$/;

/** Reads the steps of a page in their order; YAML is there to be read. Throws for a fence that does not say what it is. */
export function readSteps(name: string, page: string): readonly Step[] {
  const steps: Step[] = [];
  for (const { line, words, text } of fencesOf(name, page)) {
    const at = `${name}:${line}`;
    const [language = "", ...marks] = words.match(/[^\s"]+"[^"]*"|\S+/g) ?? [];
    if (language === "sh") steps.push(stepOf(at, marks, text));
    else if (language === "text") {
      const step = steps.pop();
      if (step === undefined || step.shown !== undefined || step.skip !== undefined) {
        throw new Error(`${at}: the output of no command`);
      }
      steps.push({ ...step, shown: text });
    } else if (language !== "yaml") {
      throw new Error(`${at}: a fence is "sh", "text" or "yaml", got "${words}"`);
    }
  }
  return steps;
}

function stepOf(at: string, marks: readonly string[], script: string): Step {
  let step: Step = { at, script, place: undefined, repeats: false, stays: false, status: 0 };
  for (const mark of marks) {
    const [key = "", value = ""] = mark.replaceAll('"', "").split(/=(.*)/s);
    if (key === "laptop" || key === "cluster") step = { ...step, place: key };
    else if (key === "repeat") step = { ...step, repeats: true };
    else if (key === "stays") step = { ...step, stays: true };
    else if (key === "status" && /^\d+$/.test(value)) step = { ...step, status: Number(value) };
    else if (key === "needs" && value !== "") step = { ...step, needs: value };
    else if (key === "skip" && value !== "") step = { ...step, skip: value };
    else throw new Error(`${at}: unknown mark "${mark}"`);
  }
  if ((step.place === undefined) === (step.skip === undefined)) {
    throw new Error(`${at}: a command says where it runs, or why nowhere`);
  }
  return step;
}

function fencesOf(name: string, page: string): readonly Fence[] {
  const fences: Fence[] = [];
  let open: { line: number; words: string; indent: string; lines: string[] } | undefined;
  for (const [index, text] of page.split("\n").entries()) {
    const [, indent = "", words = ""] = FENCE.exec(text) ?? [];
    const isFence = FENCE.test(text);
    if (open === undefined) {
      if (isFence) open = { line: index + 1, words, indent, lines: [] };
    } else if (isFence) {
      fences.push({ line: open.line, words: open.words, text: open.lines.join("\n") });
      open = undefined;
    } else open.lines.push(text.replace(new RegExp(`^${open.indent}`), ""));
  }
  if (open !== undefined) throw new Error(`${name}:${open.line}: a fence without an end`);
  return fences;
}

/** Whether a command wrote what the page shows. */
export function isShown(shown: string, output: string): boolean {
  return patternOf(shown).test(`${linesOf(output).join("\n")}\n`);
}

function patternOf(shown: string): RegExp {
  const source = linesOf(shown).map((line) => {
    if (line === "…") return "(?:[^\\n]*\\n)*?";
    return `${line.split("…").map((part) => RegExp.escape(part)).join("[^\\n]*?")}\\n`;
  });
  return new RegExp(`^${source.join("")}$`);
}

/** Without colours, and with one blank where there are several. */
function linesOf(text: string): readonly string[] {
  return Bun.stripANSI(text).trim().split("\n").map((line) => line.replace(/\s+/g, " ").trim());
}
