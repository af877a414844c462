// hot
/**
 * A connection that the application made: where was it going, what does it speak, whom may it reach.
 *
 *     accepted ─▶ looking up the target ─▶ detecting ─▶ HTTP (outbound-http) or opaque, also TLS
 *        └ no redirect, loopback, ourselves: closed, nothing relayed
 *
 * In an ingress requests may name their targets, so its connections are looked at whatever is known.
 */

import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import { formatAddress, isLoopback, type SocketAddress } from "../mesh/address.ts";
import { Detected, detectProtocol } from "../wire/http1/mod.ts";
import { parseClientHello } from "../wire/tls-hello.ts";
import { type Client, enterPhase, NO_EVENTS, type PathContext, type Session } from "./context.ts";
import { detectedAs } from "./detect.ts";
import { DownstreamHttp1 } from "./downstream-http1.ts";
import { DownstreamHttp2 } from "./downstream-http2.ts";
import type { OutboundTarget, TransportMetrics } from "./environment.ts";
import { errnoOf } from "./errno.ts";
import {
  clientTlsLabels,
  FROM_APPLICATION,
  passedTls,
  protocolLabels,
  targetLabels,
  type TlsState,
} from "./labels.ts";
import { OpaqueRelay } from "./opaque.ts";
import { OPENING, Opening, type OpeningOwner } from "./opening.ts";
import type { HttpSide } from "./http-parts.ts";
import { IngressHttp } from "./ingress-http.ts";
import { OutboundHttp } from "./outbound-http.ts";
import { OutboundHops } from "./outbound-opaque.ts";
import { Outlet } from "./outlet.ts";

/** Takes the connections of the outbound listener. */
export const OUTBOUND_ACCEPT: ConnHandler<PathContext> = {
  ...NO_EVENTS, // cold: once per process
  open(conn) {
    const context = conn.data;
    const original = conn.originalDestination();
    if (original === null || isForbidden(context, conn, original)) {
      const target = original === null ? "" : formatAddress(original);
      const client = formatAddress(conn.remote);
      context.env.log.debug("refused an outbound connection", { client, target });
      context.env.metrics.failed("outbound", "tcp", "unexpected");
      conn.destroy(true);
    } else new OutboundConnection(context, conn, original).begin();
  },
};

/** One such connection until its protocol is known. */
class OutboundConnection implements Session, OpeningOwner {
  readonly #context: PathContext;
  readonly #opening: Opening;
  readonly #original: SocketAddress;
  #target: OutboundTarget | null = null;
  #over = false;

  constructor(context: PathContext, conn: Conn<unknown>, original: SocketAddress) {
    this.#context = context;
    this.#original = original;
    this.#opening = new Opening(context, conn, this);
    context.opened(this);
    enterPhase(conn, OPENING, this.#opening);
  }

  begin(): void {
    const { targets } = this.#context.env;
    targets.acquire(this.#original, (target) => this.#found(target));
  }

  secured(): void {}

  examine(): void {
    const target = this.#target;
    if (target === null || this.#over) return;
    const { intake, ended, timedOut } = this.#opening;
    const known = this.#looksAt(target) ? null : detectedAs(target.policy.protocol);
    const detected = known ?? detectProtocol(intake.bytes, intake.start, intake.end);
    const last = ended || timedOut;
    if (detected === Detected.MORE && !last) return;
    let tls = FROM_APPLICATION;
    // Where the policy says opaque, the server may speak first, and nobody looks.
    if (detected === Detected.OPAQUE && target.policy.protocol !== "opaque") {
      const hello = parseClientHello(intake.bytes, intake.start, intake.end);
      if (hello.kind === "more" && !last) return;
      if (hello.kind === "hello") tls = passedTls(hello.serverName);
    }
    if (known === null) this.#opening.detected("outbound", detected);
    const { metrics } = this.#context.env;
    const protocol = tls === FROM_APPLICATION ? protocolOf(detected) : "tls";
    const labels = protocolLabels(protocol, target.policy.parent);
    metrics.counted("outbound_tcp_protocol_connections_total", labels);
    if (detected === Detected.HTTP1) this.#startHttp1(target);
    else if (detected === Detected.HTTP2) this.#startHttp2(target);
    else this.#startOpaque(target, tls);
  }

  lost(reason: CloseReason): void {
    if (this.#over) return;
    this.#over = true;
    const metrics = this.#metricsOf(FROM_APPLICATION);
    metrics.opened();
    metrics.closed(errnoOf(reason));
    if (this.#target !== null) this.#context.env.targets.release(this.#target);
    this.#context.closed(this);
  }

  drain(): void {}

  abort(): void {
    this.#opening.conn.destroy(true);
  }

  #found(target: OutboundTarget | null): void {
    const { env } = this.#context;
    if (this.#over) {
      if (target !== null) env.targets.release(target);
      return;
    }
    if (target === null) {
      env.metrics.failed("outbound", "tcp", "invalid policy");
      this.#opening.conn.destroy(true);
      return;
    }
    this.#target = target;
    if (this.#looksAt(target) || target.policy.protocol === "tls") {
      const { detectTimeoutMs } = target.policy;
      this.#opening.waitUpTo(detectTimeoutMs || env.settings.outboundDetectTimeoutMs);
    }
    this.examine();
  }

  /** Whether the first bytes tell the protocol. */
  #looksAt(target: OutboundTarget): boolean {
    return target.policy.protocol === "detect" || this.#context.env.settings.ingress;
  }

  #sideOf(target: OutboundTarget): HttpSide {
    const { settings } = this.#context.env;
    const Side = settings.ingress ? IngressHttp : OutboundHttp;
    return new Side(this.#context, target);
  }

  #startHttp1(target: OutboundTarget): void {
    const client = this.#leave(FROM_APPLICATION);
    new DownstreamHttp1(this.#context, this.#sideOf(target), client).begin();
    this.#context.closed(this);
  }

  #startHttp2(target: OutboundTarget): void {
    const client = this.#leave(FROM_APPLICATION);
    new DownstreamHttp2(this.#context, this.#sideOf(target), client).begin();
    this.#context.closed(this);
  }

  #startOpaque(target: OutboundTarget, tls: TlsState): void {
    const client = this.#leave(tls);
    new OpaqueRelay(this.#context, client, new OutboundHops(this.#context, target, tls)).begin();
    this.#context.closed(this);
  }

  /** What the next phase gets; the target is its to release from now on. */
  #leave(tls: TlsState): Client {
    this.#over = true;
    const { conn, intake, ended, paused } = this.#opening;
    this.#opening.leave();
    const metrics = this.#metricsOf(tls);
    metrics.opened();
    metrics.read(intake.length);
    const out = new Outlet(conn, metrics, this.#context.gatherer);
    return { out, intake, ended, paused };
  }

  #metricsOf(tls: TlsState): TransportMetrics {
    return this.#context.env.metrics.transport({
      direction: "outbound",
      peer: "src",
      ...targetLabels(this.#original), // cold: once per connection
      ...clientTlsLabels(tls), // cold: once per connection
    });
  }
}

/** As the contract's label says it. */
function protocolOf(detected: Detected): string {
  if (detected === Detected.HTTP1) return "http/1";
  return detected === Detected.HTTP2 ? "http/2" : "opaq";
}

/**
 * Whether a connection must not be relayed: to ourselves it would go round in circles, and what is
 * bound to loopback is nobody's business but the machine's.
 */
function isForbidden(
  context: PathContext,
  conn: Conn<unknown>,
  original: SocketAddress,
): boolean {
  const { inboundIps, ownPorts } = context.env.settings;
  if (isLoopback(original.ip) || original.port === 0) return true;
  const ours = inboundIps.has(original.ip) || original.ip === conn.local.ip;
  return ours && ownPorts.has(original.port);
}
