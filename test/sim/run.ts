/** Runs a scenario to its end and looks whether everything holds that must hold. */

import {
  REPLAY_BYTES_MAX,
  SEND_BUFFER_BYTES_HIGH,
  STREAM_WINDOW_BYTES,
} from "../../lib/base/limits.ts";
import { READ_AHEAD_BYTES } from "../../lib/proxy/context.ts";
import { type Ask, describe } from "./ask.ts";
import type { Nastiness } from "./dice.ts";
import type { Network } from "./network.ts";
import type { SimProxy } from "./proxy.ts";
import { makeScenario, type Scenario, type ScenarioOptions } from "./scenario.ts";
import { isServed } from "./service.ts";
import { type Fault, Violation, type World } from "./world.ts";

/** By then every request must have an end. */
const DEADLINE_MS = 2_000_000;
/** How long a single request may take when all is well. */
const RECOVERY_MS = 60_000;
/** Longer than any connection without a request may stay. */
const IDLE_MS = 500_000;
/** A connection counts as broken for so long, beside the time that news takes. */
const FAULT_LASTS_MS = 2_000;
/**
 * Bytes of one request or its response that a proxy may hold: a stream's window, what stands before the
 * socket, and what is read ahead.
 */
const HELD_BYTES_MAX = STREAM_WINDOW_BYTES + SEND_BUFFER_BYTES_HIGH + READ_AHEAD_BYTES;
/** How long a proxy reads behind its answer. */
const LINGER_MS = 2_000;
/** A call's deadline goes on in whole microseconds. */
const ROUNDED_MS = 0.01;
/** Times that one proxy sends a request. */
const TRIES_PER_PROXY = 3;
/** The same for two, one behind the other. */
const TRIES_MAX = TRIES_PER_PROXY ** 2;

/** What came of a run. */
export interface Result {
  readonly seed: number;
  readonly nastiness: number;
  /** null: everything holds. */
  readonly failure: string | null;
  readonly events: number;
  readonly requests: number;
  readonly answered: number;
  readonly trace: readonly string[] | null;
}

/** The command that runs it again, and prints everything that happens. */
export function replayOf(seed: number, nastiness?: Nastiness): string {
  const more = nastiness === undefined ? "" : ` --nastiness ${nastiness}`;
  return `npm run sim -- --seed ${seed}${more}`;
}

/** Runs one seed. */
export async function runSeed(options: ScenarioOptions): Promise<Result> {
  const scenario = makeScenario(options);
  const { world, ledger, seed, nastiness } = scenario;
  let failure: string | null = null;
  try {
    await play(scenario);
  } catch (error) {
    failure = error instanceof Violation ? error.message : String((error as Error).stack ?? error);
    world.note(() => `FAILED ${failure}`);
  }
  const asks = [...ledger.asks.values()];
  return {
    seed,
    nastiness,
    failure,
    events: world.events,
    requests: asks.length,
    answered: asks.filter((ask) => ask.outcome === "answered").length,
    trace: world.trace,
  };
}

async function play(scenario: Scenario): Promise<void> {
  const { world, ledger, clients } = scenario;
  const isOver = () => {
    if (scenario.dice.scale === "bulk") checkHeld(scenario);
    return ledger.pending === 0;
  };
  if (!world.runUntil(isOver, DEADLINE_MS)) {
    const waiting = [...ledger.asks.values()].filter((ask) => ask.outcome === null);
    throw new Violation(`waits for ever: ${waiting.map(describe).join("; ")}`);
  }
  for (const client of clients) client.leave();
  const proxies = [scenario.outbound, ...scenario.inbound].filter((proxy) => proxy !== null);
  world.note(() => "everybody has left");
  world.runUntil(() => false, world.nowMs + IDLE_MS);
  for (const proxy of proxies) checkIdle(scenario.network, proxy);
  for (const ask of ledger.asks.values()) checkAsk(world, ask);
  checkRetries(scenario);
  lookForRecovery(scenario);
  for (const proxy of proxies) {
    await drain(scenario, proxy);
    proxy.control.stop();
    checkIdle(scenario.network, proxy);
  }
  const streams = scenario.plane?.streams ?? 0;
  if (streams > 0) throw new Violation(`${streams} streams of the control plane are left`);
  for (const service of scenario.services) {
    for (const server of service.servers) server?.stop(true);
  }
  world.runUntil(() => false, world.nowMs + 1_000);
  if (world.timers > 0 || world.repeating > 0) {
    throw new Violation(`${world.timers} timers and ${world.repeating} tickers are left`);
  }
  if (scenario.network.open.size > 0) {
    const left = [...scenario.network.open].map((conn) => scenario.network.label(conn));
    throw new Violation(`connections are left: ${left.join(", ")}`);
  }
}

/** However large bodies are and however slowly they are read: proxies hold little of them. */
function checkHeld({ network, outbound, inbound, ledger }: Scenario): void {
  for (const proxy of [outbound, ...inbound]) {
    if (proxy === null) continue;
    const { came, went } = network.flowOf(proxy.name);
    const held = came - went;
    if (held <= HELD_BYTES_MAX * ledger.asks.size) continue;
    throw new Violation(`${proxy.name} holds ${held} bytes of ${ledger.asks.size} requests`);
  }
}

/** Nothing is under way: throws when something is kept for it. */
export function checkIdle(
  network: Network,
  proxy: SimProxy,
): void {
  const wrong: string[] = [];
  const count = (what: string, is: number) => is === 0 || wrong.push(`${is} ${what}`);
  for (const context of proxy.contexts) {
    count("sessions", context.sessions.size);
    count("pools", context.pools.size);
    count("applications", context.applications.size);
    count("deadlines", context.wheel.size);
    count("writes being gathered", context.gatherer.active ? 1 : 0);
  }
  count("open connections", network.openOf(proxy.name));
  wrong.push(...proxy.control.kept(), ...proxy.metrics.unbalanced());
  if (wrong.length > 0) throw new Violation(`${proxy.name} keeps ${wrong.join(", ")}`);
}

/** When nothing breaks any more, whoever comes is answered. */
function lookForRecovery(scenario: Scenario): void {
  const { world, dice, services, ledger } = scenario;
  if (world.faults.some(({ untilMs }) => untilMs === Infinity)) return;
  dice.isCalm = true;
  world.note(() => "now all should be well");
  for (const service of services) {
    const { drained } = scenario;
    if (!isServed(service, (i) => drained.has(i))) continue;
    service.servers.forEach((server, index) => {
      if (server === null) service.servers[index] = service.start(index);
    });
    const ask = scenario.askOnce(service);
    const isOver = world.runUntil(() => ledger.pending === 0, world.nowMs + RECOVERY_MS);
    for (const { server } of ask.attempts) {
      const index = Number(/\d+$/.exec(server)?.[0]);
      if (service.withdrawn.has(index)) throw new Violation(`${server} was withdrawn long ago`);
    }
    if (isOver && ask.outcome === "answered") continue;
    const { http } = service.policy;
    if (http.timeouts === undefined && (http.retry?.tryTimeoutMs ?? 0) === 0) {
      throw new Violation(`${service.speech} does not recover: ${ask.outcome} ${ask.why}`);
    }
  }
}

async function drain({ world }: Scenario, proxy: SimProxy): Promise<void> {
  let isDone = false;
  void proxy.path.drain().then(() => isDone = true);
  world.runUntil(() => false, world.nowMs + 6_000);
  await Promise.resolve();
  await Promise.resolve();
  if (!isDone) throw new Violation(`${proxy.name} does not end`);
}

/** Throws when what became of a request must not have become of it. */
export function checkAsk(world: World, ask: Ask): void {
  const { attempts, plan, outcome } = ask;
  const taken = attempts.filter((attempt) => !attempt.refused).length;
  const mayRepeat = ask.isIdempotent || plan.tunnel === "upgrade";
  const most = (mayRepeat ? TRIES_MAX : 1) * (1 + ask.retriesMax);
  if (taken > most) {
    throw new Violation(`request ${describe(ask)} was sent ${taken} times`);
  }
  if (outcome === "answered" && taken === 0) throw new Violation(`nobody answered ${plan.id}`);
  if (outcome === "answered" || outcome === "cancelled") return;
  if (plan.garbage !== null) return;
  if (plan.cancelMs !== null && plan.trouble === "hang") return;
  if (explanation(world, ask) === null) {
    throw new Violation(`nothing explains why request ${describe(ask)} was ${outcome}: ${ask.why}`);
  }
}

/** What must not be sent twice by itself, was sent again by its route, which counts that. */
function checkRetries({ ledger, outbound }: Scenario): void {
  let resent = 0;
  for (const { attempts, isIdempotent, plan } of ledger.asks.values()) {
    if (isIdempotent || plan.tunnel !== null) continue;
    resent += Math.max(0, attempts.filter((attempt) => !attempt.refused).length - 1);
  }
  const { length: counted } = outbound.metrics.retriesAtMs;
  if (resent > counted) throw new Violation(`${resent} retries, ${counted} were counted`);
}

/** What may have been the reason for a request's failure. */
function explanation(world: World, ask: Ask): string | null {
  const { behind } = ask;
  if (behind !== null && (behind.saidClose || behind.plan.garbage !== null)) {
    return "the request before it";
  }
  // It was answered before it had come: nobody reads the rest, or what is behind it.
  if (behind !== null && wasAnsweredEarly(behind)) return "the request before it";
  if (behind !== null && behind.outcome !== "answered" && behind.outcome !== "refused") {
    return "the request before it";
  }
  const tookMs = ask.endedAtMs - ask.beganAtMs;
  if (tookMs >= ask.timeoutMs - ROUNDED_MS) return "a timeout of its own or its route's";
  if (wasReadTooLate(ask)) return "its client was slow behind FIN";
  let refusals = 0;
  for (const fault of world.faults) {
    if (fault.atMs > ask.endedAtMs || fault.untilMs + FAULT_LASTS_MS < ask.beganAtMs) continue;
    if (hurts(fault, ask)) return fault.what;
    if (fault.scope === "unrepeatable" && ++refusals >= TRIES_PER_PROXY) return "all tries";
  }
  return null;
}

function wasAnsweredEarly(ask: Ask): boolean {
  return ask.sentAtMs > ask.endedAtMs || ask.outcome === "refused" ||
    ask.attempts.some((attempt) => !attempt.whole);
}

/** Who goes on sending behind FIN is cut off some time, and may not have read his answer. */
function wasReadTooLate(ask: Ask): boolean {
  return ask.attempts.some(({ completeAtMs }) => ask.endedAtMs - completeAtMs >= LINGER_MS);
}

function hurts(fault: Fault, ask: Ask): boolean {
  const isLong = ask.plan.requestBytes > REPLAY_BYTES_MAX;
  switch (fault.scope) {
    case "all":
      return true;
    case "idle":
      return !ask.isIdempotent || isLong;
    case "unrepeatable":
      return isLong;
    default:
      return fault.scope === ask.plan.id;
  }
}
