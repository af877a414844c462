/** Answers in the proxy's own name that need no detail. */

import { type FieldLines, fieldLinesOf } from "../wire/http/mod.ts";
import type { ShedReason } from "./gate.ts";
import type { Refusal } from "./http-parts.ts";

/** No endpoint is left to try. */
export const UNREACHABLE: Refusal = {
  status: 502,
  kind: "i/o",
  message: "no endpoint can be reached",
};

/** A timeout of the route's is over. */
export const TIMED_OUT: Refusal = {
  status: 504,
  kind: "response timeout",
  message: "no response in time",
};

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

/** How a call ends whose response has begun when its time is over. */
export const DEADLINE_EXCEEDED: FieldLines = fieldLinesOf([
  ["grpc-status", "4"],
  ["grpc-message", TIMED_OUT.message],
]);

/** Why a request was not let in. */
export function shedRefusal(reason: ShedReason): Refusal {
  return reason === "loadshed" ? OVERLOADED : WAITED_TOO_LONG;
}

/** An endpoint's connection was lost under a request. */
export function lostRefusal(error: string): Refusal {
  return { status: 502, kind: "i/o", message: `upstream connection: ${error}` };
}
