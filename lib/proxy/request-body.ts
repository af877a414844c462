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

/** A part of the body. */
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
  #parts: Part[] | null = null;

  /** Keeps a part. */
  keep(bytes: Uint8Array, start: number, end: number): void {
    if (!this.whole || start === end) return;
    this.length += end - start;
    this.#parts ??= [];
    this.#parts.push({ bytes, start, end });
  }

  /** What is kept has been sent: keeps it only as long as it is little. */
  bound(): void {
    if (this.length > REPLAY_BYTES_MAX) this.drop();
  }

  /** Sends what is kept, behind a head that has been sent without `last`. */
  sendTo(upstream: Upstream): void {
    const parts = this.#parts;
    const { trailers } = this;
    const last = this.complete && trailers === null;
    if (parts !== null) {
      for (let i = 0; i < parts.length; i++) {
        const { bytes, start, end } = parts[i]!;
        upstream.data(bytes, start, end, last && i === parts.length - 1);
      }
    } else if (last) upstream.data(NOTHING, 0, 0, true);
    if (trailers !== null) upstream.trailers(trailers);
  }

  /** It will not be sent again. */
  drop(): void {
    this.whole = false;
    this.length = 0;
    this.#parts = null;
  }
}
