/** Lists of ports: what is read, what is refused, what is left out. */

import { expect, test } from "bun:test";
import {
  formatPortRanges,
  knownPortRanges,
  parsePortRanges,
  type PortRange,
  portsContain,
} from "./port-range.ts";

const NAMES = new Map([["http", 8080], ["", 8080]]);

const LISTS: [string, number[], number[]][] = [
  ["25, 587,4000-4100", [25, 587, 4000, 4050, 4100], [24, 26, 3999, 4101]],
  ["http,80", [8080, 80], [81]],
  ["8000 - 8001,65535", [8000, 8001, 65_535], [7999, 8002]],
  ["", [], [80, 8080]],
];

function check(ranges: readonly PortRange[], inside: number[], outside: number[]): void {
  expect(inside.filter((port) => !portsContain(ranges, port))).toEqual([]);
  expect(outside.filter((port) => portsContain(ranges, port))).toEqual([]);
}

test.each(LISTS.map((row) => [row] as const))("%p", ([text, inside, outside]) => {
  const ranges = parsePortRanges(text, NAMES);
  check(ranges, inside, outside);
  expect(knownPortRanges(text, NAMES)).toEqual(ranges);
  expect(parsePortRanges(formatPortRanges(ranges))).toEqual(ranges);
});

test("what is wrong is refused by its word, or left out", () => {
  for (const word of ["nope", "70000", "9-8", "0", "-1", "1-", "1-2-3", "8080x"]) {
    expect(() => parsePortRanges(`80,${word}`, NAMES)).toThrow(`Cannot read port "${word}"`);
  }
  const ranges = knownPortRanges("nope,80,70000,9-8,0,-1,1-", NAMES);
  check(ranges, [80], [0, 1, 8, 9, 70_000]);
});
