// hot
/** The outbound side of HTTP: an endpoint for each request, by measured latency. */

import type { CloseReason } from "../host/net.ts";
import type { FieldLines, ResponseHead } from "../wire/http/mod.ts";
import type { Attempt } from "./attempt.ts";
import { pickBackend } from "./backend.ts";
import type { EndpointState } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { OutboundTarget } from "./environment.ts";
import { unreachableStatus } from "./http-error.ts";
import type { HttpRoute, HttpSide, Refusal } from "./http-parts.ts";
import { OutboundEndpoint } from "./outbound-endpoint.ts";
import { NO_ENDPOINT } from "./refusals.ts";
import { retryAfterMs } from "./retry-after.ts";

const TOO_MANY_REQUESTS = 429;
const UNAVAILABLE = 503;

/** The requests of one client connection to one target. */
export class OutboundHttp implements HttpSide {
  readonly direction = "outbound";
  readonly fromMesh = false;
  readonly explains = true;
  readonly added: FieldLines | null;
  readonly #context: PathContext;
  readonly #target: OutboundTarget;

  constructor(context: PathContext, target: OutboundTarget) {
    this.#context = context;
    this.#target = target;
    this.added = target.added;
  }

  /** Asked for each request: the policy may change. */
  get route(): HttpRoute | null {
    const target = this.#target;
    const { retry, timeouts } = target.policy.http;
    if (retry === undefined && timeouts === undefined) return null;
    return {
      retry: retry ?? null,
      timeouts: timeouts ?? null,
      budget: target.budget,
      labels: target.routeLabels,
    };
  }

  admit(): Refusal | null {
    const { action } = this.#target.policy.http;
    if (action.kind === "backends") return null;
    this.#context.env.metrics.failed("outbound", "http", "invalid policy");
    return { status: action.status, kind: "invalid policy", message: action.message };
  }

  dispatch(attempt: Attempt): void {
    attempt.balancer = pickBackend(this.#target.httpBackends, this.#context.env.random);
    if (attempt.balancer === null) this.picked(attempt, null);
    else attempt.balancer.wait(attempt);
  }

  picked(attempt: Attempt, state: EndpointState | null): void {
    if (state === null) {
      this.#context.env.metrics.failed("outbound", "http", "failfast");
      attempt.exchange.refuse(NO_ENDPOINT);
      return;
    }
    attempt.endpoint = state;
    state.began();
    const endpoint = this.#endpointOf(state);
    const { authority } = this.#target;
    attempt.assign(endpoint.poolFor(attempt.head), endpoint.metrics(authority));
  }

  unreachable(attempt: Attempt, reason: CloseReason): Refusal | null {
    const state = attempt.endpoint;
    this.#context.env.metrics.failed("outbound", "http", "i/o");
    if (state !== null) {
      state.failed(this.#context.nowMs());
      const { address } = state.endpoint;
      this.#context.env.log.debug("cannot connect to an endpoint", { address, reason });
    }
    if (hasOther(attempt)) return null;
    const message = `cannot connect to the endpoint: ${reason}`;
    return { status: unreachableStatus(reason), kind: "i/o", message };
  }

  avoid(attempt: Attempt): boolean {
    attempt.endpoint?.failed(this.#context.nowMs());
    return hasOther(attempt);
  }

  answered(attempt: Attempt, head: ResponseHead): void {
    const now = this.#context.nowMs();
    const { endpoint } = attempt;
    endpoint?.measured(now - attempt.queuedAtMs, now);
    if (head.status !== TOO_MANY_REQUESTS && head.status !== UNAVAILABLE) return;
    const delayMs = retryAfterMs(head);
    if (delayMs > 0) endpoint?.askedToWait(delayMs, now);
  }

  judged(attempt: Attempt, isGood: boolean): void {
    attempt.endpoint?.judged(isGood, this.#context.nowMs());
  }

  settled(attempt: Attempt): void {
    attempt.balancer?.cancel(attempt);
    attempt.endpoint?.ended();
  }

  tunneled(): void {}

  closed(): void {
    this.#context.env.targets.release(this.#target);
  }

  #endpointOf(state: EndpointState): OutboundEndpoint {
    const known = state.resource;
    if (known instanceof OutboundEndpoint) return known;
    const made = new OutboundEndpoint(this.#context, state, this.#target.authority);
    if (!state.removed) state.resource = made;
    return made;
  }
}

/**
 * Whether there is somewhere else to go. An endpoint that was withdrawn is none of those that are left;
 * where it was the last, the next one that comes is waited for.
 */
function hasOther({ balancer, endpoint }: Attempt): boolean {
  if (balancer === null) return false;
  if (endpoint?.removed === true) return balancer.size === 0 || balancer.ready > 0;
  return balancer.size > 1 && balancer.ready > 0;
}
