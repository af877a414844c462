import { expect, test } from "bun:test";
import { HandClock } from "../../test/support/path-environment.ts";
import { HANDSHAKES_PER_TURN } from "../base/limits.ts";
import { HandshakeTurns } from "./handshake-turns.ts";

test("some begin in each turn, in their order, and none waits when few come", () => {
  const clock = new HandClock();
  const turns = new HandshakeTurns(clock);
  const begun: number[] = [];
  const begin = (number: number) => turns.begin(() => void begun.push(number));
  const all = Array.from({ length: 3 * HANDSHAKES_PER_TURN - 1 }, (_, number) => number);
  all.forEach(begin);
  expect(begun).toEqual(all.slice(0, HANDSHAKES_PER_TURN));
  clock.advance(0);
  expect(begun).toEqual(all.slice(0, 2 * HANDSHAKES_PER_TURN));
  begin(99);
  clock.advance(0);
  expect(begun).toEqual([...all, 99]);
  clock.advance(0);
  begin(100);
  expect(begun.at(-1)).toBe(100);
});
