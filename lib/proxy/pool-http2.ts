// hot
/**
 * The HTTP/2 connections to one endpoint: usually one, more when its peer admits no more streams on it.
 * Requests without a connection wait for the one that is being made.
 */

import type { CloseReason } from "../host/net.ts";
import type { EndpointResource } from "./balance.ts";
import type { Attempt } from "./attempt.ts";
import type { PathContext } from "./context.ts";
import type { Hop } from "./hop.ts";
import type { RequestPool } from "./http-parts.ts";
import { UpstreamHttp2 } from "./upstream-http2.ts";
import { failWaiting, Waiting } from "./waiting.ts";

/** Connections to one endpoint. */
export class PoolHttp2 implements EndpointResource, RequestPool {
  readonly context: PathContext;
  readonly hop: Hop;
  readonly meshed: boolean;
  /** Called when there is no connection left; a pool without use may then be forgotten. */
  emptied: (() => void) | null = null;
  /** Those that take requests. */
  #open: UpstreamHttp2[] = [];
  /** All that are not closed. */
  readonly #all = new Set<UpstreamHttp2>();
  readonly #waiting: Waiting;
  #isConnecting = false;
  #isClosed = false;

  constructor(context: PathContext, hop: Hop, meshed: boolean) {
    this.context = context;
    this.#waiting = new Waiting(context);
    this.hop = hop;
    this.meshed = meshed;
  }

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  attach(attempt: Attempt): void {
    const open = this.#open;
    for (let i = 0; i < open.length; i++) {
      if (!open[i]!.hasRoom) continue;
      open[i]!.attach(attempt);
      return;
    }
    this.#waiting.push(attempt);
    this.#connect();
  }

  cancel(attempt: Attempt): void {
    this.#waiting.remove(attempt);
  }

  /** A new connection takes requests. */
  ready(upstream: UpstreamHttp2): void {
    this.#isConnecting = false;
    this.#open.push(upstream);
    this.serve(upstream);
    if (this.#isClosed) upstream.leave();
  }

  /** Gives a connection the requests that wait, as many as it has room for. */
  serve(upstream: UpstreamHttp2): void {
    while (this.#waiting.length > 0 && upstream.hasRoom) {
      const attempt = this.#waiting.take();
      if (attempt !== undefined) upstream.attach(attempt);
    }
    this.#connect();
  }

  /** A connection could not be made. */
  failed(upstream: UpstreamHttp2, reason: CloseReason): void {
    this.#isConnecting = false;
    failWaiting(this.#waiting, upstream.beganAtMs, reason);
    this.#connect();
  }

  /** A connection takes no more requests. */
  withdraw(upstream: UpstreamHttp2): void {
    const at = this.#open.indexOf(upstream);
    if (at >= 0) this.#open.splice(at, 1);
  }

  /** A connection is closed. */
  forget(upstream: UpstreamHttp2): void {
    this.withdraw(upstream);
    this.#all.delete(upstream);
    // Who has waited for room on it needs another one.
    this.#connect();
    if (this.#all.size > 0) return;
    this.context.pools.delete(this);
    this.emptied?.();
  }

  /** Connections go when their streams have; who waits is still served. */
  close(): void {
    this.#isClosed = true;
    for (const upstream of [...this.#open]) upstream.leave(); // cold: once per pool
  }

  #hasNew(): boolean {
    const open = this.#open;
    for (let i = 0; i < open.length; i++) if (open[i]!.isNew) return true;
    return false;
  }

  /** Makes a connection if requests wait and no other one is new. */
  #connect(): void {
    while (this.#waiting.length > 0 && !this.#isConnecting && !this.#hasNew()) {
      const upstream = UpstreamHttp2.connect(this);
      if (upstream !== null) {
        this.#isConnecting = true;
        if (this.#all.size === 0) this.context.pools.add(this);
        this.#all.add(upstream);
        return;
      }
      this.#waiting.take()?.unsecurable();
    }
  }
}
