/** An environment of the byte path without sockets, on a clock that the test moves. */

import { USUAL_LIMITS } from "../../lib/proxy/path-limits.ts";
import type { Clock, Timer } from "../../lib/host/clock.ts";
import type { Net } from "../../lib/host/net.ts";
import type { Credentials, ProxyEnvironment } from "../../lib/proxy/environment.ts";
import { ProxyMetrics } from "../../lib/proxy/metrics.ts";
import type { Recorder } from "../../lib/proxy/outcome.ts";
import { silentLogger } from "../../lib/telemetry/logger.ts";

/** Time stands still until `advance`; what is due then is called. */
export class HandClock implements Clock {
  #now = 0;
  #calls: { at: number; call: () => void }[] = [];
  nowMs = () => this.#now;
  monotonicMs = () => this.#now;
  after(delayMs: number, call: () => void): Timer {
    const entry = { at: this.#now + delayMs, call };
    this.#calls.push(entry);
    return { cancel: () => void (this.#calls = this.#calls.filter((other) => other !== entry)) };
  }
  every(periodMs: number, call: () => void): Timer {
    let timer = this.after(periodMs, again.bind(this));
    function again(this: HandClock) {
      timer = this.after(periodMs, again.bind(this));
      call();
    }
    return { cancel: () => timer.cancel() };
  }
  afterTurn(call: () => void): void {
    this.after(0, call);
  }
  advance(ms: number): void {
    this.#now += ms;
    const due = this.#calls.filter(({ at }) => at <= this.#now);
    this.#calls = this.#calls.filter(({ at }) => at > this.#now);
    for (const { call } of due) call();
  }
}

/** Gives parts of the byte path what they need; the test plays the network. */
export class TestEnvironment implements ProxyEnvironment {
  readonly clock = new HandClock();
  readonly random = () => 0.5;
  readonly metrics = new ProxyMetrics({ clock: this.clock, retainIdleMs: 600_000 });
  readonly recorders: readonly Recorder[] = [];
  readonly log = silentLogger;
  readonly net: Net;
  credentials: Credentials | null = {
    certificateChain: "",
    privateKey: "",
    trustAnchors: "",
    name: "test",
    serverName: "test",
    expiresAtMs: Infinity,
  };
  readonly identity = { current: () => this.credentials };
  readonly settings = {
    inboundListen: [],
    outboundListen: [],
    ownPorts: new Set<number>(),
    inboundIps: new Set<string>(),
    inboundConnectTimeoutMs: 300,
    outboundConnectTimeoutMs: 1_000,
    inboundDetectTimeoutMs: 300,
    outboundDetectTimeoutMs: 300,
    poolIdleTimeoutMs: 3_000,
    poolIdlePerEndpointMax: 100,
    limits: USUAL_LIMITS,
    drainMs: 1_000,
    socketMark: 0,
    clusterNetworks: [],
    explains: { inbound: true, outbound: true },
    ingress: false,
  };
  readonly serverPolicies = {
    port(): never {
      throw new Error("no policies here");
    },
  };
  readonly targets = {
    acquire(): never {
      throw new Error("no targets here");
    },
    release(): void {},
  };

  constructor(net: Net) {
    this.net = net;
  }
}
