/** Lists of ports and port ranges as annotations and flags write them: `25,587,3000-3010`. */

import { Fault } from "../base/fault.ts";

/** Ports from `first` to `last`, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What a list of ports may hold, for messages. */
export const PORTS_EXPECTED =
  "port numbers 1–65535 and ranges such as 3000-3010, with commas between";

/**
 * Reads a list of ports; an empty text is an empty list. `names` gives the numbers of named ports
 * where names are allowed. Throws `invalid_argument` for anything else.
 */
export function parsePortRanges(
  text: string,
  names: ReadonlyMap<string, number> = new Map(),
): PortRange[] {
  const items = text.split(",").map((item) => item.trim()).filter((item) => item !== "");
  return items.map((item) => {
    const named = names.get(item);
    if (named !== undefined) return { first: named, last: named };
    const [, first, last = first] = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(item) ?? [];
    const range = { first: Number(first), last: Number(last) };
    if (!isPort(range.first) || !isPort(range.last) || range.first > range.last) {
      throw new Fault("invalid_argument", `Cannot read port "${item}": expected ${PORTS_EXPECTED}`);
    }
    return range;
  });
}

/** Writes ranges back in the form that `parsePortRanges` reads. */
export function formatPortRanges(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => first === last ? `${first}` : `${first}-${last}`).join(
    ",",
  );
}

/** Whether one of the ranges holds the port. */
export function rangesContain(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => port >= first && port <= last);
}

/** Whether the number is a TCP port that something can listen on. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
