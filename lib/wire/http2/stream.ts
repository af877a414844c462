// hot
/**
 * One stream: which halves have ended, its windows, and what waits to be sent.
 *
 *     open ──we end──▶ local ended ──peer ends──▶ closed        (and the other way round)
 *       └──────────── reset by either side ─────────▲
 */

import { BytesQueue } from "../../base/bytes-queue.ts";
import type { FieldLines } from "../http/field-lines.ts";
import type { RequestHead } from "../http/head.ts";

/** A stream of a session; `O` is what its user keeps at it. */
export class Http2Stream<O> {
  readonly id: number;
  /** The user's; null until there is one, and after the stream has closed. */
  owner: O | null = null;
  /** The request's head, on a server's session. */
  readonly request: RequestHead | null;
  /** We will send nothing but what is queued. */
  localEnded = false;
  /** The peer has sent END_STREAM. */
  remoteEnded = false;
  /** Our END_STREAM has been written. */
  finished = false;
  closed = false;
  /** No body follows the response, whatever its length says: the request was HEAD. */
  bodiless = false;
  /** The request's head, or the final response's, has come: what follows are body and trailers. */
  headed = false;
  /** Bytes that the peer takes; negative after it has made its windows smaller. */
  sendWindow: number;
  /** Bytes that we still take. */
  receiveWindow: number;
  /** Bytes that came and that the user has not consumed. */
  held = 0;
  /** Bytes consumed that the peer does not know of yet. */
  unacknowledged = 0;
  /** Bytes that Content-Length says are still to come; −1 without one. */
  expected = -1;
  /** Body bytes that the peer's windows, or those before them, do not admit yet. */
  readonly queue: BytesQueue = new BytesQueue();
  /** To be sent behind the queue. */
  trailers: FieldLines | null = null;
  /** It stands in the session's list of those that have something to send. */
  listed = false;

  constructor(id: number, request: RequestHead | null, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.request = request;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  /** Something waits to be sent: whoever feeds the stream should wait too. */
  get blocked(): boolean {
    return this.queue.length > 0;
  }
}
