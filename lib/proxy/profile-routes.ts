// hot
/**
 * The routes of a ServiceProfile in use: what one of them says of a request, made once for a target. A
 * request of no route is counted, and is otherwise as without a profile: neither timed nor sent again.
 */

import { describeError } from "../base/fault.ts";
import { RETRIES_MAX } from "../base/limits.ts";
import type { Profile } from "../mesh/policy.ts";
import type { RetryPolicy, RouteTimeouts } from "../mesh/reliability.ts";
import type { ProfileRoute } from "../mesh/service-profile.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Labels } from "../telemetry/metric.ts";
import type { RequestHead } from "../wire/http/mod.ts";
import type { HttpRoute } from "./http-parts.ts";
import { profileRouteLabels } from "./labels.ts";
import { ProfileFigures } from "./profile-figures.ts";
import { type RequestTest, requestTest } from "./request-match.ts";
import { ResponseClasses } from "./response-classes.ts";
import type { RetryBudget } from "./retry-budget.ts";

/** As for what a Service's annotations ask for. */
const RETRY_BACKOFF = { minMs: 25, maxMs: 250, jitter: 1 };
const RETRY_REQUEST_BYTES_MAX = 65_536;

/** What all routes of a target have in common. */
export interface ProfileOptions {
  readonly profile: Profile;
  /** `name.ns.svc.domain:port`. */
  readonly authority: string;
  readonly budget: RetryBudget;
  /** Of requests that no route takes. */
  readonly labels: Labels;
  readonly log: Logger;
}

interface TestedRoute {
  readonly test: RequestTest;
  readonly route: HttpRoute;
}

/** The routes of one target. */
export class ProfileRoutes {
  readonly #routes: readonly TestedRoute[];
  readonly #otherwise: HttpRoute;

  constructor(options: ProfileOptions) {
    const { profile: { routes = [] }, labels, authority, budget } = options;
    this.#routes = routes.flatMap((route) => tested(route, options) ?? []);
    const figures = new ProfileFigures(labels, { direction: "outbound", dst: authority });
    const nothing = { retry: null, hedge: null, latency: null, timeouts: null, classes: null };
    this.#otherwise = { ...nothing, budget, labels, figures };
  }

  /** The first route that takes the request. */
  find(head: RequestHead): HttpRoute {
    const routes = this.#routes;
    for (let i = 0; i < routes.length; i++) {
      const { test, route } = routes[i]!;
      if (test.matches(head)) return route;
    }
    return this.#otherwise;
  }
}

/** Undefined for a route whose pattern cannot be used: another control plane may allow more. */
function tested(route: ProfileRoute, options: ProfileOptions): TestedRoute | undefined {
  const { authority, budget, profile: { source }, log, labels: parent } = options;
  const name = route.labels["route"] ?? "";
  let test: RequestTest;
  try { // cold: once per target
    test = requestTest(route.match);
  } catch (thrown) {
    log.warn("left out a route", { target: authority, route: name, error: describeError(thrown) });
    return undefined;
  }
  const classes = new ResponseClasses(route.classes);
  const labels = profileRouteLabels(parent, name, source);
  const own: Record<string, string> = { direction: "outbound", dst: authority };
  for (const [key, value] of Object.entries(route.labels)) own[`rt_${key}`] = value;
  return {
    test,
    route: {
      retry: route.isRetryable ? retryOf(classes) : null,
      hedge: null,
      latency: null,
      timeouts: timeoutsOf(route.timeoutMs),
      budget,
      labels,
      classes,
      figures: new ProfileFigures(labels, own),
    },
  };
}

/** Failures are asked for again as long as the budget lasts; the bound is only for a budget without end. */
function retryOf(classes: ResponseClasses): RetryPolicy {
  return {
    statuses: classes.failures(),
    grpcStatuses: classes.grpcFailures(),
    retriesMax: RETRIES_MAX,
    requestBytesMax: RETRY_REQUEST_BYTES_MAX,
    tryTimeoutMs: 0,
    backoff: RETRY_BACKOFF,
  };
}

function timeoutsOf(requestMs: number): RouteTimeouts | null {
  return requestMs === 0 ? null : { requestMs, responseMs: 0, idleMs: 0 };
}
