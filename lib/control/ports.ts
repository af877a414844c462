/** Sets of ports as annotations write them: `25,587,4000-4100`, with names where they can be resolved. */

/** Ports from `first` to `last`, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Ports where a server speaks first or the protocol is not HTTP, so that detection would only wait. */
export const DEFAULT_OPAQUE_PORTS = "25,587,3306,4444,5432,6379,9300,11211";

/**
 * Reads ports, ranges and names. What is neither (a name that `named` does not know, a number out of
 * range) is left out: one wrong word must not switch off the rest of an annotation.
 */
export function parsePorts(
  text: string,
  named: ReadonlyMap<string, number> = new Map(),
): readonly PortRange[] {
  return text.split(",").flatMap((part) => {
    const word = part.trim();
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(word);
    if (word === "") return [];
    const first = range === null ? named.get(word) : Number(range[1]);
    const last = range?.[2] === undefined ? first : Number(range[2]);
    if (first === undefined || last === undefined) return [];
    return first >= 1 && first <= last && last <= 65_535 ? [{ first, last }] : [];
  });
}

/** Whether one of the ranges holds the port. */
export function portsHave(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => port >= first && port <= last);
}
