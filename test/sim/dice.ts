/** What is drawn for a scenario: requests, sizes, links, habits. */

import type { Prng } from "../../lib/base/prng.ts";
import type { AskPlan, Framing, Trouble } from "./ask.ts";
import type { Link } from "./conn.ts";
import type { ReadingPlan } from "./reading.ts";
import type { Weather } from "./world.ts";

/**
 * How nasty a run is: 0, only timing and sizes; 1, whatever well-behaved programs may do at bad moments;
 * 2, things break; 3, and the mesh itself changes.
 */
export type Nastiness = 0 | 1 | 2 | 3;

/** What a service speaks. */
export type Speech = "http1" | "http2" | "opaque";

const BYTE_BUDGET = 400_000;

/** Draws everything of one scenario. */
export class Dice {
  readonly prng: Prng;
  readonly nastiness: Nastiness;
  /** Bytes that bodies of this scenario may still have. */
  #budget = BYTE_BUDGET;
  #ids = 0;
  /** Drawn once: the scenario's character. */
  readonly #latencyMs: number;
  readonly #capacities: readonly number[];
  readonly #bytesMost: number;
  readonly #smallReads: number;
  readonly #readMaxes: readonly number[];
  readonly #shortWrites: number;
  readonly #breaks: number;
  readonly #attemptsFail: number;
  readonly #troubles: number;
  readonly #cancels: number;
  readonly #slowReaders: number;

  constructor(prng: Prng, nastiness: Nastiness) {
    this.prng = prng;
    this.nastiness = nastiness;
    this.#latencyMs = prng.pick([0, 0.1, 1, 1, 20, 100]);
    this.#capacities = prng.pick([[262_144], [65_536], [200, 4_000, 262_144], [50, 1_000], [
      16_384,
    ]]);
    // Long ways with little room take for ever.
    const roundTrips = 10_000 / Math.max(10, 4 * this.#latencyMs);
    this.#bytesMost = Math.min(...this.#capacities) * roundTrips;
    this.#smallReads = prng.pick([0, 0, 0.1, 0.5, 0.9]);
    this.#readMaxes = prng.pick([[65_536], [65_536, 1_500], [500, 16_384], [200, 524_288]]);
    this.#shortWrites = prng.pick([0, 0, 0.1, 0.5]);
    this.#breaks = nastiness < 2 ? 0 : prng.pick([0, 0.02, 0.1, 0.3]);
    this.#attemptsFail = nastiness < 2 ? 0 : prng.pick([0, 0, 0.05, 0.2]);
    this.#troubles = nastiness < 2 ? 0 : prng.pick([0, 0.1, 0.3]);
    this.#cancels = nastiness < 1 ? 0 : prng.pick([0, 0, 0.1, 0.3]);
    this.#slowReaders = prng.pick([0, 0, 0.2, 0.5]);
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
    const latencyMs = isInside ? 0 : this.#latencyMs;
    const breaks = !isInside && this.#breaks > 0 && prng.chance(this.#breaks);
    const isSilent = breaks && prng.chance(0.15);
    const at = breaks ? Math.floor(10 ** (prng.float() * 5)) : Infinity;
    return {
      latencyMs: latencyMs * (0.5 + prng.float()),
      jitterMs: prng.chance(0.3) ? latencyMs * 3 * prng.float() : 0.01,
      capacity: prng.pick(this.#capacities),
      smallReads: this.#smallReads,
      readMax: prng.pick(this.#readMaxes),
      shortWrites: this.#shortWrites,
      resetAtByte: isSilent ? Infinity : at,
      silentAtByte: isSilent ? at : Infinity,
    };
  }

  attempt(prng: Prng): "refused" | "unreachable" | "lost" | null {
    if (this.#attemptsFail === 0 || !prng.chance(this.#attemptsFail)) return null;
    return prng.pick(["refused", "refused", "unreachable", "lost"]);
  }

  reading(): ReadingPlan {
    const { prng } = this;
    if (!prng.chance(this.#slowReaders)) {
      return { pauses: 0, pauseMs: 0, stopAtByte: Infinity, stopMs: 0 };
    }
    return {
      pauses: prng.pick([0, 0.02, 0.2]),
      pauseMs: prng.pick([1, 50]),
      stopAtByte: prng.chance(0.5) ? prng.below(30_000) + 1 : Infinity,
      stopMs: prng.pick([10, 500, 5_000]),
    };
  }

  /** A body's length; what all bodies together have is bounded. */
  bytes(): number {
    const { prng } = this;
    const kind = prng.float();
    let most = 200;
    if (kind < 0.15) return 0;
    else if (kind > 0.98) most = 300_000;
    else if (kind > 0.9) most = 70_000;
    else if (kind > 0.6) most = 5_000;
    const bytes = Math.min(1 + prng.below(most), this.#bytesMost);
    if (bytes > this.#budget) return prng.below(100);
    this.#budget -= bytes;
    return bytes;
  }

  /** A window that a program announces; null: the usual one. */
  window(): number | null {
    const small = this.#latencyMs < 1 ? [65_535, 1_000, 20] : [65_535, 4_000];
    return this.prng.pick([null, null, ...small]);
  }

  ask(speech: Speech): AskPlan {
    const { prng, nastiness } = this;
    const isHttp1 = speech === "http1";
    const isOpaque = speech === "opaque";
    const tunnel = isHttp1 && prng.chance(0.03) ? prng.pick(["upgrade", "connect"] as const) : null;
    const method = tunnel === "connect" ? "CONNECT" : tunnel !== null ? "GET" : this.#method();
    const hasBody = isOpaque || tunnel !== null || method === "POST" || method === "PUT";
    const requestBytes = hasBody ? this.bytes() : 0;
    const http10 = isHttp1 && tunnel === null && prng.chance(0.06);
    const requestChunked = hasBody && tunnel === null && !http10 && prng.chance(0.3);
    const framing = this.#framing(http10);
    const trouble = this.#trouble(speech, tunnel !== null);
    const mayHurry = !isOpaque || nastiness > 0;
    return {
      id: ++this.#ids,
      method,
      requestBytes,
      requestChunked,
      requestTrailers: requestChunked && prng.chance(0.2),
      expectContinue: isHttp1 && !http10 && requestBytes > 0 && prng.chance(0.08),
      requestPauseMs: prng.chance(0.2) ? prng.below(40) : 0,
      requestPieceBytes: prng.pick([100, 3_000, 16_384, 60_000]) + (requestBytes >> 5),
      http10,
      status: tunnel !== null ? 200 : prng.pick([200, 200, 200, 200, 204, 304, 404, 500]),
      responseBytes: this.bytes(),
      framing,
      responseTrailers: !isOpaque && !http10 && framing === "chunked" && prng.chance(0.2),
      interim: tunnel === null && !isOpaque && !http10 && prng.chance(0.08),
      early: tunnel === null && prng.chance(isOpaque ? 0.5 : 0.15),
      delayMs: prng.pick([0, 0, 1, 10, 300]) * prng.float(),
      responsePauseMs: prng.chance(0.2) ? prng.below(40) : 0,
      responsePieceBytes: prng.pick([80, 4_000, 16_384, 60_000]) + (requestBytes >> 5),
      afterwards: tunnel === null ? this.#afterwards() : "keep",
      trouble,
      cancelMs: this.#cancelMs(trouble === "hang", mayHurry && tunnel === null),
      thinkMs: prng.pick([0, 0, 0, 5, 100, 4_000]) * prng.float(),
      tunnel,
    };
  }

  #method(): string {
    return this.prng.pick([
      "GET",
      "GET",
      "GET",
      "GET",
      "POST",
      "POST",
      "POST",
      "PUT",
      "HEAD",
      "DELETE",
    ]);
  }

  #framing(http10: boolean): Framing {
    if (http10) return this.prng.pick(["length", "close"]);
    return this.prng.pick(["length", "length", "length", "chunked", "chunked", "close"]);
  }

  #afterwards(): AskPlan["afterwards"] {
    const { prng, nastiness } = this;
    if (!prng.chance(0.1)) return "keep";
    return nastiness > 0 && prng.chance(0.5) ? "silent close" : "announced close";
  }

  #trouble(speech: Speech, isTunnel: boolean): Trouble | null {
    const { prng } = this;
    if (isTunnel || this.#troubles === 0 || !prng.chance(this.#troubles)) return null;
    const troubles: Trouble[] = ["reset", "close", "reset within", "close within", "hang"];
    if (speech !== "opaque") troubles.push("malformed");
    if (speech === "http2") troubles.push("refuse", "refuse");
    return prng.pick(troubles);
  }

  #cancelMs(hangs: boolean, may: boolean): number | null {
    const { prng } = this;
    if (hangs) return 200 + prng.below(3_000);
    if (!may || !prng.chance(this.#cancels)) return null;
    return prng.pick([1, 20, 300]) * prng.float();
  }
}
