/** What is drawn for a scenario: requests, sizes, links, habits. */

import { REPLAY_BYTES_MAX } from "../../lib/base/limits.ts";
import type { Prng } from "../../lib/base/prng.ts";
import type { ClientPolicy, Route } from "../../lib/mesh/policy.ts";
import {
  DEFAULT_RETRY_BUDGET,
  type FailureAccrual,
  type RetryBudget,
  type RetryPolicy,
  type RouteTimeouts,
} from "../../lib/mesh/reliability.ts";
import type { AskPlan, Framing, Trouble } from "./ask.ts";
import type { Link } from "./conn.ts";
import type { PlaneManners } from "./control-plane.ts";
import type { ReadingPlan } from "./reading.ts";
import type { Weather } from "./world.ts";

/**
 * How nasty a run is: 0, only timing and sizes; 1, whatever well-behaved programs may do at bad moments;
 * 2, things break; 3, and the mesh itself changes.
 */
export type Nastiness = 0 | 1 | 2 | 3;

/** How much there is to do: `many` small requests, or a few with large bodies that nobody reads. */
export type Scale = "usual" | "many" | "bulk";

/** What a service speaks. */
export type Speech = "http1" | "http2" | "opaque";

/** What all bodies of a scenario may have together. */
const BYTE_BUDGETS: Readonly<Record<Scale, number>> = {
  usual: 400_000,
  many: 100_000,
  bulk: Infinity,
};
const BULK_BYTES = 5_000_000;
/** Where no longer body can pass in good time, many requests cannot either. */
const SLOW_BYTES = 5_000;
const METHODS = [
  ...["GET", "GET", "GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "DELETE"],
] as const;

/** What is the same throughout one scenario. */
interface Character {
  readonly latencyMs: number;
  readonly capacities: readonly number[];
  readonly smallReads: number;
  readonly readMaxes: readonly number[];
  readonly shortWrites: number;
  /** Chances: that a connection breaks, that it cannot be made, that a server or client misbehaves. */
  readonly breaks: number;
  readonly attemptsFail: number;
  readonly troubles: number;
  readonly cancels: number;
  readonly slowReaders: number;
}

/** Draws everything of one scenario. */
export class Dice {
  readonly prng: Prng;
  readonly nastiness: Nastiness;
  readonly scale: Scale;
  readonly #character: Character;
  /** Bytes that bodies may still have, and that one may have. */
  #budget: number;
  readonly #bytesMost: number;
  #ids = 0;
  /** From now on nothing breaks. */
  isCalm = false;

  constructor(prng: Prng, nastiness: Nastiness) {
    this.prng = prng;
    this.nastiness = nastiness;
    const kind = prng.float();
    this.scale = kind < 0.05 ? "many" : kind > 0.95 && nastiness === 0 ? "bulk" : "usual";
    this.#character = this.scale === "bulk" ? bulkCharacter(prng) : character(prng, nastiness);
    this.#budget = BYTE_BUDGETS[this.scale];
    // Long ways with little room take for ever.
    const { latencyMs, capacities } = this.#character;
    this.#bytesMost = Math.min(...capacities) * 10_000 / Math.max(10, 4 * latencyMs);
  }

  weather(): Weather {
    const { prng } = this;
    return {
      quantumMs: prng.pick([0, 0.2, 1, 5]),
      shortTurns: prng.pick([0, 0.3, 1]),
      timerLagMs: prng.pick([0, 1, 20]),
    };
  }

  /** `isInside`: within one process. */
  link(prng: Prng, isInside: boolean): Link {
    const { breaks, smallReads, shortWrites, capacities, readMaxes } = this.#character;
    const latencyMs = isInside ? 0 : this.#character.latencyMs;
    const isBroken = !isInside && !this.isCalm && breaks > 0 && prng.chance(breaks);
    const isSilent = isBroken && prng.chance(0.15);
    const at = isBroken ? Math.floor(10 ** (prng.float() * 5)) : Infinity;
    return {
      latencyMs: latencyMs * (0.5 + prng.float()),
      jitterMs: prng.chance(0.3) ? latencyMs * 3 * prng.float() : 0.01,
      capacity: prng.pick(capacities),
      smallReads,
      readMax: prng.pick(readMaxes),
      shortWrites,
      resetAtByte: isSilent ? Infinity : at,
      silentAtByte: isSilent ? at : Infinity,
    };
  }

  attempt(prng: Prng): "refused" | "unreachable" | "lost" | null {
    const { attemptsFail } = this.#character;
    if (this.isCalm || attemptsFail === 0 || !prng.chance(attemptsFail)) return null;
    return prng.pick(["refused", "refused", "unreachable", "lost"]);
  }

  reading(): ReadingPlan {
    const { prng } = this;
    if (!prng.chance(this.#character.slowReaders)) {
      return { pauses: 0, pauseMs: 0, stopAtByte: Infinity, stopMs: 0 };
    }
    const isBulk = this.scale === "bulk";
    return {
      pauses: isBulk ? 0 : prng.pick([0, 0.02, 0.2]),
      pauseMs: prng.pick([1, 50]),
      stopAtByte: isBulk || prng.chance(0.5) ? prng.below(30_000) + 1 : Infinity,
      stopMs: isBulk ? 20_000 : prng.pick([10, 500, 5_000]),
    };
  }

  /** How many requests a client has. */
  count(): number {
    const { prng } = this;
    if (this.scale === "bulk") return 1;
    const isMany = this.scale === "many" && this.#bytesMost > SLOW_BYTES;
    return isMany ? prng.between(20, 120) : prng.between(1, 8);
  }

  /** A body's length; what all bodies together have is bounded. */
  bytes(): number {
    const { prng } = this;
    if (this.scale === "bulk") return prng.pick([0, BULK_BYTES]);
    const kind = prng.float();
    let most = 200;
    if (kind < 0.15) return 0;
    else if (kind > 0.98) most = 300_000;
    else if (kind > 0.9) most = 70_000;
    else if (kind > 0.6) most = 5_000;
    const bytes = Math.floor(Math.min(1 + prng.below(most), this.#bytesMost));
    if (bytes > this.#budget) return prng.below(100);
    this.#budget -= bytes;
    return bytes;
  }

  /** A window that a program announces; null: the usual one. */
  window(): number | null {
    if (this.scale === "bulk") return null;
    const small = this.#character.latencyMs < 1 ? [65_535, 1_000, 20] : [65_535, 4_000];
    return this.prng.pick([null, null, ...small]);
  }

  nextId(): number {
    return ++this.#ids;
  }

  /** A control plane that proxies watch; null: they are told without one. */
  plane(): PlaneManners | null {
    const { prng, nastiness } = this;
    if (prng.chance(0.5)) return null;
    return {
      delayMs: prng.pick([0, 1, 200]),
      streamsEnd: nastiness === 0 ? 0 : prng.pick([0, 0.2, 0.7]),
      streamMs: prng.pick([10, 1_000, 20_000]),
      repeats: prng.pick([0, 0.5]),
    };
  }

  /** When a service's endpoints are left alone for their failures. */
  accrual(): Pick<ClientPolicy, "accrual"> {
    const { prng, nastiness } = this;
    if (nastiness === 0 || prng.chance(0.7)) return {};
    const backoff = { minMs: prng.pick([10, 1_000]), maxMs: 10_000, jitter: 0.5 };
    const accrual: FailureAccrual = {
      failuresMax: prng.pick([0, 2, 7]),
      backoff,
      endpointsMin: prng.pick([0, 1]),
      ...(prng.chance(0.4)
        ? { successRate: { threshold: 0.6, windowMs: 5_000, requestsMin: 3 } }
        : {}),
    };
    return { accrual };
  }

  /** What retries may add to a service's load. */
  retryBudget(): RetryBudget {
    const { prng } = this;
    return prng.pick([
      DEFAULT_RETRY_BUDGET,
      { ratio: 0, minPerSecond: 0.1, ttlMs: 10_000 },
      { ratio: 0.5, minPerSecond: 0, ttlMs: 1_000 },
    ]);
  }

  /** What a service's route says of retries and times. */
  route(): Pick<Route, "retry" | "timeouts"> {
    const { prng, nastiness } = this;
    if (nastiness === 0 || prng.chance(0.6)) return {};
    const retry: RetryPolicy = {
      statuses: prng.pick([[[500, 599]], [[404, 404], [502, 504]], []]),
      grpcStatuses: prng.pick([[], [14], [5, 14]]),
      retriesMax: prng.between(1, 3),
      requestBytesMax: prng.pick([1_000, REPLAY_BYTES_MAX]),
      tryTimeoutMs: prng.pick([0, 0, 100, 1_000]),
      backoff: { minMs: prng.pick([1, 50]), maxMs: 100, jitter: 0.5 },
    };
    const timeouts: RouteTimeouts = {
      requestMs: prng.pick([0, 200, 3_000]),
      responseMs: prng.pick([0, 0, 100, 2_000]),
      idleMs: prng.pick([0, 0, 150, 1_000]),
    };
    const has = prng.pick(["retry", "retry", "timeouts", "both"]);
    return {
      ...(has === "timeouts" ? {} : { retry }),
      ...(has === "retry" ? {} : { timeouts }),
    };
  }

  ask(speech: Speech): AskPlan {
    const { prng } = this;
    const isHttp1 = speech === "http1";
    const isBulk = this.scale === "bulk";
    const tunnel = isHttp1 && prng.chance(0.03) ? prng.pick(["upgrade", "connect"] as const) : null;
    const isCall = speech === "http2" && prng.chance(0.3);
    const method = isCall ? "POST" : this.#method(tunnel);
    const hasBody = speech === "opaque" || tunnel !== null || method === "POST" || method === "PUT";
    const requestBytes = hasBody ? this.bytes() : 0;
    const http10 = isHttp1 && tunnel === null && prng.chance(0.06);
    const requestChunked = hasBody && tunnel === null && !http10 && prng.chance(0.3);
    const framing = isCall ? "chunked" : this.#framing(http10);
    const trouble = this.#trouble(speech, tunnel !== null);
    const garbage = isHttp1 ? this.#garbage(tunnel !== null, requestChunked) : null;
    return {
      id: this.nextId(),
      method,
      requestBytes,
      requestChunked,
      requestTrailers: requestChunked && prng.chance(0.2),
      expectContinue: isHttp1 && !http10 && requestBytes > 0 && prng.chance(0.08),
      requestPauseMs: this.#pauseMs(),
      requestPieceBytes: isBulk ? 60_000 : prng.pick([100, 3_000, 16_384, 60_000]),
      http10,
      status: tunnel !== null || isCall ? 200 : prng.pick([200, 200, 200, 200, 204, 304, 404, 500]),
      responseBytes: this.bytes(),
      framing,
      responseTrailers: isCall ||
        speech !== "opaque" && !http10 && framing === "chunked" && prng.chance(0.2),
      interim: tunnel === null && speech !== "opaque" && !http10 && prng.chance(0.08),
      early: tunnel === null && !isBulk && prng.chance(speech === "opaque" ? 0.5 : 0.15),
      delayMs: prng.pick([0, 0, 1, 10, 300]) * prng.float(),
      responsePauseMs: this.#pauseMs(),
      responsePieceBytes: isBulk ? 60_000 : prng.pick([80, 4_000, 16_384, 60_000]),
      afterwards: tunnel === null ? this.#afterwards() : "keep",
      trouble,
      troubleOnce: prng.chance(0.3),
      garbage,
      paddingBytes: speech !== "opaque" && prng.chance(0.04) ? this.#paddingBytes() : 0,
      grpcStatus: isCall ? prng.pick([0, 0, 0, 5, 14]) : null,
      deadlineMs: isCall && this.nastiness > 0 && prng.chance(0.25)
        ? prng.pick([50, 500, 3_000])
        : null,
      cancelMs: this.#cancelMs(trouble === "hang", tunnel === null),
      thinkMs: prng.pick([0, 0, 0, 5, 100, 4_000]) * prng.float(),
      tunnel,
    };
  }

  #method(tunnel: AskPlan["tunnel"]): string {
    if (tunnel !== null) return tunnel === "connect" ? "CONNECT" : "GET";
    return this.prng.pick(METHODS);
  }

  #framing(http10: boolean): Framing {
    if (http10) return this.prng.pick(["length", "close"]);
    return this.prng.pick(["length", "length", "length", "chunked", "chunked", "close"]);
  }

  #paddingBytes(): number {
    return Math.floor(Math.min(this.prng.below(30_000), this.#bytesMost / 2));
  }

  #pauseMs(): number {
    return this.scale === "usual" && this.prng.chance(0.2) ? this.prng.below(40) : 0;
  }

  #afterwards(): AskPlan["afterwards"] {
    const { prng, nastiness } = this;
    if (!prng.chance(0.1)) return "keep";
    return nastiness > 0 && prng.chance(0.5) ? "silent close" : "announced close";
  }

  #trouble(speech: Speech, isTunnel: boolean): Trouble | null {
    const { prng } = this;
    const { troubles: chance } = this.#character;
    if (isTunnel || chance === 0 || !prng.chance(chance)) return null;
    const troubles: Trouble[] = ["reset", "close", "reset within", "close within", "hang"];
    if (speech !== "opaque") troubles.push("malformed");
    if (speech === "http2") troubles.push("refuse", "refuse");
    return prng.pick(troubles);
  }

  #garbage(isTunnel: boolean, isChunked: boolean): AskPlan["garbage"] {
    const { prng, nastiness } = this;
    if (nastiness === 0 || isTunnel || !prng.chance(0.02)) return null;
    return isChunked ? "body" : "head";
  }

  #cancelMs(hangs: boolean, may: boolean): number | null {
    const { prng } = this;
    if (hangs) return 200 + prng.below(3_000);
    if (!may || !prng.chance(this.#character.cancels)) return null;
    return prng.pick([1, 20, 300]) * prng.float();
  }
}

function character(prng: Prng, nastiness: Nastiness): Character {
  const canBreak = nastiness >= 2;
  return {
    latencyMs: prng.pick([0, 0.1, 1, 1, 20, 100]),
    capacities: prng.pick(
      [[262_144], [65_536], [200, 4_000, 262_144], [50, 1_000], [16_384]],
    ),
    smallReads: prng.pick([0, 0, 0.1, 0.5, 0.9]),
    readMaxes: prng.pick([[65_536], [65_536, 1_500], [500, 16_384], [200, 524_288]]),
    shortWrites: prng.pick([0, 0, 0.1, 0.5]),
    breaks: canBreak ? prng.pick([0, 0.02, 0.1, 0.3]) : 0,
    attemptsFail: canBreak ? prng.pick([0, 0, 0.05, 0.2]) : 0,
    troubles: canBreak ? prng.pick([0, 0.1, 0.3]) : 0,
    cancels: nastiness < 1 ? 0 : prng.pick([0, 0, 0.1, 0.3]),
    slowReaders: prng.pick([0, 0, 0.2, 0.5]),
  };
}

/** Fast ways, and readers that stop: what then waits, waits in the proxies. */
function bulkCharacter(prng: Prng): Character {
  return {
    latencyMs: prng.pick([0, 0.1, 1]),
    capacities: [65_536],
    smallReads: 0,
    readMaxes: [65_536],
    shortWrites: prng.pick([0, 0.1]),
    breaks: 0,
    attemptsFail: 0,
    troubles: 0,
    cancels: 0,
    slowReaders: 0.7,
  };
}
