// hot
/** What became of an exchange, in the contract's words, and who may want to write it down. */

import type { RequestHead } from "../wire/http/mod.ts";
import type { HttpSide, Refusal } from "./http-parts.ts";

/** Which deadline is over, in the contract's words. */
export type TimeoutError =
  | "REQUEST_TIMEOUT"
  | "RESPONSE_HEADERS_TIMEOUT"
  | "RESPONSE_STREAM_TIMEOUT"
  | "IDLE_TIMEOUT";

/** Why a client did not get a whole response of the application's, in the contract's words. */
export type OutcomeError =
  | ""
  | "FAIL_FAST"
  | "LOAD_SHED"
  | TimeoutError
  | "CANCEL"
  | "REFUSED"
  | "ENHANCE_YOUR_CALM"
  | "RESET"
  | "GO_AWAY"
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
export function errorOfRefusal({ error, kind }: Refusal): OutcomeError {
  if (error !== undefined) return error;
  switch (kind) {
    case "failfast":
      return "FAIL_FAST";
    case "loadshed":
      return "LOAD_SHED";
    case "i/o":
      return "IO";
    default:
      return "UNKNOWN";
  }
}

/**
 * Why an attempt got no whole response, from the word that its endpoint's counters show: a proxy's own
 * decision, why a connection was closed, or the code of a stream's reset.
 */
export function errorOfLoss(error: string): OutcomeError {
  switch (error) {
    case "":
      return "";
    case "canceled":
    case "cancel":
      return "CANCEL";
    case "request timeout":
      return "REQUEST_TIMEOUT";
    case "response headers timeout":
      return "RESPONSE_HEADERS_TIMEOUT";
    case "response stream timeout":
      return "RESPONSE_STREAM_TIMEOUT";
    case "idle timeout":
      return "IDLE_TIMEOUT";
    case "failfast":
      return "FAIL_FAST";
    case "loadshed":
      return "LOAD_SHED";
    case "refused stream":
      return "REFUSED";
    case "enhance your calm":
      return "ENHANCE_YOUR_CALM";
    case "go away":
    case "protocol":
      return "GO_AWAY";
    case "connect":
    case "unavailable":
    case "refused":
    case "unreachable":
    case "timeout":
    case "reset":
    case "tls":
    case "local":
    case "other":
      return "IO";
    case "identity required":
    case "malformed":
      return "UNKNOWN";
    default:
      return "RESET";
  }
}
