// hot
/** The outbound side of HTTP: an endpoint for each request, by measured latency. */

import type { CloseReason } from "../host/net.ts";
import { NO_LINES } from "../wire/http1/mod.ts";
import { pickBackend } from "./backend.ts";
import type { Balancer, EndpointState, PickWaiter } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { Downstream } from "./downstream.ts";
import type { OutboundTarget } from "./environment.ts";
import { hopTo } from "./hop.ts";
import { unreachableStatus } from "./http-error.ts";
import type { HttpSide, Refusal } from "./http-side.ts";
import { endpointLabels } from "./labels.ts";
import { OutboundEndpoint } from "./outbound-endpoint.ts";

const NO_ENDPOINT: Refusal = {
  status: 503,
  kind: "failfast",
  message: "no endpoint is available",
};

/** The requests of one client connection to one target. */
export class OutboundHttp implements HttpSide, PickWaiter {
  readonly direction = "outbound";
  readonly requestLines = NO_LINES;
  readonly explains = true;
  readonly #context: PathContext;
  readonly #target: OutboundTarget;
  #request: Downstream | null = null;
  #fresh = false;
  #balancer: Balancer | null = null;
  #state: EndpointState | null = null;
  #beganAtMs = 0;

  constructor(context: PathContext, target: OutboundTarget) {
    this.#context = context;
    this.#target = target;
  }

  admit(): Refusal | null {
    const { action } = this.#target.policy.http;
    if (action.kind === "backends") return null;
    this.#context.env.metrics.failed("outbound", "http", "invalid policy");
    return { status: action.status, kind: "invalid policy", message: action.message };
  }

  dispatch(request: Downstream, fresh: boolean): void {
    this.#request = request;
    this.#fresh = fresh;
    this.#balancer = pickBackend(this.#target.httpBackends, this.#context.env.random);
    if (this.#balancer === null) this.picked(null);
    else this.#balancer.wait(this);
  }

  picked(state: EndpointState | null): void {
    const request = this.#request;
    this.#request = null;
    if (request === null) return;
    if (state === null) {
      this.#context.env.metrics.failed("outbound", "http", "failfast");
      request.refuse(NO_ENDPOINT);
      return;
    }
    this.#state = state;
    this.#beganAtMs = this.#context.nowMs();
    state.began();
    const endpoint = this.#endpointOf(state);
    request.assign(endpoint.pool, endpoint.metrics(this.#target.authority), this.#fresh);
  }

  unreachable(reason: CloseReason): Refusal | null {
    const state = this.#state;
    this.#context.env.metrics.failed("outbound", "http", "i/o");
    if (state !== null) {
      state.failed(this.#context.nowMs());
      const { address } = state.endpoint;
      this.#context.env.log.debug("cannot connect to an endpoint", { address, reason });
    }
    if (this.#hasOther()) return null;
    const message = `cannot connect to the endpoint: ${reason}`;
    return { status: unreachableStatus(reason), kind: "i/o", message };
  }

  avoid(): boolean {
    this.#state?.failed(this.#context.nowMs());
    return this.#hasOther();
  }

  answered(nowMs: number): void {
    this.#state?.measured(nowMs - this.#beganAtMs, nowMs);
  }

  settled(): void {
    if (this.#request !== null) {
      this.#request = null;
      this.#balancer?.cancel(this);
    }
    this.#state?.ended();
    this.#state = null;
  }

  closed(): void {
    this.#context.env.targets.release(this.#target);
  }

  #hasOther(): boolean {
    return this.#balancer !== null && this.#balancer.size > 1 && this.#balancer.ready > 0;
  }

  #endpointOf(state: EndpointState): OutboundEndpoint {
    const known = state.resource;
    if (known instanceof OutboundEndpoint) return known;
    const { env } = this.#context;
    const labels = endpointLabels(state);
    const hop = hopTo(state.endpoint, "http1", {
      timeoutMs: env.settings.outboundConnectTimeoutMs,
      mark: env.settings.socketMark,
      metrics: env.metrics.transport({
        ...labels, // cold: once per endpoint
        authority: this.#target.authority,
        peer: "dst",
      }),
    });
    const made = new OutboundEndpoint(this.#context, hop, state, labels);
    if (!state.removed) state.resource = made;
    return made;
  }
}
