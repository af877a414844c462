// hot
/** What became of an exchange, in the contract's words, and who may want to write it down. */

import type { RequestHead } from "../wire/http/mod.ts";
import { ErrorCode } from "../wire/http2/mod.ts";
import type { ErrorKind } from "./environment.ts";
import type { HttpSide, Refusal } from "./http-parts.ts";

/** Why a client did not get a whole response of the application's, in the contract's words. */
export type OutcomeError =
  | ""
  | "FAIL_FAST"
  | "LOAD_SHED"
  | "REQUEST_TIMEOUT"
  | "CANCEL"
  | "REFUSED"
  | "ENHANCE_YOUR_CALM"
  | "RESET"
  | "IO"
  | "UNKNOWN";

/** What became of one exchange; durations in milliseconds. */
export interface Outcome {
  readonly isGrpc: boolean;
  /** What the client was answered, by whomever; 0 without an answer. */
  readonly status: number;
  /** The same; −1 for what is no call. */
  readonly grpcStatus: number;
  readonly error: OutcomeError;
  /** What the proxy answered in its own name; null when it did not. */
  readonly refusal: Refusal | null;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** On the monotonic clock. */
  readonly beganAtMs: number;
  /** Until the response's head, or until the end when none came. */
  readonly headMs: number;
  readonly totalMs: number;
}

/** Writes down single exchanges. */
export interface Recorder {
  /**
   * A request's head is here, and good during this call, in which it may be changed in place. Returns
   * who is to learn of the end; null: nobody.
   */
  begin(side: HttpSide, head: RequestHead): Recording | null;
}

/** Waits for the end of one exchange. */
export interface Recording {
  ended(outcome: Outcome): void;
}

/** What the proxy's own answers count as. */
export function errorOfKind(kind: ErrorKind): OutcomeError {
  switch (kind) {
    case "failfast":
      return "FAIL_FAST";
    case "loadshed":
      return "LOAD_SHED";
    case "response timeout":
      return "REQUEST_TIMEOUT";
    case "i/o":
      return "IO";
    default:
      return "UNKNOWN";
  }
}

/** What a response counts as that was cut off with this code. */
export function errorOfCode(code: number): OutcomeError {
  switch (code) {
    case ErrorCode.INTERNAL_ERROR:
      return "IO";
    case ErrorCode.CANCEL:
      return "CANCEL";
    case ErrorCode.REFUSED_STREAM:
      return "REFUSED";
    case ErrorCode.ENHANCE_YOUR_CALM:
      return "ENHANCE_YOUR_CALM";
    default:
      return "RESET";
  }
}

/** Why an attempt got no whole response, from the word that its endpoint's counters show. */
export function errorOfLoss(error: string): OutcomeError {
  switch (error) {
    case "":
      return "";
    case "canceled":
    case "cancel":
      return "CANCEL";
    case "response timeout":
    case "timeout":
      return "REQUEST_TIMEOUT";
    case "refused stream":
      return "REFUSED";
    case "enhance your calm":
      return "ENHANCE_YOUR_CALM";
    case "connect":
    case "reset":
      return "IO";
    default:
      return "RESET";
  }
}
