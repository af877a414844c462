/** Finds endpoints for one opaque outbound connection, and tells the balancer how they did. */

import type { CloseReason } from "../host/net.ts";
import { backendInstead, pickBackend } from "./backend.ts";
import type { Balancer, EndpointState, PickWaiter } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { OutboundTarget } from "./environment.ts";
import { hopTo } from "./hop.ts";
import { endpointLabels, type TlsState } from "./labels.ts";
import type { HopSource, OpaqueRelay } from "./opaque.ts";

/** The hops of one connection, chosen by connect latency and open connections. */
export class OutboundHops implements HopSource, PickWaiter {
  readonly #context: PathContext;
  readonly #target: OutboundTarget;
  readonly #tls: TlsState;
  #relay: OpaqueRelay | null = null;
  #balancer: Balancer | null = null;
  #state: EndpointState | null = null;
  #beganAtMs = 0;

  /** `tls`: what the application speaks. */
  constructor(context: PathContext, target: OutboundTarget, tls: TlsState) {
    this.#context = context;
    this.#target = target;
    this.#tls = tls;
  }

  choose(relay: OpaqueRelay): void {
    const { env } = this.#context;
    this.#relay = relay;
    this.#balancer = pickBackend(this.#target.opaqueBackends, env.random);
    if (this.#balancer === null) {
      env.metrics.failed("outbound", "tcp", "invalid policy");
      relay.fail();
    } else this.#balancer.wait(this);
  }

  picked(state: EndpointState | null): void {
    const { env } = this.#context;
    if (state === null && this.#relay !== null) {
      const next = backendInstead(this.#balancer, this.#target.opaqueBackends, env.random);
      if (next !== null) {
        this.#balancer = next;
        next.wait(this);
        return;
      }
    }
    if (state === null || this.#relay === null) {
      env.metrics.failed("outbound", "tcp", "failfast");
      this.#relay?.fail();
      return;
    }
    if (state.endpoint.identity !== undefined && env.identity.current() === null) {
      env.metrics.failed("outbound", "tcp", "identity required");
      this.#relay.fail();
      return;
    }
    this.#state = state;
    this.#beganAtMs = this.#context.nowMs();
    state.began(this.#beganAtMs);
    this.#relay.reach(hopTo(state.endpoint, "opaque", {
      timeoutMs: env.settings.outboundConnectTimeoutMs,
      mark: env.settings.socketMark,
      metrics: env.metrics.transport({
        ...endpointLabels(state, this.#tls),
        authority: this.#target.authority,
        peer: "dst",
      }),
    }));
  }

  connected(): void {
    const now = this.#context.nowMs();
    this.#state?.measured(now - this.#beganAtMs, now);
  }

  failed(reason: CloseReason): void {
    const state = this.#state;
    this.#state = null;
    if (state === null) return;
    state.ended(this.#beganAtMs);
    state.failed(this.#context.nowMs());
    this.#context.env.metrics.failed("outbound", "tcp", "i/o");
    const { address } = state.endpoint;
    this.#context.env.log.debug("cannot connect to an endpoint", { address, reason });
  }

  closed(): void {
    this.#state?.ended(this.#beganAtMs);
    this.#balancer?.cancel(this);
    this.#context.env.targets.release(this.#target);
  }
}
