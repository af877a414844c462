/**
 * What share a slow replica gets, against the share that follows from the formula by itself. A request goes
 * where `latency × (under way + 1)` is less. Let the others answer after L, the slow one after k·L, and C be
 * under way at a time, so that C − 1 are when the next one is sent.
 *
 * Beside one other replica the slow one gets a further request while k·(s + 1) ≤ (C − 1 − s) + 1, s being what
 * it has: so it always has m = ⌊(C + 1) ÷ (k + 1)⌋ and answers m in k·L, the other one C − m in L.
 *
 * With m = 0, that is k > C, only the fading of its estimate brings it a request: k·L·e^(−t ÷ decay) ≤ L·C
 * holds t = decay · ln(k ÷ C) after its last answer, which itself takes k·L.
 */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../base/prng.ts";
import { HandClock } from "../../test/support/path-environment.ts";
import { Balancer, type EndpointState } from "./balance.ts";

/** What the others take. */
const USUAL_MS = 1;
const SLOW_PORT = 1;

interface Scene {
  readonly seed: number;
  readonly replicas: number;
  /** How many times as long the slow one takes. */
  readonly factor: number;
  readonly concurrency: number;
  readonly decayMs: number;
}

interface Call {
  readonly state: EndpointState;
  readonly beganAtMs: number;
  readonly endsAtMs: number;
}

/** Requests that the slow one and all others get between two moments, where so many are always under way. */
function sent(scene: Scene, fromMs: number, toMs: number): { slow: number; others: number } {
  const { seed, replicas, factor, concurrency, decayMs } = scene;
  const clock = new HandClock();
  const random = seededRandom(seed);
  const balancer = new Balancer({ clock, random, defaultRttMs: USUAL_MS, decayMs });
  const endpoints = Array.from({ length: replicas }, (_, i) => ({
    address: { ip: "10.42.0.1", port: SLOW_PORT + i },
    weight: 10_000,
    labels: {},
    hint: "unknown" as const,
  }));
  balancer.update({ kind: "add", endpoints, labels: {} });
  const calls: Call[] = [];
  const counts = { slow: 0, others: 0 };
  for (let now = clock.monotonicMs(); now < toMs; now = clock.monotonicMs()) {
    if (calls.length === concurrency) {
      const call = calls.reduce((first, each) => each.endsAtMs < first.endsAtMs ? each : first);
      calls.splice(calls.indexOf(call), 1);
      clock.advance(call.endsAtMs - now);
      now = clock.monotonicMs();
      call.state.measured(now - call.beganAtMs, now);
      call.state.ended(call.beganAtMs);
    }
    const state = balancer.pick(now)!;
    const isSlow = state.endpoint.address.port === SLOW_PORT;
    state.began(now);
    calls.push({ state, beganAtMs: now, endsAtMs: now + USUAL_MS * (isSlow ? factor : 1) });
    if (now >= fromMs && now < toMs) counts[isSlow ? "slow" : "others"]++;
  }
  return counts;
}

const seed = fc.integer();

describe("a slow replica's share is what the formula says", () => {
  test("beside one other, as many under way as make both equal", () => {
    const factor = fc.double({ min: 1.2, max: 20, noNaN: true });
    const concurrency = fc.integer({ min: 2, max: 60 });
    let tried = 0;
    fc.assert(fc.property(seed, factor, concurrency, (seed, factor, concurrency) => {
      const has = Math.floor((concurrency + 1) / (factor + 1));
      // With one more they would be equal but for what estimates fade between two answers.
      const margin = 1 - (concurrency - has) / (factor * (has + 1));
      fc.pre(has > 0 && margin > 0.02 && (concurrency + 1) / (factor + 1) - has > 0.02);
      tried++;
      const scene = { seed, replicas: 2, factor, concurrency, decayMs: 10_000 };
      // Not where an answer of the slow one's may come.
      const fromMs = 4.3 * factor * USUAL_MS;
      const spanMs = 40.1 * factor * USUAL_MS;
      const { slow, others } = sent(scene, fromMs, fromMs + spanMs);
      // No more than those under way may lie on either side of an end.
      expect(Math.abs(slow - has * spanMs / (factor * USUAL_MS))).toBeLessThanOrEqual(has);
      const rest = concurrency - has;
      expect(Math.abs(others - rest * spanMs / USUAL_MS)).toBeLessThanOrEqual(rest);
    }));
    expect(tried).toBeGreaterThan(50);
  });

  test("with less under way than it is slower, one request as often as its estimate has faded", () => {
    const concurrency = fc.integer({ min: 1, max: 8 });
    const slower = fc.double({ min: 1.2, max: 10, noNaN: true });
    fc.assert(
      fc.property(seed, concurrency, slower, (seed, concurrency, slower) => {
        const factor = concurrency * slower;
        const decayMs = 200;
        const periodMs = decayMs * Math.log(slower) + factor * USUAL_MS;
        const fromMs = 4 * factor * USUAL_MS;
        const spanMs = 20 * periodMs;
        const scene = { seed, replicas: 2, factor, concurrency, decayMs };
        const { slow } = sent(scene, fromMs, fromMs + spanMs);
        // It is looked at once an answer comes, and the other's estimate is as old as its last one.
        expect(slow).toBeLessThanOrEqual(Math.ceil(spanMs / periodMs) + 1);
        expect(slow).toBeGreaterThanOrEqual(Math.floor(spanMs / (periodMs + 2 * USUAL_MS)) - 1);
      }),
      { numRuns: 30 },
    );
  });

  test("among several, it is as well one of two random ones only so often", () => {
    const replicas = fc.integer({ min: 3, max: 8 });
    const factor = fc.constantFrom(2, 5, 10, 50);
    fc.assert(
      fc.property(seed, replicas, factor, (seed, replicas, factor) => {
        const decayMs = 200;
        // One of n is one of two in two of n draws, so that it waits for n ÷ 2 of them.
        const fadedMs = decayMs * Math.log(factor) + factor * USUAL_MS;
        const periodMs = fadedMs + replicas / 2 * USUAL_MS;
        const periods = 100;
        const fromMs = 4 * factor * USUAL_MS;
        const scene = { seed, replicas, factor, concurrency: 1, decayMs };
        const { slow } = sent(scene, fromMs, fromMs + periods * periodMs);
        // The waits are geometric: six standard deviations of all of them, and estimates some draws old.
        const waitsMs = 6 * Math.sqrt(periods) * replicas / 2 * USUAL_MS;
        const draws = replicas * USUAL_MS;
        const most = (periods * periodMs + waitsMs) / (periodMs - USUAL_MS) + 1;
        const least = (periods * periodMs - waitsMs) / (periodMs + draws) - 1;
        expect(slow).toBeWithin(least, most);
      }),
      { numRuns: 30 },
    );
  });
});
