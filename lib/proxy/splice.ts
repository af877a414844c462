// hot
/**
 * Two connections joined: what one brings, the other gets, until both halves have ended. A side that
 * ends is half-closed at the other; a side that breaks breaks the other. The slower side sets the
 * pace: whose bytes are not taken is paused.
 *
 *     joined ──end of a──▶ half (b got FIN) ──end of b──▶ closed
 *        └──────── reset, error, abort: both destroyed ──────▶ closed
 */

import { releaseBytes } from "../base/bytes.ts";
import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import { enterPhase } from "./context.ts";
import { errnoOf } from "./errno.ts";
import type { Intake } from "./intake.ts";
import type { Outlet } from "./outlet.ts";

/** Is told once when both connections are closed. `clean`: both ended by themselves. */
export interface SpliceOwner {
  spliceClosed(clean: boolean): void;
}

/** One of the two connections, at the moment of joining. */
export interface SpliceEnd {
  readonly out: Outlet;
  /** Bytes that came from this connection and that the other has not got. */
  readonly intake: Intake;
  /** The connection's peer has sent FIN. */
  readonly ended: boolean;
  /** The phase before has paused the connection. */
  readonly paused: boolean;
}

/** One direction's source and the other's target. */
class Side {
  readonly splice: Splice;
  readonly out: Outlet;
  readonly conn: Conn<unknown>;
  ended: boolean;
  closed = false;
  paused = false;
  /** The chunk whose end waits for the other side. */
  lent: Uint8Array | null = null;
  /** Set right after construction: the two point at each other. */
  peer: Side = this;

  constructor(splice: Splice, end: SpliceEnd) {
    this.splice = splice;
    this.out = end.out;
    this.conn = end.out.conn;
    this.ended = end.ended;
  }
}

/** Joins two connections. */
export class Splice {
  readonly #owner: SpliceOwner;
  readonly #source: Side;
  readonly #target: Side;
  clean = true;
  #over = false;

  constructor(owner: SpliceOwner, source: SpliceEnd, target: SpliceEnd) {
    this.#owner = owner;
    this.#source = new Side(this, source);
    this.#target = new Side(this, target);
    this.#source.peer = this.#target;
    this.#target.peer = this.#source;
    enterPhase(this.#source.conn, HANDLER, this.#source);
    enterPhase(this.#target.conn, HANDLER, this.#target);
    begin(this.#source, source);
    begin(this.#target, target);
  }

  /** Breaks both connections. */
  abort(): void {
    this.clean = false;
    this.#source.conn.destroy(true);
    this.#target.conn.destroy(true);
  }

  /** One side has closed; the second time, everything is over. */
  sideClosed(): void {
    if (this.#over || !this.#source.closed || !this.#target.closed) return;
    // One side's end may close the other within its own call: both then come here.
    this.#over = true;
    this.#owner.spliceClosed(this.clean);
  }
}

/** The handler of both connections of all splices. */
const HANDLER: ConnHandler<Side> = {
  open() {},
  secure() {},
  data(conn, chunk) {
    const side = conn.data;
    side.out.metrics.read(chunk.length);
    forward(side, chunk, 0, chunk.length);
    if (side.peer.out.blocked) side.lent = chunk;
    else releaseBytes(chunk);
  },
  drain(conn) {
    const side = conn.data;
    side.out.flush();
    const peer = side.peer;
    if (side.out.blocked) return;
    if (peer.lent !== null) releaseBytes(peer.lent);
    peer.lent = null;
    if (!peer.paused) return;
    peer.paused = false;
    peer.conn.resume();
  },
  end(conn) {
    conn.data.ended = true;
    if (!conn.data.peer.closed) conn.data.peer.out.finish();
  },
  close(conn, reason) {
    const side = conn.data;
    side.closed = true;
    side.out.metrics.closed(errnoOf(reason));
    if (!side.peer.closed) closeOther(side, reason);
    side.splice.sideClosed();
  },
};

/** Whoever closed cleanly has got and given everything; what is held for the other still goes out. */
function closeOther(side: Side, reason: CloseReason): void {
  if (reason === "none") side.peer.out.finish();
  else {
    side.splice.clean = false;
    side.peer.conn.destroy(true);
  }
}

function begin(side: Side, from: SpliceEnd): void {
  const intake = from.intake;
  if (intake.length > 0) forward(side, intake.bytes, intake.start, intake.end);
  intake.clear();
  if (side.ended) side.peer.out.finish();
  else if (from.paused && !side.paused) side.conn.resume();
}

function forward(side: Side, bytes: Uint8Array, start: number, end: number): void {
  const out = side.peer.out;
  if (side.peer.closed || out.finishing) return;
  out.write(bytes, start, end, true);
  if (!out.blocked || side.paused) return;
  side.paused = true;
  side.conn.pause();
}
