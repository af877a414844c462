/** What happens on an HTTP/2 session, as its user sees it. */

import type { FieldLines } from "../http/field-lines.ts";
import type { ResponseHead } from "../http/head.ts";
import type { Http2Session } from "./session.ts";
import type { Http2Stream } from "./stream.ts";

/** What happens on a session; one shared object per kind of user. `O` is the user's at a stream. */
export interface Http2Events<O> {
  /** Server: a request's head, in `stream.request`. `last`: there is no body. */
  request(session: Http2Session<O>, stream: Http2Stream<O>, last: boolean): void;
  /** Client: a head with 1xx; the response is still to come. The head is good during the call. */
  interim(stream: Http2Stream<O>, head: ResponseHead): void;
  /** Client: the response's head, good during the call. */
  response(stream: Http2Stream<O>, head: ResponseHead, last: boolean): void;
  /** Body; the array never changes. `Http2Session.consumed` must follow for these bytes. */
  data(
    stream: Http2Stream<O>,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void;
  /** The end of the body, with these fields, good during the call. */
  trailers(stream: Http2Stream<O>, fields: FieldLines): void;
  /**
   * The stream is closed before both halves ended: by the peer (`byPeer`), or by us for the peer's
   * mistake, or since the connection is going.
   */
  reset(stream: Http2Stream<O>, code: number, byPeer: boolean): void;
  /** What was queued on the stream has been written. */
  unblocked(stream: Http2Stream<O>): void;
  /** The peer takes no more streams; those that it has not seen were reset as refused. */
  goaway(session: Http2Session<O>, code: number): void;
  /** The peer has announced settings. */
  settled(session: Http2Session<O>): void;
  /** The peer has answered a ping. */
  ponged(session: Http2Session<O>): void;
}
