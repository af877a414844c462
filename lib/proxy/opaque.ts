// hot
/**
 * An opaque connection: find a hop, connect, send what has come so far, then splice. A hop that cannot
 * be connected has got nothing, so another one may be tried.
 *
 *     choosing ─▶ connecting ─▶ spliced ─▶ closed
 *         ▲────────────┘ failed, tries left
 */

import { OPAQUE_CONNECTS_MAX } from "../base/limits.ts";
import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import {
  type Client,
  enterPhase,
  type PathContext,
  READ_AHEAD_BYTES,
  type Session,
} from "./context.ts";
import { errnoOf } from "./errno.ts";
import { connectOptions, type Hop } from "./hop.ts";
import { Intake } from "./intake.ts";
import { Outlet } from "./outlet.ts";
import { Splice } from "./splice.ts";

/** Gives hops to one connection and learns how they did. */
export interface HopSource {
  /** Calls `relay.reach` or `relay.fail`, now or later. */
  choose(relay: OpaqueRelay): void;
  connected(): void;
  /** The hop could not be connected; another `choose` may follow. */
  failed(reason: CloseReason): void;
  /** The connection is over, however far it came; called once and last. */
  closed(): void;
}

/** One opaque connection before it is spliced. */
export class OpaqueRelay implements Session {
  readonly context: PathContext;
  readonly client: Outlet;
  readonly intake: Intake;
  readonly #source: HopSource;
  ended: boolean;
  paused: boolean;
  #connects = 0;
  #hop: Hop | null = null;
  #upstream: Conn<OpaqueRelay> | null = null;
  #splice: Splice | null = null;
  #over = false;

  constructor(context: PathContext, client: Client, source: HopSource) {
    this.context = context;
    this.client = client.out;
    this.intake = client.intake;
    this.ended = client.ended;
    this.paused = client.paused;
    this.#source = source;
    context.opened(this);
    enterPhase(this.client.conn, CLIENT, this);
  }

  begin(): void {
    this.#source.choose(this);
  }

  /** Opaque bytes have no good moment to end; they may go on until the drain is over. */
  drain(): void {}

  abort(): void {
    if (this.#splice !== null) this.#splice.abort();
    else this.fail();
  }

  /** The source has found a hop. */
  reach(hop: Hop): void {
    if (this.#over) return;
    const { env } = this.context;
    const options = connectOptions(hop, env.identity.current());
    if (options === null) {
      this.fail();
      return;
    }
    this.#connects++;
    this.#hop = hop;
    this.#upstream = env.net.connect(options, UPSTREAM, this);
  }

  /** There is no hop, or the client is gone: the client sees a reset, never a clean end. */
  fail(): void {
    if (this.#over) return;
    this.#over = true;
    this.client.conn.destroy(true);
    this.#upstream?.destroy(true);
    this.context.closed(this);
    this.#source.closed();
  }

  upstreamOpened(): void {
    if (this.#hop !== null && this.#hop.tls === null) this.#ready();
  }

  upstreamSecured(): void {
    this.#ready();
  }

  upstreamLost(reason: CloseReason): void {
    if (this.#over) return;
    this.#upstream = null;
    this.#source.failed(reason);
    if (this.#connects >= OPAQUE_CONNECTS_MAX) this.fail();
    else this.#source.choose(this);
  }

  spliceClosed(): void {
    this.context.closed(this);
    this.#source.closed();
  }

  #ready(): void {
    const upstream = this.#upstream;
    const hop = this.#hop;
    if (this.#over || upstream === null || hop === null) return;
    this.#over = true;
    this.#source.connected();
    hop.metrics.opened();
    const out = new Outlet(upstream, hop.metrics, this.context.gatherer);
    this.#sendFirst(out, hop.preface);
    const { client, intake, ended, paused } = this;
    const target = { out, intake: new Intake(), ended: false, paused: false };
    this.#splice = new Splice(this, { out: client, intake, ended, paused }, target);
  }

  /** The transport header and what the client has said share one write. */
  #sendFirst(out: Outlet, preface: Uint8Array): void {
    if (preface.length === 0) return;
    const { scratch } = this.context;
    const intake = this.intake;
    scratch.clear();
    scratch.append(preface, 0, preface.length);
    scratch.append(intake.bytes, intake.start, intake.end);
    intake.clear();
    out.write(scratch.bytes, scratch.start, scratch.end, false);
  }
}

/** The client's connection while its hop is being connected. */
const CLIENT: ConnHandler<OpaqueRelay> = {
  open() {},
  secure() {},
  data(conn, chunk) {
    const relay = conn.data;
    relay.client.metrics.read(chunk.length);
    relay.intake.push(chunk);
    if (relay.intake.length < READ_AHEAD_BYTES || relay.paused) return;
    relay.paused = true;
    conn.pause();
  },
  drain() {},
  end(conn) {
    conn.data.ended = true;
  },
  close(conn, reason) {
    conn.data.client.metrics.closed(errnoOf(reason));
    conn.data.fail();
  },
};

/** The hop's connection until it can be written to. */
const UPSTREAM: ConnHandler<OpaqueRelay> = {
  open(conn) {
    conn.data.upstreamOpened();
  },
  secure(conn) {
    conn.data.upstreamSecured();
  },
  data() {},
  drain() {},
  end() {},
  close(conn, reason) {
    conn.data.upstreamLost(reason);
  },
};
