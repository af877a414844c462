// hot
/** The outbound side of HTTP: an endpoint for each request, by measured latency. */

import type { CloseReason } from "../host/net.ts";
import type { ClientPolicy } from "../mesh/policy.ts";
import type { Labels } from "../telemetry/metric.ts";
import {
  type FieldLines,
  MeshFields,
  type RequestHead,
  type ResponseHead,
} from "../wire/http/mod.ts";
import type { Attempt } from "./attempt.ts";
import { backendInstead, pickBackend } from "./backend.ts";
import type { EndpointState } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { OutboundTarget, RouteFigures } from "./environment.ts";
import type { Exchange } from "./exchange.ts";
import { grpcStatusOf } from "./grpc.ts";
import { unreachableStatus } from "./http-error.ts";
import type { HttpRoute, HttpSide, Refusal, SideFacts } from "./http-parts.ts";
import { hostless } from "./labels.ts";
import { requiredIdentity } from "./mesh-headers.ts";
import { OutboundEndpoint } from "./outbound-endpoint.ts";
import { NO_ENDPOINT, otherIdentity, OVERLOADED } from "./refusals.ts";
import { RouteFiguresOf } from "./route-figures.ts";
import { retryAfterMs } from "./retry-after.ts";
import type { RetryBudget } from "./retry-budget.ts";

const TOO_MANY_REQUESTS = 429;
const UNAVAILABLE = 503;
const GRPC_RESOURCE_EXHAUSTED = 8;

/** The requests of one client connection to one target. */
export class OutboundHttp implements HttpSide {
  readonly direction = "outbound";
  readonly fromMesh = false;
  readonly explains: boolean;
  readonly caller = "";
  added: FieldLines | null;
  readonly #context: PathContext;
  #target: OutboundTarget;
  readonly #figures: RouteFiguresOf<Labels>;
  /** The policy and the budget that `#route` is of. */
  #policy: ClientPolicy | null = null;
  #budget: RetryBudget | null = null;
  #route: HttpRoute | null = null;

  constructor(context: PathContext, target: OutboundTarget) {
    this.#context = context;
    this.#target = target;
    const { metrics } = context.env;
    const kinds = ["outbound_http_route", "outbound_grpc_route"] as const;
    this.#figures = new RouteFiguresOf(metrics, ...kinds, hostless);
    this.added = target.added;
    this.explains = context.env.settings.explains.outbound;
  }

  sideOf(_head: RequestHead): HttpSide {
    return this;
  }

  begin(exchange: Exchange): void {
    exchange.begin();
  }

  /** Requests go elsewhere from now on; the target before is not released. */
  protected leadTo(target: OutboundTarget): void {
    this.#target = target;
    this.added = target.added;
    this.#policy = null;
  }

  /** Asked for each request: policy and profile may change. */
  routeOf(head: RequestHead): HttpRoute | null {
    const { policy, budget, profileRoutes } = this.#target;
    if (profileRoutes !== null) return profileRoutes.find(head);
    if (policy !== this.#policy || budget !== this.#budget) {
      this.#policy = policy;
      this.#budget = budget;
      this.#route = routeOf(this.#target, this.#context);
    }
    return this.#route;
  }

  addedToResponse(): null {
    return null;
  }

  figures(isGrpc: boolean, route: HttpRoute | null): RouteFigures {
    const figures = route?.figures ?? null;
    if (figures !== null) return figures.ended(this.#context.env.metrics, isGrpc);
    return this.#figures.of(this.#target.routeLabels, isGrpc);
  }

  describe(): SideFacts {
    return { client: "", clientId: "", target: this.#target.authority };
  }

  admit(): Refusal | null {
    const { action } = this.#target.policy.http;
    if (action.kind === "backends") return null;
    this.#context.env.metrics.failed("outbound", "http", "invalid policy");
    return { status: action.status, kind: "invalid policy", message: action.message };
  }

  dispatch(attempt: Attempt): void {
    const { env, inheritedRetries } = this.#context;
    if (this.#context.outboundInFlight >= env.settings.limits.outboundInFlightMax) {
      attempt.shed("loadshed");
      return;
    }
    attempt.place = ++this.#context.outboundInFlight;
    attempt.marksRetry = attempt.isRetry ||
      inheritedRetries.isInherited(attempt.beganAtMs, env.random);
    attempt.balancer = pickBackend(this.#target.httpBackends, env.random);
    if (attempt.balancer === null) this.picked(attempt, null);
    else attempt.balancer.wait(attempt, attempt.shunned);
  }

  picked(attempt: Attempt, state: EndpointState | null): void {
    if (state === null) {
      const { random } = this.#context.env;
      const next = backendInstead(attempt.balancer, this.#target.httpBackends, random);
      if (next !== null) {
        attempt.balancer = next;
        next.wait(attempt, attempt.shunned);
        return;
      }
      const refusal = attempt.balancer?.isFull === true ? OVERLOADED : NO_ENDPOINT;
      this.#leave(attempt);
      this.#context.env.metrics.failed("outbound", "http", refusal.kind);
      attempt.exchange.refuse(refusal);
      return;
    }
    const required = requiredIdentity(attempt.head);
    const found = state.endpoint.identity?.name;
    if (required !== null && required !== found) {
      this.#context.env.metrics.failed("outbound", "http", "identity required");
      attempt.settle("identity required");
      attempt.exchange.unreachable(attempt, otherIdentity(required, found));
      return;
    }
    attempt.endpoint = state;
    state.began(this.#context.nowMs());
    const endpoint = this.#endpointOf(state);
    const metrics = endpoint.metrics(this.#target, attempt.balancer);
    attempt.assign(endpoint.poolFor(attempt.head), metrics);
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
    if (!this.explains) head.meshFields = MeshFields.DROP;
    const { endpoint } = attempt;
    if (endpoint === null) return;
    const now = this.#context.nowMs();
    const latencyMs = now - attempt.sentAtMs;
    const grpcStatus = attempt.exchange.grpc ? grpcStatusOf(head) : -1;
    const isBad = head.status === TOO_MANY_REQUESTS ||
      attempt.exchange.isFailure(head.status, grpcStatus);
    if (isBad) endpoint.failedAfter(latencyMs, now);
    else endpoint.measured(latencyMs, now);
    if (head.status !== TOO_MANY_REQUESTS && head.status !== UNAVAILABLE) return;
    const delayMs = retryAfterMs(head, this.#context.env.clock);
    if (delayMs > 0) endpoint.askedToWait(delayMs, now);
  }

  judged(attempt: Attempt, isGood: boolean): void {
    const { endpoint, status, grpcStatus } = attempt;
    if (endpoint === null) return;
    const now = this.#context.nowMs();
    endpoint.judged(isGood, attempt.queuedAtMs, now);
    if (!isGood || status === TOO_MANY_REQUESTS || grpcStatus === GRPC_RESOURCE_EXHAUSTED) {
      endpoint.penalized(now);
    }
  }

  settled(attempt: Attempt): void {
    this.#leave(attempt);
    attempt.balancer?.cancel(attempt);
    const { endpoint, queuedAtMs } = attempt;
    if (endpoint === null) return;
    if (attempt.isUnanswered) {
      const now = this.#context.nowMs();
      endpoint.unanswered(now - attempt.sentAtMs, now);
    }
    endpoint.ended(queuedAtMs);
  }

  tunneled(): void {}

  closed(): void {
    this.#context.env.targets.release(this.#target);
  }

  #leave(attempt: Attempt): void {
    if (attempt.place === 0) return;
    attempt.place = 0;
    this.#context.outboundInFlight--;
  }

  #endpointOf(state: EndpointState): OutboundEndpoint {
    const known = state.resource;
    if (known instanceof OutboundEndpoint) return known;
    const made = new OutboundEndpoint(this.#context, state, this.#target.authority);
    if (!state.removed) state.resource = made;
    return made;
  }
}

function routeOf(target: OutboundTarget, context: PathContext): HttpRoute | null {
  const { policy, budget, routeLabels: labels } = target;
  const { retry = null, hedge = null, timeouts = null } = policy.http;
  if (retry === null && hedge === null && timeouts === null) return null;
  const quantile = hedge?.quantile ?? 0;
  const latency = quantile > 0 ? context.latencyOf(budget, quantile) : null;
  return { retry, hedge, latency, timeouts, budget, labels, classes: null, figures: null };
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
