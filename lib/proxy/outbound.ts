// hot
/**
 * A connection that the application made: where was it going, what does it speak, whom may it reach.
 *
 *     accepted ─▶ looking up the target ─▶ detecting ─▶ HTTP (outbound-http) or opaque
 *        └ no redirect, loopback, ourselves: closed, nothing relayed
 *
 * In an ingress requests may name their targets, so its connections are looked at whatever is known.
 */

import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import { formatAddress, isLoopback, type SocketAddress } from "../mesh/address.ts";
import { Detected, detectProtocol } from "../wire/http1/mod.ts";
import { type Client, enterPhase, NO_EVENTS, type PathContext, type Session } from "./context.ts";
import { detectedAs } from "./detect.ts";
import { DownstreamHttp1 } from "./downstream-http1.ts";
import { DownstreamHttp2 } from "./downstream-http2.ts";
import type { OutboundTarget, TransportMetrics } from "./environment.ts";
import { errnoOf } from "./errno.ts";
import { clientTlsLabels, FROM_APPLICATION, protocolLabels, targetLabels } from "./labels.ts";
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
  readonly #metrics: TransportMetrics;
  #target: OutboundTarget | null = null;
  #over = false;

  constructor(context: PathContext, conn: Conn<unknown>, original: SocketAddress) {
    this.#context = context;
    this.#original = original;
    this.#opening = new Opening(context, conn, this);
    this.#metrics = context.env.metrics.transport({
      direction: "outbound",
      peer: "src",
      ...targetLabels(original), // cold: once per connection
      ...clientTlsLabels(FROM_APPLICATION), // cold: once per connection
    });
    this.#metrics.opened();
    context.opened(this);
    enterPhase(conn, OPENING, this.#opening);
  }

  begin(): void {
    const { targets } = this.#context.env;
    targets.acquire(this.#original, (target, fault) => this.#found(target, fault));
  }

  secured(): void {}

  examine(): void {
    const target = this.#target;
    if (target === null || this.#over) return;
    const { intake, ended, timedOut } = this.#opening;
    const known = this.#looksAt(target) ? null : detectedAs(target.policy.protocol);
    const detected = known ?? detectProtocol(intake.bytes, intake.start, intake.end);
    if (detected === Detected.MORE && !ended && !timedOut) return;
    if (known === null) this.#opening.detected("outbound", detected);
    const { metrics } = this.#context.env;
    const labels = protocolLabels(protocolOf(detected), target.policy.parent);
    metrics.counted("outbound_tcp_protocol_connections_total", labels);
    if (detected === Detected.HTTP1) this.#startHttp1(target);
    else if (detected === Detected.HTTP2) this.#startHttp2(target);
    else this.#startOpaque(target);
  }

  lost(reason: CloseReason): void {
    if (this.#over) return;
    this.#over = true;
    this.#metrics.closed(errnoOf(reason));
    if (this.#target !== null) this.#context.env.targets.release(this.#target);
    this.#context.closed(this);
  }

  drain(): void {}

  abort(): void {
    this.#opening.conn.destroy(true);
  }

  #found(target: OutboundTarget | null, fault: Error | null): void {
    const { env } = this.#context;
    if (this.#over) {
      if (target !== null) env.targets.release(target);
      return;
    }
    if (target === null) {
      const cause = fault?.message ?? "";
      env.log.warn("cannot look up an outbound target", {
        target: formatAddress(this.#original),
        cause,
      });
      env.metrics.failed("outbound", "tcp", "invalid policy");
      this.#opening.conn.destroy(true);
      return;
    }
    this.#target = target;
    if (this.#looksAt(target)) {
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
    const client = this.#leave();
    new DownstreamHttp1(this.#context, this.#sideOf(target), client).begin();
    this.#context.closed(this);
  }

  #startHttp2(target: OutboundTarget): void {
    const client = this.#leave();
    new DownstreamHttp2(this.#context, this.#sideOf(target), client).begin();
    this.#context.closed(this);
  }

  #startOpaque(target: OutboundTarget): void {
    const client = this.#leave();
    new OpaqueRelay(this.#context, client, new OutboundHops(this.#context, target)).begin();
    this.#context.closed(this);
  }

  /** What the next phase gets; the target is its to release from now on. */
  #leave(): Client {
    this.#over = true;
    const { conn, intake, ended, paused } = this.#opening;
    this.#opening.leave();
    this.#metrics.read(intake.length);
    const out = new Outlet(conn, this.#metrics, this.#context.gatherer);
    return { out, intake, ended, paused };
  }
}

function protocolOf(detected: Detected): string {
  if (detected === Detected.HTTP1) return "http/1";
  return detected === Detected.HTTP2 ? "http/2" : "opaque";
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
