/**
 * A connection to this pod: from a meshed peer (to our own port, TLS and a transport header) or
 * redirected from the application's port (anything). Finds target, client and protocol.
 *
 *     accepted ─to our port─▶ TLS ─▶ transport header ────────────┐
 *        │                     └ no certificate, no ALPN: closed  ├─▶ HTTP (inbound-http) or opaque
 *        └─redirected─▶ first bytes: HTTP, others' TLS, opaque ───┤
 *                           └ TLS to us (bridge) ─▶ first bytes ──┘
 */

import type { CloseReason, Conn, ConnHandler, TlsPeer } from "../host/net.ts";
import { formatAddress, isLoopback, type SocketAddress } from "../mesh/address.ts";
import type { PortProtocol } from "../mesh/policy.ts";
import { Detected, detectProtocol } from "../wire/http1/mod.ts";
import { parseClientHello } from "../wire/tls-hello.ts";
import { decodeTransportHeader, TRANSPORT_PROTOCOL } from "../wire/transport-header.ts";
import { certificateDnsNames } from "../wire/x509-san.ts";
import { bridge } from "./bridge.ts";
import { type Client, enterPhase, NO_EVENTS, type PathContext, type Session } from "./context.ts";
import { detectedAs } from "./detect.ts";
import { DownstreamHttp1 } from "./downstream-http1.ts";
import { DownstreamHttp2 } from "./downstream-http2.ts";
import type { ErrorKind } from "./environment.ts";
import { InboundClient } from "./inbound-client.ts";
import { InboundHttp } from "./inbound-http.ts";
import { InboundHop } from "./inbound-opaque.ts";
import { passedTls, type TlsState } from "./labels.ts";
import { OpaqueRelay } from "./opaque.ts";
import { OPENING, Opening, type OpeningOwner } from "./opening.ts";
import { Outlet } from "./outlet.ts";

/** Takes the connections of the inbound listener. */
export const INBOUND_ACCEPT: ConnHandler<PathContext> = {
  ...NO_EVENTS,
  open(conn) {
    const original = conn.originalDestination() ?? conn.local;
    const way = original.port === conn.local.port ? "direct" : "redirected";
    new InboundConnection(conn.data, conn, original, way).begin();
  },
};

/** Takes what a bridge brings: TLS to our identity that was redirected from the application's port. */
const BRIDGED_ACCEPT: ConnHandler<{ context: PathContext; original: SocketAddress }> = {
  ...NO_EVENTS,
  open(conn) {
    const { context, original } = conn.data;
    new InboundConnection(context, conn, original, "bridged").begin();
  },
};

/** How a connection got here: to our own port, or from the application's. */
type Way = "direct" | "redirected" | "bridged";

/** As the label says it. */
const SESSION_PROTOCOLS = { http1: "http/1", http2: "http/2", opaque: "" } as const;

const PLAIN: TlsState = {
  peerId: null,
  terminated: false,
  passedServerName: null,
  noTlsReason: "no_tls_from_remote",
};

/** What the connection waits for. */
type Stage = "handshake" | "header" | "protocol" | "over";

/** One such connection until its protocol is known. */
class InboundConnection implements Session, OpeningOwner {
  readonly #context: PathContext;
  readonly #opening: Opening;
  readonly #original: SocketAddress;
  readonly #way: Way;
  #tls: TlsState = PLAIN;
  #stage: Stage = "protocol";
  /** The next phase has the connection. */
  #left = false;

  constructor(context: PathContext, conn: Conn<unknown>, original: SocketAddress, way: Way) {
    this.#context = context;
    this.#opening = new Opening(context, conn, this);
    this.#original = original;
    this.#way = way;
    context.opened(this);
    enterPhase(conn, OPENING, this.#opening);
  }

  begin(): void {
    const { settings, identity } = this.#context.env;
    if (!this.#isOurs()) {
      this.#refuse("unexpected", "the address is not this pod's");
      return;
    }
    const detectTimeoutMs = settings.inboundDetectTimeoutMs;
    if (this.#way === "redirected") {
      const { current } = this.#context.env.serverPolicies.port(this.#original.port);
      this.#opening.waitUpTo(current.detectTimeoutMs || detectTimeoutMs);
      this.examine();
      return;
    }
    this.#opening.waitUpTo(detectTimeoutMs);
    const credentials = identity.current();
    if (credentials === null) {
      this.#refuse("identity required", "there is no certificate yet");
      return;
    }
    this.#stage = "handshake";
    const alpn = this.#way === "direct" ? [TRANSPORT_PROTOCOL] : this.#alpn();
    this.#opening.conn.startTls({ ...credentials, alpn });
  }

  secured(peer: TlsPeer): void {
    const names = peer.certificate === null ? [] : certificateDnsNames(peer.certificate);
    const peerId = names[0] ?? null;
    this.#tls = { peerId, terminated: true, passedServerName: null, noTlsReason: "" };
    if (this.#way === "bridged") {
      // The policy says whether the client needs an identity.
      this.#stage = "protocol";
      this.examine();
    } else if (peerId === null) {
      this.#refuse("identity required", "no client certificate of this mesh");
    } else if (peer.alpn !== TRANSPORT_PROTOCOL) {
      this.#refuse("unexpected", `protocol ${peer.alpn ?? "none"} in place of a transport header`);
    } else {
      this.#stage = "header";
      this.examine();
    }
  }

  examine(): void {
    const { timedOut, ended } = this.#opening;
    switch (this.#stage) {
      case "header":
        this.#examineHeader();
        break;
      case "protocol":
        this.#examineProtocol();
        break;
      case "handshake":
        if (timedOut || ended) this.#refuse("tls detection timeout", "no TLS handshake");
        break;
      case "over":
        break;
      default:
        this.#stage satisfies never;
    }
  }

  lost(reason: CloseReason): void {
    if (this.#left) return;
    if (this.#stage === "handshake") {
      this.#context.env.log.debug("a TLS handshake failed", { ...this.#describe(), reason });
      this.#context.env.metrics.failed("inbound", "tcp", "i/o");
    }
    this.#context.closed(this);
  }

  drain(): void {}

  abort(): void {
    this.#opening.conn.destroy(true);
  }

  /**
   * What TLS on the application's port may carry. A client that takes both is given HTTP/1, which more
   * applications speak, unless the policy knows better; one that insists on HTTP/2 (gRPC) gets it.
   */
  #alpn(): readonly string[] {
    const { protocol } = this.#context.env.serverPolicies.port(this.#original.port).current;
    switch (protocol) {
      case "detect":
        return ["http/1.1", "h2"];
      case "http1":
        return ["http/1.1"];
      case "http2":
      case "grpc":
        return ["h2"];
      default:
        return [];
    }
  }

  /** An empty set of own addresses admits any but loopback, whose listeners stay private. */
  #isOurs(): boolean {
    const { inboundIps, ownPorts } = this.#context.env.settings;
    const { ip, port } = this.#original;
    if (inboundIps.size > 0 ? !inboundIps.has(ip) : isLoopback(ip)) return false;
    return this.#way === "direct" || !ownPorts.has(port);
  }

  #examineHeader(): void {
    const { intake, ended, timedOut } = this.#opening;
    const decoded = decodeTransportHeader(intake.bytes, intake.start, intake.end);
    if (decoded.kind === "more") {
      if (ended || timedOut) this.#refuse("unexpected", "no transport header");
      return;
    }
    if (decoded.kind === "invalid") {
      this.#refuse("unexpected", decoded.reason);
      return;
    }
    const { port, name, protocol } = decoded.header;
    if (name !== "") this.#refuse("unexpected", `this is no gateway to "${name}"`);
    else if (this.#context.env.settings.ownPorts.has(port)) {
      this.#refuse("unexpected", `port ${port} is the proxy's own`);
    } else {
      intake.consume(decoded.consumed);
      this.#context.env.metrics.counted("inbound_tcp_transport_header_connections_total", {
        session_protocol: SESSION_PROTOCOLS[protocol],
        target_port: String(port),
        target_name: name,
        client_id: this.#tls.peerId ?? "",
      });
      const client = this.#client({ ip: this.#original.ip, port });
      if (protocol === "http1") this.#startHttp1(client);
      else if (protocol === "http2") this.#startHttp2(client);
      else this.#startOpaque(client);
    }
  }

  #examineProtocol(): void {
    const { intake, ended, timedOut } = this.#opening;
    const { bytes, start, end } = intake;
    const { serverPolicies } = this.#context.env;
    const { protocol } = serverPolicies.port(this.#original.port).current;
    if (protocol === "opaque" || protocol === "tls") {
      this.#startOpaque(this.#client(this.#original));
      return;
    }
    const last = ended || timedOut;
    if (!this.#tls.terminated) {
      const hello = parseClientHello(bytes, start, end);
      if (hello.kind === "more" && !last) return;
      if (hello.kind === "hello") {
        this.#startTls(hello.serverName);
        return;
      }
    }
    const detected = this.#detect(protocol, last);
    if (detected === Detected.MORE && !last) return;
    if (protocol === "detect") this.#opening.detected("inbound", detected);
    if (detected === Detected.HTTP1) this.#startHttp1(this.#client(this.#original));
    else if (detected === Detected.HTTP2) this.#startHttp2(this.#client(this.#original));
    else this.#startOpaque(this.#client(this.#original));
  }

  #detect(protocol: PortProtocol, last: boolean): Detected {
    const known = detectedAs(protocol);
    // A peer's proxy may carry HTTP/1 by HTTP/2: a port of HTTP/1 says nothing of such connections.
    const mayBeOther = known === Detected.HTTP1 && this.#tls.peerId !== null;
    if (known !== null && !mayBeOther) return known;
    const { bytes, start, end } = this.#opening.intake;
    const found = detectProtocol(bytes, start, end);
    if (known === null || found === Detected.HTTP2) return found;
    return found === Detected.MORE && !last ? found : known;
  }

  /** TLS on the application's port: to our identity it is ours, else the application's. */
  #startTls(serverName: string | null): void {
    const credentials = this.#context.env.identity.current();
    if (credentials !== null && serverName === credentials.serverName) {
      this.#stage = "over";
      this.#left = true;
      this.#opening.leave();
      const far = { context: this.#context, original: this.#original };
      bridge(this.#context, this.#opening, [BRIDGED_ACCEPT, far]);
      this.#context.closed(this);
      return;
    }
    this.#tls = passedTls(serverName);
    this.#startOpaque(this.#client(this.#original));
  }

  #client(target: SocketAddress): InboundClient {
    return new InboundClient(this.#context, this.#opening.conn.remote, this.#tls, target);
  }

  #startHttp1(client: InboundClient): void {
    const connection = this.#leave(client);
    new DownstreamHttp1(this.#context, new InboundHttp(this.#context, client), connection).begin();
    this.#context.closed(this);
  }

  #startHttp2(client: InboundClient): void {
    const connection = this.#leave(client);
    new DownstreamHttp2(this.#context, new InboundHttp(this.#context, client), connection).begin();
    this.#context.closed(this);
  }

  #startOpaque(client: InboundClient): void {
    const { env } = this.#context;
    const admitted = client.admittedBy() !== null;
    env.metrics.authorized("tcp", admitted, client.policyLabels());
    if (!admitted) {
      env.log.info("denied a connection", client.describe());
      // A reset can come before a plain client has seen that it is connected, and a kubelet's TCP
      // probe would fail. The kernel still resets whoever has sent something.
      this.#opening.conn.destroy(this.#tls.terminated);
      return;
    }
    const connection = this.#leave(client);
    new OpaqueRelay(this.#context, connection, new InboundHop(this.#context, client)).begin();
    this.#context.closed(this);
  }

  #leave(client: InboundClient): Client {
    this.#stage = "over";
    this.#left = true;
    const { conn, intake, ended, paused } = this.#opening;
    this.#opening.leave();
    const metrics = this.#context.env.metrics.transport({ ...client.policyLabels(), peer: "src" });
    metrics.opened();
    metrics.read(intake.length);
    const out = new Outlet(conn, metrics, this.#context.gatherer);
    return { out, intake, ended, paused };
  }

  #refuse(kind: ErrorKind, reason: string): void {
    const { env } = this.#context;
    env.metrics.failed("inbound", "tcp", kind);
    env.log.debug("refused an inbound connection", { ...this.#describe(), reason });
    this.#stage = "over";
    this.#opening.conn.destroy(true);
  }

  #describe(): Record<string, unknown> {
    const client = formatAddress(this.#opening.conn.remote);
    return { client, id: this.#tls.peerId ?? "", target: formatAddress(this.#original) };
  }
}
