// hot
/**
 * What came of a request's body and may have to be sent: because there is no connection yet, or once
 * more, because a connection was lost. Keeps chunks as they came; what has been sent up to a bound, beyond
 * which the request cannot be sent again.
 */

import { REPLAY_BYTES_MAX } from "../base/limits.ts";
import type { FieldLines } from "../wire/http/mod.ts";
import type { Upstream } from "./http-parts.ts";

/** No bytes. */
export const NOTHING = new Uint8Array(0);

/** A part of the body behind the first one; most bodies have no other. */
interface Part {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The beginning of one request's body. */
export class RequestBody {
  /** Bytes kept. */
  length = 0;
  /** All of the body has come. */
  complete = false;
  /** What is kept is all that came. */
  whole = true;
  /** What has not come when the response is complete, nobody is going to read. */
  unread = false;
  trailers: FieldLines | null = null;
  // The first part.
  #bytes: Uint8Array = NOTHING;
  #start = 0;
  #end = 0;
  #others: Part[] | null = null;

  /** Keeps a part. */
  keep(bytes: Uint8Array, start: number, end: number): void {
    if (!this.whole || start === end) return;
    if (this.length === 0) {
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
    } else (this.#others ??= []).push({ bytes, start, end });
    this.length += end - start;
  }

  /** What is kept has been sent: keeps it only as long as it is little. */
  bound(): void {
    if (this.length > REPLAY_BYTES_MAX) this.drop();
  }

  /** Sends what is kept, behind a head that has been sent without `last`. */
  sendTo(upstream: Upstream): void {
    const { trailers } = this;
    const others = this.#others;
    const last = this.complete && trailers === null;
    if (this.length > 0 || last) {
      upstream.data(this.#bytes, this.#start, this.#end, last && others === null);
    }
    if (others !== null) {
      for (let i = 0; i < others.length; i++) {
        const { bytes, start, end } = others[i]!;
        upstream.data(bytes, start, end, last && i === others.length - 1);
      }
    }
    if (trailers !== null) upstream.trailers(trailers);
  }

  /** It will not be sent again. */
  drop(): void {
    this.whole = false;
    this.length = 0;
    this.#bytes = NOTHING;
    this.#start = 0;
    this.#end = 0;
    this.#others = null;
  }
}
