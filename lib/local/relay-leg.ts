/**
 * Two connections made one: what comes in on a leg goes out on its peer, with backpressure, and the end
 * of one direction is handed on while the other goes on. Cold: the laptop's ways in and out only.
 *
 *     asking → spliced → closed
 *
 * What happens while asking is the business of `relay-client.ts` and `relay-server.ts`.
 */

import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";

/** One of the two connections; it is the `data` of its connection. */
export class Leg {
  conn: Conn<Leg> | null = null;
  peer: Leg | null = null;
  /** Called when the connection is over. */
  released: (() => void) | null = null;
  /** Bytes for this leg's connection that it has not taken yet. */
  readonly #queue: Uint8Array[] = [];
  /** How much of the queue's first chunk was taken. */
  #taken = 0;
  #endAfterQueue = false;

  /** Writes or queues. False: there is a queue now, so the source should pause. */
  send(chunk: Uint8Array): boolean {
    this.#queue.push(chunk);
    return this.flush();
  }

  /** Ends this leg's outgoing direction once everything queued is written. */
  finish(): void {
    this.#endAfterQueue = true;
    this.flush();
  }

  /** Forgets the connection, which is over. */
  release(): void {
    this.conn = null;
    this.peer = null;
    this.released?.();
    this.released = null;
  }

  /** Writes what is queued; true when nothing is left. */
  flush(): boolean {
    const conn = this.conn;
    if (conn === null) return this.#queue.length === 0;
    for (let chunk = this.#queue[0]; chunk !== undefined; chunk = this.#queue[0]) {
      const taken = conn.write(chunk, this.#taken, chunk.length - this.#taken);
      if (taken < 0) return false;
      this.#taken += taken;
      if (this.#taken < chunk.length) return false;
      this.#queue.shift();
      this.#taken = 0;
    }
    if (this.#endAfterQueue) conn.shutdown();
    return true;
  }
}

/** The events of a leg whose peer is connected. */
export const SPLICED: ConnHandler<Leg> = {
  open() {},
  secure() {},
  data(conn, chunk) {
    const { peer } = conn.data;
    if (peer !== null && !peer.send(chunk)) conn.pause();
  },
  drain(conn) {
    if (conn.data.flush()) conn.data.peer?.conn?.resume();
  },
  end(conn) {
    conn.data.peer?.finish();
  },
  close(conn, reason) {
    closePeer(conn, reason);
  },
};

/** Joins two legs and lets bytes flow. `conn` of both must be set. */
export function splice(first: Leg, second: Leg): void {
  first.peer = second;
  second.peer = first;
  for (const leg of [first, second]) {
    if (leg.conn === null) continue;
    leg.conn.handler = SPLICED;
    leg.conn.resume();
  }
}

/**
 * After a clean end of both directions the peer may still have bytes to write, and closes by itself.
 * Whatever else ended the connection ends the peer too, as visibly.
 */
function closePeer(conn: Conn<Leg>, reason: CloseReason): void {
  const { peer } = conn.data;
  conn.data.release();
  if (peer === null) return;
  peer.peer = null;
  if (reason !== "none") peer.conn?.destroy(true);
}
