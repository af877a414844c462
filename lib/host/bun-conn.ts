// hot
/**
 * One connection of the real host, on one of Bun's sockets. All sockets share a few handler objects and
 * `socket.data` is our connection, so that an event costs no look-up and no closure. This file turns
 * Bun's events into the order that `net.ts` promises, above all: `close` exactly once.
 */

import type { Socket, SocketHandler, TLSOptions } from "bun";
import type { SocketAddress } from "../mesh/address.ts";
import { isOver, peerDer, serverAccepted } from "./bun-peer.ts";
import { reasonOf } from "./bun-reasons.ts";
import type { Resumption, TlsContexts } from "./bun-tls.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Libc } from "./ffi.ts";
import type { HandshakeTurns } from "./handshake-turns.ts";
import type { CloseReason, Conn, ConnHandler, TlsClientOptions, TlsServerOptions } from "./net.ts";

/** For peers that open a connection and then say nothing; the reference waits as long. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/**
 * A process that was not run for a while finds its timers over first, and only then what came meanwhile.
 * So long a wait lets the event loop look at its sockets once more before a connection is given up.
 */
const LATE_EVENTS_MS = 1;
/** A peer that vanished without a word is noticed after some 20 s, as `setKeepAlive` sets it. */
const KEEP_ALIVE_DELAY_MS = 10_000;

/** A socket whose data is our connection; absent on the raw half below a TLS connection. */
export type BunSocket = Socket<BunConn | undefined>;

/** What Bun's types say of this is that nothing is returned. */
interface SessionSource {
  getSession(): Uint8Array | undefined;
}

/** `upgradeTLS` takes `isServer`, which Bun's types do not know. */
interface ServerUpgrade {
  upgradeTLS(options: {
    isServer: true;
    tls: TLSOptions;
    data: BunConn;
    socket: SocketHandler<BunConn | undefined>;
  }): [raw: BunSocket, tls: BunSocket];
}

/** What all connections of a network share. */
export interface Host {
  readonly clock: Clock;
  readonly sharesPorts: boolean;
  readonly contexts: TlsContexts;
  readonly handshakes: HandshakeTurns;
  readonly libc: () => Libc;
}

/** One connection. `ended`: the peer's half is over, `shut`: ours is. */
export class BunConn implements Conn<unknown> {
  data: unknown;
  handler: ConnHandler<unknown>;
  socket: BunSocket | null = null;
  opened = false;
  closed = false;
  ended = false;
  shut = false;
  /** What the close is to be called, when we know better than the socket's own error. */
  reason: CloseReason | null = null;
  tlsClient: TlsClientOptions | null = null;
  /** Until the server's ticket is there, which comes before its first bytes. */
  resumption: Resumption | null = null;
  /** A TLS handshake is expected or under way. */
  securing = false;
  timer: Timer | null = null;
  readonly #host: Host;
  #remote: SocketAddress | null;
  #local: SocketAddress | null;

  constructor(
    host: Host,
    handler: ConnHandler<unknown>,
    data: unknown,
    remote: SocketAddress | null,
    local: SocketAddress | null = null,
  ) {
    this.#host = host;
    this.handler = handler;
    this.data = data;
    this.#remote = remote;
    this.#local = local;
  }

  get nowMs(): number {
    return this.#host.clock.nowMs();
  }

  get remote(): SocketAddress {
    const socket = this.socket;
    this.#remote ??= { ip: plainIp(socket?.remoteAddress), port: socket?.remotePort ?? 0 };
    return this.#remote;
  }

  get local(): SocketAddress {
    const socket = this.socket;
    this.#local ??= { ip: plainIp(socket?.localAddress), port: socket?.localPort ?? 0 };
    return this.#local;
  }

  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.closed || this.socket === null) return -1;
    const took = this.socket.write(bytes, offset, length);
    // The peer has reset the connection, and this write has taken the error that would have told of it.
    if (took < 0) this.reason ??= "reset";
    return took;
  }

  shutdown(): void {
    if (this.closed || this.shut) return;
    this.shut = true;
    this.socket?.shutdown();
  }

  destroy(reset = false): void {
    if (this.closed) return;
    this.reason ??= "local";
    // `end` would wait for the peer's close_notify on TLS; `close` does not.
    if (reset) this.socket?.terminate();
    else this.socket?.close();
    this.finish("local");
  }

  pause(): void {
    if (!this.closed) this.socket?.pause();
  }

  resume(): void {
    if (!this.closed) this.socket?.resume();
  }

  originalDestination(): SocketAddress | null {
    const fd = (this.socket as (BunSocket & { readonly fd: number }) | null)?.fd ?? -1;
    return fd < 0 ? null : this.#host.libc().originalDestination(fd);
  }

  startTls(options: TlsServerOptions): void {
    if (this.closed || this.socket === null) return;
    this.securing = true;
    // The getters' answers do not survive the upgrade, so they are asked for now.
    void this.remote, void this.local;
    // What the client says meanwhile must be there for the upgraded socket.
    const waits = this.#host.handshakes.isBusy;
    if (waits) this.socket.pause();
    this.#host.handshakes.begin(() => { // cold: once per connection
      if (this.closed || this.socket === null) return;
      this.startTimer(HANDSHAKE_TIMEOUT_MS);
      if (waits) this.socket.resume();
      this.#upgrade(this.socket, options);
    });
  }

  #upgrade(socket: BunSocket, options: TlsServerOptions): void {
    const upgrade = socket as unknown as ServerUpgrade;
    const [raw, tls] = upgrade.upgradeTLS({
      isServer: true,
      tls: this.#host.contexts.server(options),
      data: this,
      socket: HANDLER,
    });
    // The raw half goes on telling of ciphertext and of its own end; nobody listens.
    raw.data = undefined;
    this.socket = tls;
  }

  startTimer(delayMs: number): void {
    this.timer?.cancel();
    const { clock } = this.#host;
    this.timer = clock.after(delayMs, () => { // cold: once per connection
      this.timer = clock.after(LATE_EVENTS_MS, () => { // cold: as above
        this.reason = this.opened && this.securing ? "tls" : "timeout";
        this.destroy(true);
      });
    });
  }

  stopTimer(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  /** Tells the handler of the end, the first time. */
  finish(reason: CloseReason): void {
    if (this.closed) return;
    this.closed = true;
    // The server said nothing: perhaps it did not like the session, so the next handshake is a whole one.
    this.resumption?.drop();
    this.stopTimer();
    this.handler.close(this, this.reason ?? reason);
  }
}

/** The one handler object of all sockets, plain and TLS, accepted and made. */
export const HANDLER: SocketHandler<BunConn | undefined> = {
  open(socket) {
    const conn = socket.data;
    // A TLS server connection has its `open` behind it; a marked one is open when it is writable.
    if (conn === undefined || conn.opened || conn.socket === socket) return;
    if (conn.closed) {
      socket.terminate();
      return;
    }
    conn.socket = socket;
    offerSession(conn, socket);
    established(conn, socket);
  },
  data(socket, chunk) {
    const conn = socket.data;
    if (conn === undefined || conn.closed) return;
    if (!conn.opened) established(conn, socket);
    if (conn.resumption !== null) keepSession(conn, socket);
    conn.handler.data(conn, chunk);
  },
  drain(socket) {
    const conn = socket.data;
    if (conn === undefined || conn.closed) return;
    if (!conn.opened) established(conn, socket);
    // Bun tells of a drain around the handshake, when nobody has written yet.
    else if (!conn.securing) conn.handler.drain(conn);
  },
  handshake(socket, success, error) {
    const conn = socket.data;
    if (conn === undefined || conn.closed) return;
    if (!conn.opened) established(conn, socket);
    if (!conn.closed) handshakeDone(conn, socket, success, error);
  },
  end(socket) {
    const conn = socket.data;
    if (conn === undefined || conn.closed) return;
    if (conn.securing || conn.reason !== null) conn.destroy();
    else endOnce(conn);
  },
  close(socket, error) {
    const conn = socket.data;
    if (conn === undefined || conn.closed) return;
    // A peer that goes away in the handshake has refused us, whatever the socket says.
    if (conn.opened && conn.securing) conn.reason ??= "tls";
    if (error === undefined && conn.reason === null) {
      // The FIN that answers ours closes the socket, and Bun does not tell of it separately.
      if (conn.shut) endOnce(conn);
      conn.finish(conn.ended && conn.shut ? "none" : "reset");
    } else conn.finish(reasonOf(error));
  },
  error(socket, error) {
    if (typeof (error as { code?: unknown }).code !== "string") {
      // A handler threw: that is a bug of ours, and it must not vanish here.
      queueMicrotask(() => { // cold: never in a healthy process
        throw error; // cold: see above
      });
      return;
    }
    const conn = socket.data;
    if (conn !== undefined) conn.reason ??= "tls";
  },
  connectError(socket, error) {
    socket.data?.finish(reasonOf(error));
  },
};

/** A listener has brought a connection. */
export function arrived(conn: BunConn, socket: BunSocket): void {
  conn.socket = socket;
  conn.opened = true;
  socket.data = conn;
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  conn.handler.open(conn);
}

function endOnce(conn: BunConn): void {
  if (conn.ended) return;
  conn.ended = true;
  conn.handler.end(conn);
}

/** A connection is open: TLS, if any, is to follow. */
export function established(conn: BunConn, socket: BunSocket): void {
  conn.opened = true;
  conn.stopTimer();
  if (conn.securing) conn.startTimer(HANDSHAKE_TIMEOUT_MS);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  conn.handler.open(conn);
}

function handshakeDone(
  conn: BunConn,
  socket: BunSocket,
  success: boolean,
  error: Error | null,
): void {
  const client = conn.tlsClient;
  const resumed = socket.isSessionReused();
  const accepted = (client === null ? success : serverAccepted(client, socket, error)) &&
    !(resumed && isOver(socket, conn.nowMs));
  if (!accepted) {
    conn.reason = "tls";
    conn.destroy();
    return;
  }
  conn.securing = false;
  conn.stopTimer();
  const alpn = socket.alpnProtocol;
  conn.handler.secure(conn, {
    certificate: client !== null || socket.authorized ? peerDer(socket) : null,
    alpn: typeof alpn === "string" && alpn !== "" ? alpn : null,
    serverName: client?.serverName ?? (socket.getServername() || null),
    resumed,
  });
}

/** Offers the server the TLS session that there is of it. */
export function offerSession(conn: BunConn, socket: BunSocket): void {
  const session = conn.resumption?.find();
  if (session !== undefined) socket.setSession(session as Uint8Array<ArrayBuffer>);
}

function keepSession(conn: BunConn, socket: BunSocket): void {
  const session = (socket as unknown as SessionSource).getSession();
  if (session !== undefined) conn.resumption?.keep(session);
  conn.resumption = null;
}

function plainIp(ip: string | undefined): string {
  if (ip === undefined) return "";
  return ip.startsWith("::ffff:") && ip.includes(".") ? ip.substring(7) : ip;
}
