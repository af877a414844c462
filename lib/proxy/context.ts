/**
 * What the connections of one proxy share: the environment, the timer wheel, the set of open sessions
 * and a scratch buffer. One object per byte path; no module holds state.
 */

import { ByteBuffer } from "../base/bytes.ts";
import type { Spares } from "../base/spares.ts";
import { type Scheduled, TimerWheel } from "../base/wheel.ts";
import type { Timer } from "../host/clock.ts";
import type { Conn, ConnHandler } from "../host/net.ts";
import type { ProxyEnvironment } from "./environment.ts";
import type { Intake } from "./intake.ts";
import type { Outlet } from "./outlet.ts";
import type { Application } from "./application.ts";
import type { Gate } from "./gate.ts";
import { Gatherer } from "./gatherer.ts";
import { AddedRetries, InheritedRetries, type RetryBudget } from "./retry-budget.ts";
import { RunningQuantile } from "../base/running-quantile.ts";
import { FieldLines, type ResponseHead, spareResponseHeads } from "../wire/http/mod.ts";
import { SessionSpares } from "../wire/http2/mod.ts";

/** For timeouts of requests, which are told in milliseconds; turned only while there are some. */
const FINE_TICK_MS = 5;
/** Coarse enough to cost nothing when idle, fine enough for timeouts of seconds. */
const TICK_MS = 100;
/** Holds a usual head and the body that comes with it; grows for larger ones. */
const SCRATCH_BYTES = 32_768;

/** Bytes that are read ahead of a decision or a connection; then the source is paused. */
export const READ_AHEAD_BYTES = 65_536;

/** One accepted connection with all that belongs to it. */
export interface Session {
  /** The proxy is going to end: finish what is under way, begin nothing new. */
  drain(): void;
  /** Ends at once. */
  abort(): void;
}

/** Has something to send at the end of the turn. */
export interface TurnSender {
  queued: boolean;
  send(): void;
}

/** What is closed when the proxy ends. */
export interface Closable {
  close(): void;
}

/** A client's connection on its way from one phase to the next. */
export interface Client {
  readonly out: Outlet;
  /** Bytes that came and that nobody has used; already counted. */
  readonly intake: Intake;
  /** The client has sent FIN. */
  readonly ended: boolean;
  readonly paused: boolean;
}

/** Shared by all connections of one proxy. */
export class PathContext {
  readonly env: ProxyEnvironment;
  readonly wheel: TimerWheel;
  /** For building one write; its content lasts until the next user clears it. */
  readonly scratch: ByteBuffer = new ByteBuffer(SCRATCH_BYTES);
  /** Fields that one message gets; good until the next user fills it. */
  readonly addedFields: FieldLines = new FieldLines();
  readonly gatherer: Gatherer = new Gatherer();
  readonly sessionSpares: SessionSpares = new SessionSpares();
  /** For those that wait. */
  readonly responseHeads: Spares<ResponseHead> = spareResponseHeads();
  /** What of the pod's requests is others' retries. */
  readonly inheritedRetries: InheritedRetries;
  /** What the pod has added to it by its own. */
  readonly addedRetries: AddedRetries;
  readonly sessions: Set<Session> = new Set();
  /** Pools with connections. */
  readonly pools: Set<Closable> = new Set();
  /** Inbound: connections to the application, by its address. */
  readonly applications: Map<string, Application> = new Map();
  /** Inbound: what stands before them. */
  readonly gates: Map<string, Gate> = new Map();
  /** Requests of the pod that are under way. */
  outboundInFlight = 0;
  /** Latencies of routes, by their budgets, which all connections to a target share. */
  readonly #latencies = new WeakMap<RetryBudget, RunningQuantile>();
  draining = false;
  /** Called when the last session has gone. */
  emptied: (() => void) | null = null;
  readonly #ticker: Timer;
  readonly #fineWheel: TimerWheel;
  #fineTicker: Timer | null = null;
  /** Those that send at the end of this turn. */
  #senders: TurnSender[] = [];
  readonly #sendAll: () => void;

  constructor(env: ProxyEnvironment) {
    this.env = env;
    const { clock } = env;
    this.wheel = new TimerWheel(clock.monotonicMs(), TICK_MS);
    this.addedRetries = new AddedRetries(clock.monotonicMs());
    this.inheritedRetries = new InheritedRetries(clock.monotonicMs());
    this.#fineWheel = new TimerWheel(clock.monotonicMs(), FINE_TICK_MS);
    this.#sendAll = () => this.#turnEnded();
    this.#ticker = clock.every(TICK_MS, () => this.wheel.tick(clock.monotonicMs()));
  }

  nowMs(): number {
    return this.env.clock.monotonicMs();
  }

  /** The latency that a share of the responses does not exceed; one object per budget. */
  latencyOf(budget: RetryBudget, quantile: number): RunningQuantile {
    let latency = this.#latencies.get(budget);
    if (latency?.quantile !== quantile) {
      latency = new RunningQuantile(quantile);
      this.#latencies.set(budget, latency);
    }
    return latency;
  }

  /** As `wheel.schedule`, within some milliseconds; `cancelFine` is its end. */
  scheduleFine(entry: Scheduled, atMs: number): void {
    const { clock } = this.env;
    if (this.#fineTicker === null) {
      this.#fineWheel.tick(clock.monotonicMs());
      this.#fineTicker = clock.every(FINE_TICK_MS, () => this.#tickFine());
    }
    this.#fineWheel.schedule(entry, atMs);
  }

  cancelFine(entry: Scheduled): void {
    this.#fineWheel.cancel(entry);
  }

  /** Has it send when all events of this turn have been seen. */
  sendAtTurnsEnd(sender: TurnSender): void {
    sender.queued = true;
    if (this.#senders.push(sender) === 1) this.env.clock.afterTurn(this.#sendAll);
  }

  opened(session: Session): void {
    this.sessions.add(session);
  }

  closed(session: Session): void {
    this.sessions.delete(session);
    if (this.sessions.size === 0) this.emptied?.();
  }

  #tickFine(): void {
    this.#fineWheel.tick(this.env.clock.monotonicMs());
    if (this.#fineWheel.size > 0) return;
    this.#fineTicker?.cancel();
    this.#fineTicker = null;
  }

  #turnEnded(): void {
    const senders = this.#senders;
    this.#senders = [];
    for (let i = 0; i < senders.length; i++) {
      senders[i]!.queued = false;
      senders[i]!.send();
    }
  }

  /** Ends the wheel; deadlines do not fire any more. */
  stop(): void {
    this.#ticker.cancel();
    this.#fineTicker?.cancel();
  }
}

/** Puts a connection into its next phase: another handler, with what that handler keeps. */
export function enterPhase<D>(conn: Conn<unknown>, handler: ConnHandler<D>, data: D): void {
  conn.data = data;
  conn.handler = handler as ConnHandler<unknown>;
}

/** Takes no notice of anything; for phases that care for one event alone. */
export const NO_EVENTS: ConnHandler<unknown> = {
  open() {},
  secure() {},
  data() {},
  drain() {},
  end() {},
  close() {},
};
