import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../base/prng.ts";
import type { Endpoint } from "../mesh/endpoint.ts";
import { HandClock } from "../../test/support/path-environment.ts";
import { Balancer, type BalancerOptions, type EndpointState } from "./balance.ts";
import { USUAL_LIMITS } from "./path-limits.ts";

/** How long a request waits for a first endpoint. */
const FAILFAST_MS = USUAL_LIMITS.outboundQueueMs;

function endpoint(last: number, more: Partial<Endpoint> = {}): Endpoint {
  return {
    address: { ip: `10.42.0.${last}`, port: 80 },
    weight: 10_000,
    labels: { pod: `p${last}` },
    hint: "unknown",
    ...more,
  };
}

function setUp(count: number, more: Partial<BalancerOptions> = {}) {
  const clock = new HandClock();
  const balancer = new Balancer({
    clock,
    random: seededRandom(7),
    defaultRttMs: 30,
    decayMs: 10_000,
    ...more,
  });
  const endpoints = Array.from({ length: count }, (_, index) => endpoint(index + 1));
  if (count > 0) balancer.update({ kind: "add", endpoints, labels: { service: "web" } });
  return { clock, balancer };
}

/** Serves `requests` one after another with 4 under way; returns how many each endpoint got. */
function serve(
  { clock, balancer }: ReturnType<typeof setUp>,
  requests: number,
  latency: (pod: string) => number,
): Map<string, number> {
  const served = new Map<string, number>();
  const busy: { state: EndpointState; until: number; began: number }[] = [];
  for (let i = 0; i < requests; i++) {
    if (busy.length === 4) {
      busy.sort((a, b) => a.until - b.until);
      const done = busy.shift()!;
      clock.advance(Math.max(0, done.until - clock.monotonicMs()));
      done.state.measured(done.until - done.began, clock.monotonicMs());
      done.state.ended(done.began);
    }
    const state = balancer.pick(clock.monotonicMs())!;
    const pod = state.endpoint.labels["pod"]!;
    state.began(clock.monotonicMs());
    busy.push({ state, began: clock.monotonicMs(), until: clock.monotonicMs() + latency(pod) });
    served.set(pod, (served.get(pod) ?? 0) + 1);
  }
  return served;
}

describe("choosing", () => {
  test("equal replicas get equal shares", () => {
    const served = serve(setUp(4), 4_000, () => 5);
    for (const count of served.values()) expect(count).toBeWithin(700, 1_300);
  });

  test("fresh endpoints are equal, whenever each of them came", () => {
    const gap = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 30_000, noNaN: true }));
    fc.assert(fc.property(fc.integer(), fc.array(gap, { minLength: 2, maxLength: 8 }), (
      seed,
      gaps,
    ) => {
      const clock = new HandClock();
      // No two looks at a real clock are the same.
      const tick = clock.monotonicMs;
      clock.monotonicMs = () => {
        clock.advance(0.001);
        return tick();
      };
      const options = { clock, random: seededRandom(seed), defaultRttMs: 30, decayMs: 10_000 };
      const balancer = new Balancer(options);
      const endpoints = gaps.map((_, index) => endpoint(index + 1));
      const half = Math.floor(gaps.length / 2);
      balancer.update({ kind: "add", endpoints: endpoints.slice(0, half), labels: {} });
      for (const [index, gapMs] of gaps.slice(half).entries()) {
        clock.advance(gapMs);
        balancer.update({ kind: "add", endpoints: [endpoints[half + index]!], labels: {} });
      }
      const picked = new Map<EndpointState, number>();
      for (let i = 0; i < 400 * gaps.length; i++) {
        const state = balancer.pick(clock.monotonicMs())!;
        picked.set(state, (picked.get(state) ?? 0) + 1);
      }
      expect(picked.size).toBe(gaps.length);
      // Six standard deviations and more.
      for (const count of picked.values()) expect(count).toBeWithin(270, 530);
    }));
  });

  test("of fresh endpoints the one with less under way is taken", () => {
    const { clock, balancer } = setUp(2);
    clock.advance(5);
    const busy = balancer.pick(clock.monotonicMs())!;
    busy.began(0);
    for (let i = 0; i < 20; i++) expect(balancer.pick(clock.monotonicMs())).not.toBe(busy);
  });

  test("a replica that is 50 ms slower gets a small share", () => {
    const served = serve(setUp(2), 2_000, (pod) => pod === "p1" ? 55 : 5);
    expect(served.get("p1")!).toBeLessThan(300);
    expect(served.get("p1")!).toBeGreaterThan(0);
  });

  test("a weight of a tenth draws much less", () => {
    const { clock, balancer } = setUp(0);
    const endpoints = [endpoint(1), endpoint(2, { weight: 1_000 })];
    balancer.update({ kind: "add", endpoints, labels: {} });
    const served = serve({ clock, balancer }, 2_000, () => 5);
    expect(served.get("p2") ?? 0).toBeLessThan(600);
  });

  test("an endpoint that cannot be reached is avoided, then tried again", () => {
    const { clock, balancer } = setUp(2);
    const state = balancer.pick(0)!;
    state.failed(0);
    for (let i = 0; i < 50; i++) expect(balancer.pick(clock.monotonicMs())).not.toBe(state);
    expect(balancer.ready).toBe(1);
    clock.advance(501);
    expect(balancer.ready).toBe(2);
    const again = Array.from({ length: 50 }, () => balancer.pick(clock.monotonicMs()));
    expect(again).toContain(state);
    state.failed(clock.monotonicMs());
    clock.advance(501);
    expect(balancer.ready).toBe(1);
  });

  test("of three, two of them avoided, the third is found", () => {
    const { clock, balancer } = setUp(3);
    const seen = new Set<EndpointState>();
    while (seen.size < 3) seen.add(balancer.pick(clock.monotonicMs())!);
    const [a, b, c] = [...seen];
    a!.failed(0);
    b!.failed(0);
    for (let i = 0; i < 50; i++) expect(balancer.pick(0)).toBe(c!);
    c!.failed(0);
    // All are avoided: a poor chance is better than none.
    expect(balancer.pick(0)).not.toBeNull();
  });
});

describe("changes", () => {
  test("an endpoint that stays keeps what is known of it; a changed one is new", () => {
    const { balancer } = setUp(1);
    const state = balancer.pick(0);
    balancer.update({ kind: "add", endpoints: [endpoint(1)], labels: { service: "web" } });
    expect(balancer.pick(0)).toBe(state);
    const identity = { name: "a", serverName: "a" };
    balancer.update({ kind: "add", endpoints: [endpoint(1, { identity })], labels: {} });
    expect(balancer.pick(0)).not.toBe(state);
    expect(state!.removed).toBe(true);
    expect(balancer.size).toBe(1);
  });

  test("what hangs on a removed endpoint is closed", () => {
    const { balancer } = setUp(2);
    const state = balancer.pick(0)!;
    let closed = 0;
    state.resource = { close: () => void closed++ };
    balancer.update({ kind: "remove", addresses: [state.endpoint.address] });
    expect(closed).toBe(1);
    expect(balancer.size).toBe(1);
    expect(balancer.pick(0)).not.toBe(state);
    balancer.update({ kind: "none", exists: true });
    expect(balancer.pick(0)).toBeNull();
  });
});

describe("waiting", () => {
  test("for the first endpoint", () => {
    const { clock, balancer } = setUp(0);
    const got: (EndpointState | null)[] = [];
    balancer.wait({ picked: (state) => void got.push(state) });
    clock.advance(FAILFAST_MS - 1);
    expect(got).toEqual([]);
    balancer.update({ kind: "add", endpoints: [endpoint(1)], labels: {} });
    expect(got).toEqual([balancer.pick(0)]);
    clock.advance(FAILFAST_MS);
    expect(got.length).toBe(1);
  });

  test("ends; after that nobody waits in vain", () => {
    const { clock, balancer } = setUp(0);
    const got: (EndpointState | null)[] = [];
    const waiter = { picked: (state: EndpointState | null) => void got.push(state) };
    balancer.wait(waiter);
    clock.advance(FAILFAST_MS);
    expect(got).toEqual([null]);
    balancer.wait(waiter);
    expect(got).toEqual([null, null]);
    balancer.update({ kind: "add", endpoints: [endpoint(1)], labels: {} });
    balancer.update({ kind: "none", exists: true });
    balancer.wait(waiter);
    expect(got.length).toBe(2);
    balancer.cancel(waiter);
    clock.advance(FAILFAST_MS);
    expect(got.length).toBe(2);
  });
});

describe("where no more may wait", () => {
  test("who comes is told at once, until somebody has gone", () => {
    const { clock, balancer } = setUp(0, { queueMax: 2 });
    const got: (number | null)[] = [];
    const waiters = [0, 1, 2, 3].map((name) => ({
      picked: (state: EndpointState | null) => void got.push(state === null ? null : name),
    }));
    for (const waiter of waiters.slice(0, 3)) balancer.wait(waiter);
    expect([got, balancer.waiting, balancer.isFull]).toEqual([[null], 2, true]);
    balancer.cancel(waiters[0]!);
    expect(balancer.isFull).toBe(false);
    balancer.wait(waiters[3]!);
    expect([got, balancer.waiting, balancer.isFull]).toEqual([[null], 2, true]);
    balancer.update({ kind: "add", endpoints: [endpoint(1)], labels: {} });
    expect(got).toEqual([null, 1, 3]);
    expect([balancer.waiting, balancer.waited]).toEqual([0, 3]);
    clock.advance(FAILFAST_MS);
    expect(got.length).toBe(3);
  });
});

describe("failure accrual", () => {
  const accrual = {
    failuresMax: 3,
    backoff: { minMs: 1_000, maxMs: 4_000, jitter: 0 },
    endpointsMin: 1,
  };

  /** One request, answered at once, well or badly by where it went. */
  function ask({ clock, balancer }: ReturnType<typeof setUp>, isGood: (pod: string) => boolean) {
    const state = balancer.pick(clock.monotonicMs());
    if (state === null) throw new Error("no endpoint");
    const pod = state.endpoint.labels["pod"] ?? "";
    const began = clock.monotonicMs();
    state.began(began);
    clock.advance(1);
    state.measured(1, clock.monotonicMs());
    const good = isGood(pod);
    state.judged(good, began, clock.monotonicMs());
    if (!good) state.penalized(clock.monotonicMs());
    state.ended(began);
    return pod;
  }

  test("an endpoint that answers badly is left alone, tried now and then, and taken back", () => {
    const world = setUp(3, { accrual });
    let isHealed = false;
    const isGood = (pod: string) => pod !== "p1" || isHealed;
    const count = (asks: number) => {
      let bad = 0;
      for (let i = 0; i < asks; i++) if (ask(world, isGood) === "p1") bad++;
      return bad;
    };
    // Each failure makes it less likely for a while that it is asked.
    let failed = 0;
    for (let i = 0; i < 20 && world.balancer.ready === 3; i++) failed += count(300);
    expect([failed, world.balancer.ready]).toEqual([3, 2]);
    // 10 s at 1 ms each: after 1, 2, 4 and 4 s one request tries it.
    expect(count(10_000)).toBeLessThanOrEqual(4);
    isHealed = true;
    count(5_000);
    expect(count(3_000)).toBeGreaterThan(800);
  });

  test("where all are bad none is left alone", () => {
    const world = setUp(3, { accrual });
    const asked = Array.from({ length: 100 }, () => ask(world, () => false));
    for (const pod of ["p1", "p2", "p3"]) expect(asked).toContain(pod);
    expect(world.balancer.ready).toBe(3);
  });

  test("as many stay as must, though others do better", () => {
    const world = setUp(3, { accrual: { ...accrual, endpointsMin: 2 } });
    for (let i = 0; i < 200; i++) ask(world, (pod) => pod === "p3");
    expect(world.balancer.ready).toBe(2);
  });

  test("whoever was left alone is tried again as soon as the others fail too", () => {
    const world = setUp(3, { accrual: { ...accrual, backoff: { ...accrual.backoff, minMs: 10 } } });
    for (let i = 0; i < 2_000; i++) ask(world, (pod) => pod !== "p1");
    const asked = Array.from({ length: 200 }, () => ask(world, () => false));
    expect(asked.filter((pod) => pod === "p1").length).toBeGreaterThan(5);
  });

  test("what comes back is tried at once and gets its share, however slow it was", () => {
    const world = setUp(3, { accrual });
    const { clock, balancer } = world;
    const slow = balancer.pick(0)!;
    const pod = slow.endpoint.labels["pod"];
    for (let i = 0; i < 3; i++) {
      slow.began(i);
      slow.unanswered(10_000, i);
      slow.judged(false, i, i);
      slow.ended(i);
    }
    for (let i = 0; i < 900; i++) expect(ask(world, () => true)).not.toBe(pod!);
    clock.advance(1_000);
    const asked = Array.from({ length: 300 }, () => ask(world, () => true));
    expect(asked.filter((each) => each === pod).length).toBeGreaterThan(50);
  });

  test("a request that has failed goes elsewhere, and is no probe", () => {
    const { balancer } = setUp(3, { accrual });
    const [a, b] = [balancer.pick(0)!, balancer.pick(0)!];
    for (let i = 0; i < 50; i++) expect(balancer.pick(0, a)).not.toBe(a);
    const two = setUp(2);
    const first = two.balancer.pick(0)!;
    const other = two.balancer.pick(0, first)!;
    expect(other).not.toBe(first);
    // The other one is away: the same again is better than nothing.
    other.failed(0);
    expect(two.balancer.pick(0, first)).toBe(first);
    expect(setUp(1).balancer.pick(0, b)).not.toBeNull();
  });

  test("quick failures draw no requests", () => {
    const world = setUp(2);
    const { clock, balancer } = world;
    const served = { p1: 0, p2: 0 };
    for (let i = 0; i < 4_000; i++) {
      const began = clock.monotonicMs();
      const state = balancer.pick(began)!;
      const pod = state.endpoint.labels["pod"] as keyof typeof served;
      served[pod]++;
      state.began(began);
      const isBad = pod === "p1" && served.p1 % 2 === 0;
      clock.advance(isBad ? 0.1 : 5);
      const latencyMs = clock.monotonicMs() - began;
      if (isBad) state.failedAfter(latencyMs, clock.monotonicMs());
      else state.measured(latencyMs, clock.monotonicMs());
      state.judged(!isBad, began, clock.monotonicMs());
      state.ended(began);
    }
    // Fewer than half, and not none: it may be well again.
    expect(served.p1).toBeWithin(10, 1_900);
  });

  test("a latency that nobody waited for counts as far as it is known", () => {
    const { balancer } = setUp(2);
    const state = balancer.pick(0)!;
    state.measured(50, 0);
    state.unanswered(10, 0);
    expect(state.load(0)).toBe(50);
    state.unanswered(500, 0);
    expect(state.load(0)).toBe(500);
  });

  test("a failure weighs as its penalty, for a while", () => {
    const world = setUp(2, { penalty: { penaltyMs: 500, retryAfterMaxMs: 0 } });
    const served = { p1: 0, p2: 0 };
    let failures = 0;
    for (let i = 0; i < 1_000; i++) {
      const pod = ask(world, (pod) => pod !== "p1" || failures++ > 0);
      served[pod as keyof typeof served]++;
    }
    expect(served.p1).toBeLessThan(20);
    world.clock.advance(500_000);
    for (let i = 0; i < 1_000; i++) served[ask(world, () => true) as keyof typeof served]++;
    expect(served.p1).toBeGreaterThan(200);
  });

  test("who asks to be left alone is, up to the bound", () => {
    const { clock, balancer } = setUp(2, { penalty: { penaltyMs: 0, retryAfterMaxMs: 2_000 } });
    const first = balancer.pick(0);
    first?.askedToWait(3_600_000, 0);
    expect(first?.load(0)).toBe(2_000);
    for (let i = 0; i < 50; i++) expect(balancer.pick(clock.monotonicMs())).not.toBe(first);
  });
});
