// hot
/**
 * The first phase of every accepted connection: bytes are collected until its owner knows what they
 * are. What to look for is the owner's affair; time and memory are bounded here.
 */

import { Deadline } from "../base/wheel.ts";
import type { CloseReason, Conn, ConnHandler, TlsPeer } from "../host/net.ts";
import { Detected } from "../wire/http1/mod.ts";
import type { DetectResult } from "./environment.ts";
import { type PathContext, READ_AHEAD_BYTES } from "./context.ts";
import { Intake } from "./intake.ts";

/** Decides what becomes of the connection. */
export interface OpeningOwner {
  secured(peer: TlsPeer): void;
  /** Bytes came, the peer ended its half, or the time set by `waitUpTo` is over. */
  examine(): void;
  /** The connection closed before it left this phase. */
  lost(reason: CloseReason): void;
}

/** An accepted connection about which little is known. */
export class Opening {
  readonly context: PathContext;
  readonly conn: Conn<unknown>;
  readonly intake: Intake = new Intake();
  readonly #beganAtMs: number;
  /** The peer has sent FIN. */
  ended = false;
  timedOut = false;
  paused = false;
  owner: OpeningOwner;
  readonly #deadline: Deadline<Opening>;

  constructor(context: PathContext, conn: Conn<unknown>, owner: OpeningOwner) {
    this.context = context;
    this.conn = conn;
    this.owner = owner;
    this.#beganAtMs = context.nowMs();
    this.#deadline = new Deadline<Opening>(this, expired);
  }

  /** Has the owner asked again after this time at the latest. */
  waitUpTo(delayMs: number): void {
    this.context.wheel.schedule(this.#deadline, this.context.nowMs() + delayMs);
  }

  /** The first bytes have told the protocol, or that it is none that we know. */
  detected(direction: "inbound" | "outbound", found: Detected): void {
    const result = found === Detected.MORE && this.timedOut ? "read_timeout" : resultOf(found);
    const durationMs = this.context.nowMs() - this.#beganAtMs;
    this.context.env.metrics.detected(direction, result, durationMs);
  }

  /** The owner has decided: no deadline any more. */
  leave(): void {
    this.context.wheel.cancel(this.#deadline);
  }
}

/** The handler of all connections in this phase. */
export const OPENING: ConnHandler<Opening> = {
  open() {},
  secure(conn, peer) {
    conn.data.owner.secured(peer);
  },
  data(conn, chunk) {
    const opening = conn.data;
    opening.intake.push(chunk);
    if (opening.intake.length >= READ_AHEAD_BYTES && !opening.paused) {
      opening.paused = true;
      conn.pause();
    }
    opening.owner.examine();
  },
  drain() {},
  end(conn) {
    conn.data.ended = true;
    conn.data.owner.examine();
  },
  close(conn, reason) {
    conn.data.leave();
    conn.data.owner.lost(reason);
  },
};

function resultOf(found: Detected): DetectResult {
  if (found === Detected.HTTP1) return "http/1";
  return found === Detected.HTTP2 ? "http/2" : "not_http";
}

function expired(opening: Opening): void {
  opening.timedOut = true;
  opening.owner.examine();
}
