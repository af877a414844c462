/**
 * What a ServiceProfile says of the requests to a Service, as values: which of them belong to a route, how
 * long they may take, which responses are failures, and whether those are asked for again.
 */

/** Which requests belong to a route. */
export type RequestMatch =
  | { readonly kind: "all" | "any"; readonly of: readonly RequestMatch[] }
  | { readonly kind: "not"; readonly of: RequestMatch }
  /** The whole path, without the query. */
  | { readonly kind: "path"; readonly pattern: string }
  | { readonly kind: "method"; readonly method: string };

/** Which responses belong to a class. */
export type ResponseMatch =
  | { readonly kind: "all" | "any"; readonly of: readonly ResponseMatch[] }
  | { readonly kind: "not"; readonly of: ResponseMatch }
  | { readonly kind: "status"; readonly from: number; readonly to: number };

/** Responses that are failures, or are not. */
export interface ResponseClass {
  /** Which responses. */
  readonly match: ResponseMatch;
  /** What they are. */
  readonly isFailure: boolean;
}

/** One route; of several that match, the first takes a request. */
export interface ProfileRoute {
  /** For metrics; `route` is its name. */
  readonly labels: Readonly<Record<string, string>>;
  /** Which requests. */
  readonly match: RequestMatch;
  /** Whether failures are asked for again. */
  readonly isRetryable: boolean;
  /** For all tries together; 0: any time. */
  readonly timeoutMs: number;
  /** The first class that matches decides; without one it is as for any other response. */
  readonly classes: readonly ResponseClass[];
}

/** A part of the traffic that goes to another Service. */
export interface ProfileOverride {
  /** `name.ns.svc.domain:port`. */
  readonly authority: string;
  /** Relative to the others; above 0. */
  readonly weight: number;
}

/** Whether a response with this status is of a class. */
export function matchesStatus(match: ResponseMatch, status: number): boolean {
  switch (match.kind) {
    case "all":
      return match.of.every((part) => matchesStatus(part, status));
    case "any":
      return match.of.some((part) => matchesStatus(part, status));
    case "not":
      return !matchesStatus(match.of, status);
    case "status":
      return status >= match.from && status <= match.to;
    default:
      return match satisfies never;
  }
}
