/**
 * The one error class for what may happen on cold paths. A `Fault` has a closed set of codes (those of
 * gRPC, because most of what fails here is answered over it), the side that is to blame, and whether
 * trying again makes sense. Bugs are not faults: they are failed assertions (`assert.ts`).
 */

/** The reasons a cold operation fails; names and meaning are gRPC's. */
export type FaultCode =
  | "invalid_argument"
  | "failed_precondition"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "unauthenticated"
  | "unavailable"
  | "deadline_exceeded"
  | "resource_exhausted"
  | "unimplemented"
  | "internal"
  | "unknown";

/** Where the failure came from, seen from the process that reports it. */
export type FaultSource = "downstream" | "upstream" | "internal";

/** Details of a fault; all have a default. */
export interface FaultOptions {
  /** Default: `internal`. */
  readonly source?: FaultSource;
  /** Default: true for `unavailable` alone. */
  readonly retry?: boolean;
  /** What made it fail. */
  readonly cause?: unknown;
}

/** A failure that a caller is expected to handle. The message is for an operator: verb, object, value. */
export class Fault extends Error {
  /** Why it failed. */
  readonly code: FaultCode;
  /** Whose fault it is. */
  readonly source: FaultSource;
  /** Whether trying again makes sense. */
  readonly retry: boolean;

  /** Makes a fault; the message is for an operator. */
  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Fault";
    this.code = code;
    this.source = options.source ?? "internal";
    this.retry = options.retry ?? code === "unavailable";
  }
}

/** Turns anything that was thrown into text for a log line, causes included. */
export function describeError(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown.cause === undefined) return thrown.message;
  return `${thrown.message}: ${describeError(thrown.cause)}`;
}
