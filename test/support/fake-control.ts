/** Stand-ins for tests: a clock that moves by hand and a control plane that answers by hand. */

import type { Clock, Timer } from "../../lib/host/clock.ts";
import type { SocketAddress } from "../../lib/mesh/address.ts";
import { formatAddress } from "../../lib/mesh/address.ts";
import type { Asker, Discovery, Sink, Unwatch } from "../../lib/mesh/discovery.ts";
import type { EndpointUpdate } from "../../lib/mesh/endpoint.ts";
import type { ClientPolicy, Profile, ServerPolicy } from "../../lib/mesh/policy.ts";

/** Time moves only by `advance`. */
export class ManualClock implements Clock {
  #now = 1_000_000;
  #wallAheadMs = 0;
  #timers: { atMs: number; call: () => void; periodMs: number }[] = [];

  nowMs(): number {
    return this.#now + this.#wallAheadMs;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(delayMs: number, call: () => void): Timer {
    return this.#add(delayMs, call, 0);
  }

  every(periodMs: number, call: () => void): Timer {
    return this.#add(periodMs, call, periodMs);
  }

  afterTurn(call: () => void): void {
    this.#add(0, call, 0);
  }

  /** Runs what is due in the next `durationMs`, in order. */
  advance(durationMs: number): void {
    const endMs = this.#now + durationMs;
    for (;;) {
      const [next] = this.#timers.filter(({ atMs }) => atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.atMs);
      if (next.periodMs > 0) next.atMs += next.periodMs;
      else this.#timers = this.#timers.filter((timer) => timer !== next);
      next.call();
    }
    this.#now = endMs;
  }

  /** The machine slept, or somebody set the clock: wall time moves alone, timers stand still. */
  moveWall(byMs: number): void {
    this.#wallAheadMs += byMs;
  }

  /** How many timers wait; 0 when everything was cleaned up. */
  get pending(): number {
    return this.#timers.length;
  }

  #add(delayMs: number, call: () => void, periodMs: number): Timer {
    const timer = { atMs: this.#now + delayMs, call, periodMs };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }
}

/** The open streams of one kind by what was asked for, and how often each was opened. */
export class FakeStreams<T> {
  readonly open = new Map<string, Set<Sink<T>>>();
  readonly opened: string[] = [];

  watch(key: string, sink: Sink<T>): Unwatch {
    this.opened.push(key);
    const sinks = this.open.get(key) ?? new Set();
    this.open.set(key, sinks.add(sink));
    return () => {
      sinks.delete(sink);
      if (sinks.size === 0) this.open.delete(key);
    };
  }

  /** Tells all open streams of a key. */
  next(key: string, value: T): void {
    for (const sink of [...this.open.get(key) ?? []]) sink.next(value);
  }

  /** Ends all open streams of a key. */
  fail(key: string, fault: Error): void {
    const sinks = [...this.open.get(key) ?? []];
    this.open.delete(key);
    for (const sink of sinks) sink.fail(fault);
  }

  get count(): number {
    let sum = 0;
    for (const sinks of this.open.values()) sum += sinks.size;
    return sum;
  }
}

/** A control plane that says nothing until the test does. */
export class FakeDiscovery implements Discovery {
  readonly endpoints = new FakeStreams<EndpointUpdate>();
  readonly profiles = new FakeStreams<Profile>();
  readonly clientPolicies = new FakeStreams<ClientPolicy>();
  readonly serverPolicies = new FakeStreams<ServerPolicy>();

  watchEndpoints(_asker: Asker, path: string, sink: Sink<EndpointUpdate>): Unwatch {
    return this.endpoints.watch(path, sink);
  }

  watchProfile(_asker: Asker, path: string, sink: Sink<Profile>): Unwatch {
    return this.profiles.watch(path, sink);
  }

  watchClientPolicy(
    _asker: Asker,
    target: SocketAddress | string,
    sink: Sink<ClientPolicy>,
  ): Unwatch {
    const key = typeof target === "string" ? target : formatAddress(target);
    return this.clientPolicies.watch(key, sink);
  }

  watchServerPolicy(_asker: Asker, port: number, sink: Sink<ServerPolicy>): Unwatch {
    return this.serverPolicies.watch(String(port), sink);
  }
}
