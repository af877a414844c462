/** What the HTTP relay asks of the direction that it serves: admission, a connection, and accounts. */

import type { CloseReason } from "../host/net.ts";
import type { ErrorKind } from "./environment.ts";
import type { Downstream } from "./downstream.ts";

/** A request that is answered by the proxy itself. */
export interface Refusal {
  readonly status: number;
  /** For the header `l5d-proxy-error` and the counter. */
  readonly kind: ErrorKind;
  readonly message: string;
  /** The application behind this proxy cannot be reached, and the request has not been sent. */
  readonly unsent?: boolean;
}

/** One direction's part in the requests of one client connection, one request at a time. */
export interface HttpSide {
  readonly direction: "inbound" | "outbound";
  /** Header lines that forwarded requests get, each with its CRLF. */
  readonly requestLines: Uint8Array;
  /** Whether the client may read what exactly went wrong. */
  readonly explains: boolean;
  /** Looks at the request's head; null when it may go on. */
  admit(request: Downstream): Refusal | null;
  /** Calls `request.assign` or `request.refuse`, now or later. `fresh`: on a new connection. */
  dispatch(request: Downstream, fresh: boolean): void;
  /** The connection could not be made. null: dispatch again, else what to answer. */
  unreachable(reason: CloseReason): Refusal | null;
  /** The peer's proxy cannot reach its application; false when there is nowhere else to go. */
  avoid(): boolean;
  /** The response's head is here. */
  answered(nowMs: number): void;
  /** The try is over, answered or not; called after each `dispatch` that led to `assign`, or when the
   * client has gone before. */
  settled(): void;
  /** The client's connection is over; called once and last. */
  closed(): void;
}
