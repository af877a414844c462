/**
 * The counters of a simulated proxy: counts strictly, so that what is counted twice or never ended is
 * found where it happens or at the end of a run.
 */

import type { GateFigures } from "../../lib/proxy/gate.ts";
import type {
  ErrorKind,
  HttpMetrics,
  PathMetrics,
  ProfileKind,
  RetryOutcome,
  RouteFigures,
  TransportMetrics,
} from "../../lib/proxy/environment.ts";
import { type Labels, labelsKey } from "../../lib/telemetry/metric.ts";
import type { RetryBudget } from "../../lib/mesh/reliability.ts";
import { Violation, type World } from "./world.ts";

/** Connections of one label set. */
class Transport implements TransportMetrics {
  opens = 0;
  closes = 0;
  bytesRead = 0;
  bytesWritten = 0;

  opened(): void {
    this.opens++;
  }

  read(bytes: number): void {
    if (!(bytes >= 0)) throw new Violation(`${bytes} bytes read`);
    this.bytesRead += bytes;
  }

  wrote(bytes: number): void {
    if (!(bytes >= 0)) throw new Violation(`${bytes} bytes written`);
    this.bytesWritten += bytes;
  }

  closed(_errno: string): void {
    this.closes++;
    if (this.closes > this.opens) throw new Violation("a connection was counted as closed twice");
  }
}

/** Beside what the world's clocks are late: a turn of the proxy's own wheel. */
const LATE_MS = 50;
/** A budget forgets what is older than its time, in steps of a tenth. */
const BUDGET_PART = 0.9;

/** Requests of one label set. */
class Http implements HttpMetrics {
  requests = 0;
  responses = 0;
  readonly #latencyMaxMs: () => number;

  /** `latencyMaxMs`: what may be by now. */
  constructor(latencyMaxMs: () => number) {
    this.#latencyMaxMs = latencyMaxMs;
  }

  request(): void {
    this.requests++;
  }

  response(status: number, success: boolean, latencyMs: number, error: string): void {
    this.responses++;
    if (this.responses > this.requests) throw new Violation("a response was counted twice");
    if (!(latencyMs >= 0 && latencyMs <= this.#latencyMaxMs())) {
      throw new Violation(`a latency of ${latencyMs} ms, ${this.#latencyMaxMs()} at most`);
    }
    if (success && (error !== "" || status === 0)) {
      throw new Violation(`a success with status ${status} and error "${error}"`);
    }
  }
}

/** All counters of one proxy. */
export class StrictMetrics implements PathMetrics {
  readonly transports = new Map<string, Transport>();
  readonly https = new Map<string, Http>();
  readonly failures = new Map<string, number>();
  /** What the proxy's targets may spend on retries. */
  readonly budgets: RetryBudget[] = [];
  /** How long requests may take by their route, by the port of their endpoint. */
  readonly latenciesMaxMs = new Map<string, number>();
  /** Requests that may have paid for retries. */
  readonly #paying: () => number;
  /** When a route had something sent again. */
  readonly retriesAtMs: number[] = [];
  readonly #world: World;
  readonly #name: string;

  /** `paying` counts the requests that may have paid for a retry by now. */
  constructor(world: World, name: string, paying: () => number) {
    this.#world = world;
    this.#name = name;
    this.#paying = paying;
  }

  hedged(): never {
    throw new Violation("a second attempt that no route has configured");
  }

  gate(): GateFigures {
    return {
      show(limit, inFlight, waiting) {
        if (limit < 1 || inFlight < 0 || waiting < 0) {
          throw new Violation(`a gate of ${limit} has ${inFlight}, and ${waiting} wait`);
        }
      },
    };
  }

  transport(labels: Labels): TransportMetrics {
    const key = labelsKey(labels);
    let found = this.transports.get(key);
    if (found === undefined) this.transports.set(key, found = new Transport());
    return found;
  }

  http(labels: Labels): HttpMetrics {
    const key = labelsKey(labels);
    let found = this.https.get(key);
    if (found !== undefined) return found;
    this.https.set(key, found = new Http(() => this.#latencyMaxMs(labels)));
    return found;
  }

  profileRoute(kind: ProfileKind, labels: Labels): HttpMetrics {
    const key = `${kind} ${labelsKey(labels)}`;
    let found = this.https.get(key);
    if (found === undefined) this.https.set(key, found = new Http(() => Infinity));
    return found;
  }

  retryable(): void {}

  counted(): void {}

  detected(): void {}

  #latencyMaxMs(labels: Labels): number {
    const limitMs = this.latenciesMaxMs.get(labels["target_port"] ?? "");
    if (limitMs === undefined) return Infinity;
    const { weather, stalledMs, slowestTickMs } = this.#world;
    return limitMs + weather.quantumMs + weather.timerLagMs + stalledMs + slowestTickMs + LATE_MS;
  }

  route(): RouteFigures {
    return {
      ended(status, _grpcStatus, error, durationMs) {
        if (!(durationMs >= 0)) throw new Violation(`a duration of ${durationMs} ms`);
        if (error === "" && status === 0) throw new Violation("no status and no error");
      },
    };
  }

  authorized(): void {}

  retried(_protocol: string, outcome: RetryOutcome): void {
    if (outcome !== "requests") return;
    const { nowMs } = this.#world;
    this.retriesAtMs.push(nowMs);
    const longestMs = Math.min(...this.budgets.map(({ ttlMs }) => ttlMs)) * BUDGET_PART;
    const recent = this.retriesAtMs.filter((atMs) => atMs > nowMs - longestMs).length;
    let allowed = 0;
    for (const { ratio, minPerSecond, ttlMs } of this.budgets) {
      allowed += ratio * this.#paying() + minPerSecond * ttlMs / 1_000;
    }
    if (recent > allowed) throw new Violation(`${recent} retries, ${allowed} at most`);
  }

  failed(direction: "inbound" | "outbound", protocol: "http" | "tcp", error: ErrorKind): void {
    const key = `${direction} ${protocol} ${error}`;
    this.failures.set(key, (this.failures.get(key) ?? 0) + 1);
    this.#world.note(() => `${this.#name} counts a failure: ${key}`);
  }

  /** What does not add up when nothing is open any more. */
  unbalanced(): string[] {
    const wrong: string[] = [];
    for (const [key, { opens, closes }] of this.transports) {
      if (opens !== closes) wrong.push(`${opens} opened and ${closes} closed of ${shortKey(key)}`);
    }
    for (const [key, { requests, responses }] of this.https) {
      if (requests !== responses) {
        wrong.push(`${requests} requests, ${responses} ended of ${shortKey(key)}`);
      }
    }
    return wrong;
  }
}

/** Labels that tell one series from the others of a run. */
function shortKey(key: string): string {
  return (key.match(/(?:direction|peer|target_addr)=\S+/g) ?? []).join(" ");
}
