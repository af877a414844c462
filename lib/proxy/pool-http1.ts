// hot
/**
 * The HTTP/1 connections to one endpoint: those that wait for a request, the last used first, so that
 * what a lull leaves over grows old and is closed. A request without a connection takes the first that
 * is ready, be it a new one or one that another request has done with.
 */

import { assert } from "../base/assert.ts";
import { CONNECTING_MIN } from "../base/limits.ts";
import type { CloseReason } from "../host/net.ts";
import type { EndpointResource } from "./balance.ts";
import type { Attempt } from "./attempt.ts";
import type { PathContext } from "./context.ts";
import type { Hop } from "./hop.ts";
import type { RequestPool } from "./http-parts.ts";
import { UpstreamHttp1 } from "./upstream-http1.ts";
import { failWaiting, Waiting } from "./waiting.ts";

/** Connections to one endpoint. */
export class PoolHttp1 implements EndpointResource, RequestPool {
  readonly context: PathContext;
  readonly hop: Hop;
  /** The endpoint has a proxy of the mesh, whose `l5d-*` headers count. */
  readonly meshed: boolean;
  /** Called when there is no connection left; a pool without use may then be forgotten. */
  emptied: (() => void) | null = null;
  #idle: UpstreamHttp1[] = [];
  readonly #waiting: Waiting;
  #connecting = 0;
  /** Connections, those that are being made included. */
  #open = 0;
  #closed = false;

  get isEmpty(): boolean {
    return this.#open === 0;
  }

  constructor(context: PathContext, hop: Hop, meshed: boolean) {
    this.context = context;
    this.#waiting = new Waiting(context);
    this.hop = hop;
    this.meshed = meshed;
  }

  /** Gives the request a connection: `attached`, `unreachable` or `unsecurable` follows, perhaps at
   * once. `fresh`: none that has been idle, whose peer may have closed it by now. */
  attach(attempt: Attempt, fresh: boolean): void {
    const upstream = fresh ? undefined : this.#idle.pop();
    if (upstream !== undefined) {
      upstream.attach(attempt);
      return;
    }
    this.#waiting.push(attempt);
    this.#connect();
  }

  /** The request needs no connection any more. */
  cancel(attempt: Attempt): void {
    this.#waiting.remove(attempt);
  }

  /** A new connection can carry a request. */
  ready(upstream: UpstreamHttp1): void {
    this.#connecting--;
    this.release(upstream);
    this.#connect();
  }

  /** Takes a connection that can carry another request. */
  release(upstream: UpstreamHttp1): void {
    const { settings } = this.context.env;
    const attempt = this.#takeWaiting(upstream.isNew);
    if (attempt !== undefined) {
      upstream.attach(attempt);
      return;
    }
    if (this.#closed || this.#idle.length >= settings.poolIdlePerEndpointMax) {
      upstream.destroy();
      return;
    }
    this.#idle.push(upstream);
    upstream.idleUntil(this.context.nowMs() + settings.poolIdleTimeoutMs);
  }

  /** A connection could not be made. */
  failed(upstream: UpstreamHttp1, reason: CloseReason): void {
    this.#connecting--;
    failWaiting(this.#waiting, upstream.beganAtMs, reason);
    this.#connect();
  }

  /** An idle connection is of no use any more. */
  withdraw(upstream: UpstreamHttp1): void {
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

  /**
   * The first that waits and may have the connection: who wants a fresh one takes none that another has
   * done with, whose peer may be closing it.
   */
  #takeWaiting(isNew: boolean): Attempt | undefined {
    const waiting = this.#waiting;
    if (isNew || waiting.peek()?.fresh !== true) return waiting.take();
    for (let i = 1; i < waiting.length; i++) {
      const attempt = waiting.at(i)!;
      if (attempt.fresh) continue;
      waiting.remove(attempt);
      return attempt;
    }
    return undefined;
  }

  /** Makes as many connections as requests wait for. */
  #connect(): void {
    while (this.#connecting < this.#waiting.length && this.#mayConnect()) {
      this.#connecting++;
      if (this.#open++ === 0) this.context.pools.add(this);
      if (UpstreamHttp1.connect(this)) continue;
      this.#connecting--;
      this.forget();
      const attempt = this.#waiting.take();
      assert(attempt !== undefined, "a connection is made for a request that waits");
      attempt.unsecurable();
    }
  }

  /**
   * TLS handshakes are dear, and a burst of them holds up everything else: not more at a time than
   * there are connections already, so that a pool grows by doubling.
   */
  #mayConnect(): boolean {
    if (this.hop.tls === null) return true;
    return this.#connecting < Math.max(CONNECTING_MIN, this.#open - this.#connecting);
  }
}
