/**
 * What simulated clients ask of simulated servers, and the book in which both write what they saw. A
 * request names its entry (`x-id`), so that a server knows what to do and the end of a run can compare
 * both sides.
 */

import { Violation, type World } from "./world.ts";

/** How the end of a response is told by HTTP/1. */
export type Framing = "length" | "chunked" | "close";

/** What a server does wrong with one request, each time it comes. */
export type Trouble =
  /** Before anything of a response. */
  | "reset"
  | "close"
  | "malformed"
  /** In the middle of the response's body. */
  | "reset within"
  | "close within"
  /** HTTP/2: says that it has not touched the request. */
  | "refuse"
  /** Never answers. */
  | "hang";

/** One request as it is meant. */
export interface AskPlan {
  readonly id: number;
  readonly method: string;
  readonly requestBytes: number;
  /** The request's body has no length; meaningless by HTTP/2 with a body. */
  readonly requestChunked: boolean;
  readonly requestTrailers: boolean;
  readonly expectContinue: boolean;
  /** Pauses between pieces of the request's body. */
  readonly requestPauseMs: number;
  readonly requestPieceBytes: number;
  readonly http10: boolean;
  readonly status: number;
  readonly responseBytes: number;
  readonly framing: Framing;
  readonly responseTrailers: boolean;
  readonly interim: boolean;
  /** The server answers before it has read the request's body. */
  readonly early: boolean;
  readonly delayMs: number;
  readonly responsePauseMs: number;
  readonly responsePieceBytes: number;
  /** What becomes of the server's connection behind the response (HTTP/1). */
  readonly afterwards: "keep" | "announced close" | "silent close";
  readonly trouble: Trouble | null;
  /** The client does not write HTTP: in place of the head, or in the body. */
  readonly garbage: "head" | "body" | null;
  /** Bytes of a field that nobody needs, in both heads. */
  readonly paddingBytes: number;
  /** The server does so the first time only. */
  readonly troubleOnce: boolean;
  /** The call's status, where it is one of gRPC (HTTP/2). */
  readonly grpcStatus: number | null;
  /** How long the call may take, by its own head. */
  readonly deadlineMs: number | null;
  /** The client gives up after this time. */
  readonly cancelMs: number | null;
  /** Before it, the client does something else. */
  readonly thinkMs: number;
  /** It becomes a tunnel (HTTP/1): bytes up and down are the bodies. */
  readonly tunnel: "upgrade" | "connect" | null;
}

/** A request with nothing special about it. */
export const PLAIN_ASK: AskPlan = {
  id: 0,
  method: "GET",
  requestBytes: 0,
  requestChunked: false,
  requestTrailers: false,
  expectContinue: false,
  requestPauseMs: 0,
  requestPieceBytes: 16_384,
  http10: false,
  status: 200,
  responseBytes: 100,
  framing: "length",
  responseTrailers: false,
  interim: false,
  early: false,
  delayMs: 0,
  responsePauseMs: 0,
  responsePieceBytes: 16_384,
  afterwards: "keep",
  trouble: null,
  troubleOnce: false,
  garbage: null,
  paddingBytes: 0,
  grpcStatus: null,
  deadlineMs: null,
  cancelMs: null,
  thinkMs: 0,
  tunnel: null,
};

/** How a request ended for its client. */
export type Outcome =
  | "answered"
  /** By a proxy, in its own name. */
  | "refused"
  /** The connection or stream ended before the response was complete. */
  | "lost"
  /** The client itself gave up. */
  | "cancelled";

/** One arrival of a request at a server. */
export interface Attempt {
  readonly number: number;
  readonly server: string;
  readonly atMs: number;
  /** All of the request has come. */
  whole: boolean;
  /** The server has said that it did not touch it. */
  refused: boolean;
  /** When the server had written all of the response; Infinity: not yet. */
  completeAtMs: number;
  /** The server has ended its half behind so many bytes; −1: not yet; NaN: it was stopped. */
  finAt: number;
}

/** The tag of the request's body. */
export function requestTag(id: number): number {
  return id * 64 + 1;
}

/** The tag of a response's body: another attempt's body is another body. */
export function responseTag(id: number, attempt: number): number {
  return id * 64 + 2 + attempt;
}

const SAFE_TO_REPEAT = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]);

/** One request and what became of it. */
export class Ask {
  readonly plan: AskPlan;
  readonly attempts: Attempt[] = [];
  outcome: Outcome | null = null;
  beganAtMs = -1;
  endedAtMs = -1;
  status = 0;
  why = "";
  client = "";
  /** Times that its route has it sent again, and whether the route limits its time. */
  retriesMax = 0;
  timeoutMs = Infinity;
  /** What its route, or the call itself, gives it in all. */
  deadlineMs = Infinity;
  /** The identity that the server must see; null: none. */
  expectedId: string | null = null;
  /** The request before it on the same connection, which may have taken the connection with it. */
  behind: Ask | null = null;
  /** The client has gone, perhaps before it had sent all. */
  isLeft = false;
  /** When the client had sent all of it; Infinity: not yet. */
  sentAtMs = Infinity;
  /** The response said that the connection ends. */
  saidClose = false;

  constructor(plan: AskPlan) {
    this.plan = plan;
  }

  get isIdempotent(): boolean {
    return SAFE_TO_REPEAT.has(this.plan.method) && this.plan.tunnel === null;
  }
}

/** All requests of a run. */
export class Ledger {
  readonly world: World;
  readonly asks = new Map<number, Ask>();
  /** Those without an outcome. */
  pending = 0;

  constructor(world: World) {
    this.world = world;
  }

  add(plan: AskPlan): Ask {
    const ask = new Ask(plan);
    this.asks.set(plan.id, ask);
    this.pending++;
    return ask;
  }

  /** A client sends it. */
  began(ask: Ask, client: string): void {
    ask.beganAtMs = this.world.nowMs;
    ask.client = client;
    this.world.note(() => `${client} asks ${describe(ask)}`);
  }

  /** A client knows what became of it. */
  ended(ask: Ask, outcome: Outcome, why: string): void {
    if (ask.outcome !== null) {
      throw new Violation(`request ${ask.plan.id} is ${outcome} (${why}) after ${ask.outcome}`);
    }
    ask.outcome = outcome;
    ask.why = why;
    ask.endedAtMs = this.world.nowMs;
    this.pending--;
    this.world.note(() => `${ask.client}: request ${ask.plan.id} ${outcome}: ${why}`);
  }

  /** A server sees its head. */
  seen(id: string | undefined, server: string): { ask: Ask; attempt: Attempt } {
    const ask = this.asks.get(Number(id));
    if (ask === undefined) throw new Violation(`${server} got a request with id ${id}`);
    const number = ask.attempts.length;
    const attempt = {
      number,
      server,
      atMs: this.world.nowMs,
      whole: false,
      refused: false,
      completeAtMs: Infinity,
      finAt: -1,
    };
    ask.attempts.push(attempt);
    this.world.note(() => `${server} sees request ${id}, attempt ${number}`);
    return { ask, attempt };
  }
}

/** What a server does wrong with this attempt. */
export function troubleOf({ plan }: Ask, attempt: Attempt): Trouble | null {
  return plan.troubleOnce && attempt.number > 0 ? null : plan.trouble;
}

/** The field that makes a head large. */
export function paddingOf({ id, paddingBytes }: AskPlan): string {
  return `${id}-`.repeat(Math.ceil(paddingBytes / 3)).slice(0, paddingBytes);
}

/** A request for people. */
export function describe({ plan }: Ask): string {
  const parts = [`${plan.id}: ${plan.method} ${plan.requestBytes} → ${plan.status}`];
  parts.push(`${plan.responseBytes} ${plan.framing}`);
  if (plan.requestChunked) parts.push("chunked request");
  if (plan.http10) parts.push("HTTP/1.0");
  if (plan.expectContinue) parts.push("expects 100");
  if (plan.early) parts.push("answered early");
  if (plan.afterwards !== "keep") parts.push(plan.afterwards);
  if (plan.garbage !== null) parts.push(`garbage as ${plan.garbage}`);
  if (plan.paddingBytes > 0) parts.push(`${plan.paddingBytes} bytes in heads`);
  if (plan.grpcStatus !== null) parts.push(`gRPC ${plan.grpcStatus}`);
  if (plan.deadlineMs !== null) parts.push(`within ${plan.deadlineMs} ms`);
  if (plan.trouble !== null) {
    parts.push(`server: ${plan.trouble}${plan.troubleOnce ? " once" : ""}`);
  }
  if (plan.cancelMs !== null) parts.push(`given up after ${plan.cancelMs} ms`);
  if (plan.tunnel !== null) parts.push(`tunnel by ${plan.tunnel}`);
  return parts.join(", ");
}
