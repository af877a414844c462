/** Lists of ports and port ranges as annotations, flags and variables write them: `25,587,3000-3010`. */

import { Fault } from "../base/fault.ts";

/** Ports from `first` to `last`, both included. */
export interface PortRange {
  /** The lowest port. */
  readonly first: number;
  /** The highest port. */
  readonly last: number;
}

/** Numbers of ports by the names that a pod's containers give them. */
export type PortNames = ReadonlyMap<string, number>;

/** Ports where a server speaks first or the protocol is not HTTP, so that detection would only wait. */
export const DEFAULT_OPAQUE_PORTS = "25,587,3306,4444,5432,6379,9300,11211";

/** What a list of ports may hold, for messages. */
export const PORTS_EXPECTED =
  "port numbers 1–65535 and ranges such as 3000-3010, with commas between";

const NO_NAMES: PortNames = new Map();

/** Reads one port, range or known name; undefined when it is neither. */
export function portRange(text: string, names: PortNames = NO_NAMES): PortRange | undefined {
  const word = text.trim();
  const [, from, to = from] = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(word) ?? [];
  const first = from === undefined ? names.get(word) : Number(from);
  const last = to === undefined ? first : Number(to);
  if (first === undefined || last === undefined) return undefined;
  return isPort(first) && isPort(last) && first <= last ? { first, last } : undefined;
}

/** Reads a list; an empty text is an empty list. Throws `invalid_argument` at the first wrong word. */
export function parsePortRanges(text: string, names: PortNames = NO_NAMES): PortRange[] {
  return words(text).map((word) => {
    const range = portRange(word, names);
    if (range !== undefined) return range;
    throw new Fault("invalid_argument", `Cannot read port "${word}": expected ${PORTS_EXPECTED}`);
  });
}

/** Reads a list and leaves out what is wrong: one word must not switch off the rest of an annotation. */
export function knownPortRanges(text: string, names: PortNames = NO_NAMES): PortRange[] {
  return words(text).flatMap((word) => portRange(word, names) ?? []);
}

/** Writes ranges back in the form in which they are read. */
export function formatPortRanges(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => first === last ? `${first}` : `${first}-${last}`)
    .join(",");
}

/** Whether one of the ranges holds the port. */
export function portsContain(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => port >= first && port <= last);
}

/** Whether the number is a port that something can listen on. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function words(text: string): string[] {
  return text.split(",").map((word) => word.trim()).filter((word) => word !== "");
}
