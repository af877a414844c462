// hot
/**
 * The HTTP/1 connections to one endpoint: those that wait for a request, the last used first, so that
 * what a lull leaves over grows old and is closed.
 */

import type { EndpointResource } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { Downstream } from "./downstream.ts";
import type { Hop } from "./hop.ts";
import { Upstream } from "./upstream.ts";

/** Connections to one endpoint. */
export class HttpPool implements EndpointResource {
  readonly context: PathContext;
  readonly hop: Hop;
  /** The endpoint has a proxy of the mesh, whose `l5d-*` headers count. */
  readonly meshed: boolean;
  /** Called when there is no connection left; a pool without use may then be forgotten. */
  emptied: (() => void) | null = null;
  #idle: Upstream[] = [];
  #open = 0;
  #closed = false;

  constructor(context: PathContext, hop: Hop, meshed: boolean) {
    this.context = context;
    this.hop = hop;
    this.meshed = meshed;
  }

  /** Gives the request a connection: `attached` or `unreachable` follows, perhaps at once. */
  attach(request: Downstream, fresh: boolean): void {
    const upstream = fresh ? undefined : this.#idle.pop();
    if (upstream !== undefined) {
      upstream.attach(request);
      return;
    }
    if (this.#open++ === 0) this.context.pools.add(this);
    Upstream.connect(this, request);
  }

  /** Takes a connection back that can carry another request. */
  release(upstream: Upstream): void {
    const { settings } = this.context.env;
    if (this.#closed || this.#idle.length >= settings.poolIdlePerEndpointMax) {
      upstream.destroy();
      return;
    }
    this.#idle.push(upstream);
    upstream.idleUntil(this.context.nowMs() + settings.poolIdleTimeoutMs);
  }

  /** An idle connection is of no use any more. */
  withdraw(upstream: Upstream): void {
    const at = this.#idle.lastIndexOf(upstream);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** A connection is closed, or no pool's affair any more. */
  forget(): void {
    this.#open--;
    if (this.#open > 0) return;
    this.context.pools.delete(this);
    this.emptied?.();
  }

  /** Closes the idle connections now and the others after their request. */
  close(): void {
    this.#closed = true;
    const idle = this.#idle;
    this.#idle = [];
    for (let i = 0; i < idle.length; i++) idle[i]!.destroy();
  }
}
