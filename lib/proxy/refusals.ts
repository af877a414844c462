/** Answers in the proxy's own name that need no detail. */

import { type FieldLines, fieldLinesOf } from "../wire/http/mod.ts";
import type { ShedReason } from "./gate.ts";
import type { Refusal } from "./http-parts.ts";
import { errorOfLoss, type TimeoutError } from "./outcome.ts";

/** No endpoint is left to try. */
export const UNREACHABLE: Refusal = {
  status: 502,
  kind: "i/o",
  message: "no endpoint can be reached",
};

/** A deadline of an exchange that is over. */
export interface Timeout extends Refusal {
  readonly error: TimeoutError;
  /** For the label `error` of the attempts that it ends. */
  readonly word: string;
  /** How a call ends whose response has begun. */
  readonly trailers: FieldLines;
}

/** The route's, or that of a call's client, for all of the exchange. */
export const REQUEST_TIMEOUT: Timeout = timeout("REQUEST_TIMEOUT", "the request took too long");

/** For one try's response to begin. */
export const RESPONSE_HEADERS_TIMEOUT: Timeout = timeout(
  "RESPONSE_HEADERS_TIMEOUT",
  "no response in time",
);

/** For the whole response, once the request is complete. */
export const RESPONSE_STREAM_TIMEOUT: Timeout = timeout(
  "RESPONSE_STREAM_TIMEOUT",
  "the response took too long",
);

/** Between two pieces. */
export const IDLE_TIMEOUT: Timeout = timeout("IDLE_TIMEOUT", "nothing came for too long");

/** A balancer has had no endpoint for so long that waiting is in vain. */
export const NO_ENDPOINT: Refusal = {
  status: 503,
  kind: "failfast",
  message: "no endpoint is available",
};

/** TLS is needed and there is no certificate. */
export const NO_CERTIFICATE: Refusal = {
  status: 503,
  kind: "identity required",
  message: "no certificate yet",
};

/** The endpoint is not whom the application demands. */
export function otherIdentity(required: string, found: string | undefined): Refusal {
  const message = `identity "${required}" is required, and the endpoint ` +
    (found === undefined ? "has none" : `is "${found}"`);
  return { status: 502, kind: "identity required", message };
}

/** More is asked than can be answered. */
export const OVERLOADED: Refusal = {
  status: 503,
  kind: "loadshed",
  message: "too many requests are under way",
};

/** The request has waited for its turn, and that was too long. */
const WAITED_TOO_LONG: Refusal = {
  status: 503,
  kind: "failfast",
  message: "waited too long for a turn",
};

/** A head with more fields than are taken. */
export const TOO_LARGE: Refusal = {
  status: 431,
  kind: "bad request",
  message: "header list too large",
};

/** Why a request was not let in. */
export function shedRefusal(reason: ShedReason): Refusal {
  return reason === "loadshed" ? OVERLOADED : WAITED_TOO_LONG;
}

/** An endpoint's connection was lost under a request. */
export function lostRefusal(error: string): Refusal {
  const message = `upstream connection: ${error}`;
  return { status: 502, kind: "i/o", message, error: errorOfLoss(error) };
}

function timeout(error: TimeoutError, message: string): Timeout {
  const word = error.toLowerCase().replaceAll("_", " ");
  const trailers = fieldLinesOf([["grpc-status", "4"], ["grpc-message", message]]);
  return { status: 504, kind: "response timeout", message, error, word, trailers };
}
