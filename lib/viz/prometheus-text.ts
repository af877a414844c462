/**
 * Reads Prometheus' text exposition (and OpenMetrics', which differs in comments only for what we
 * need). Tolerant: a line that cannot be read is counted and left out, because one odd series of a
 * foreign program must not hide the others. Timestamps and exemplars are ignored.
 */

import { SAMPLE_LABELS_MAX, SCRAPE_SAMPLES_MAX } from "../base/limits.ts";

/** One line of an exposition. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What was read of an exposition. */
export interface Exposition {
  readonly samples: readonly Sample[];
  /** Lines that are no sample, and samples above the limit. */
  readonly skipped: number;
}

/** Reads the samples whose names are wanted. */
export function parseExposition(text: string, wanted: (name: string) => boolean): Exposition {
  const samples: Sample[] = [];
  let skipped = 0;
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const outcome = parseLine(text, start, end, wanted);
    if (outcome === "odd") skipped++;
    else if (typeof outcome === "object") {
      if (samples.length < SCRAPE_SAMPLES_MAX) samples.push(outcome);
      else skipped++;
    }
    start = end + 1;
  }
  return { samples, skipped };
}

/** One line: a sample, nothing of interest, or something that is not a line of an exposition. */
function parseLine(
  text: string,
  start: number,
  end: number,
  wanted: (name: string) => boolean,
): Sample | "other" | "odd" {
  let at = skipBlanks(text, start, end);
  if (at === end || text[at] === "#" || text[at] === "\r") return "other";
  const nameStart = at;
  while (at < end && isNameCode(text.charCodeAt(at))) at++;
  if (at === nameStart) return "odd";
  const name = text.slice(nameStart, at);
  if (!wanted(name)) return "other";
  at = skipBlanks(text, at, end);
  let labels: Record<string, string> = {};
  if (text[at] === "{") {
    const read = parseLabels(text, at + 1, end);
    if (read === undefined) return "odd";
    labels = read.labels;
    at = skipBlanks(text, read.next, end);
  }
  const valueStart = at;
  while (at < end && text[at] !== " " && text[at] !== "\t" && text[at] !== "\r") at++;
  const value = parseValue(text.slice(valueStart, at));
  return value === undefined ? "odd" : { name, labels, value };
}

/** Labels from behind the opening brace; `next` is behind the closing one. */
function parseLabels(
  text: string,
  start: number,
  end: number,
): { readonly labels: Record<string, string>; readonly next: number } | undefined {
  const labels: Record<string, string> = Object.create(null);
  let count = 0;
  let at = start;
  for (;;) {
    at = skipBlanks(text, at, end);
    if (text[at] === "," && count > 0) at = skipBlanks(text, at + 1, end);
    if (at >= end) return undefined;
    if (text[at] === "}") return { labels, next: at + 1 };
    const nameStart = at;
    while (at < end && isNameCode(text.charCodeAt(at))) at++;
    const name = text.slice(nameStart, at);
    at = skipBlanks(text, at, end);
    if (name === "" || text[at] !== "=" || ++count > SAMPLE_LABELS_MAX) return undefined;
    at = skipBlanks(text, at + 1, end);
    if (text[at] !== '"') return undefined;
    const valueStart = at + 1;
    at = valueStart;
    let escaped = false;
    while (at < end && text[at] !== '"') {
      if (text[at] === "\\") {
        escaped = true;
        at++;
      }
      at++;
    }
    if (at >= end) return undefined;
    const value = text.slice(valueStart, at);
    labels[name] = escaped ? unescape(value) : value;
    at++;
  }
}

function unescape(text: string): string {
  return text.replaceAll(/\\([\\"n])/g, (_, code: string) => code === "n" ? "\n" : code);
}

function parseValue(text: string): number | undefined {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  if (text === "NaN") return NaN;
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return undefined;
  return Number(text);
}

function skipBlanks(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && (text[at] === " " || text[at] === "\t")) at++;
  return at;
}

function isNameCode(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) ||
    (code >= 48 && code <= 58) || code === 95;
}
