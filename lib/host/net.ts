/**
 * TCP and TLS connections as the rest of the mesh sees them. The Bun adapter is in `bun-net.ts`, the
 * simulated one in `test/sim`. Callbacks, not promises: this is the byte path.
 *
 * A connection's life: `open` → (`secure`) → `data`* / `drain`* / `end`? → `close`, where `close` comes
 * exactly once and last, whoever ended it. Half-open is the rule: after `end` (the peer's FIN) one
 * may still write; after `shutdown` one may still read.
 */

import type { SocketAddress } from "../mesh/address.ts";

/** Why a connection ended: `none` is a clean end of both sides. */
export type CloseReason =
  | "none"
  | "refused"
  | "unreachable"
  | "timeout"
  | "reset"
  | "tls"
  | "local"
  | "other";

/** What a TLS handshake established. */
export interface TlsPeer {
  /** The peer's certificate in DER when it showed one that chains to the trust anchors, else null. */
  readonly certificate: Uint8Array | null;
  readonly alpn: string | null;
  readonly serverName: string | null;
  /** An earlier handshake with the same peer was resumed; its certificate is the one shown then. */
  readonly resumed: boolean;
}

/**
 * What a kind of connection does with its events. One shared object per kind; `conn.data` holds what
 * belongs to the single connection. A chunk belongs to whoever gets it and is never reused.
 */
export interface ConnHandler<D> {
  /** The connection is established (for TLS: before the handshake). */
  open(conn: Conn<D>): void;
  /** The TLS handshake succeeded and the peer was verified as asked for. */
  secure(conn: Conn<D>, peer: TlsPeer): void;
  data(conn: Conn<D>, chunk: Uint8Array): void;
  /** After a short write: there is room again. */
  drain(conn: Conn<D>): void;
  end(conn: Conn<D>): void;
  /** Also called, without `open` before it, when a connection could not be made. */
  close(conn: Conn<D>, reason: CloseReason): void;
}

/** One connection. */
export interface Conn<D> {
  data: D;
  /** May be replaced at any time: the phases of a connection have a handler each. */
  handler: ConnHandler<D>;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  /**
   * Writes `bytes[offset, offset + length)`. Returns how many bytes were taken, perhaps fewer (then
   * `drain` follows), or −1 when the connection is closed. The bytes taken are copied or sent.
   */
  write(bytes: Uint8Array, offset: number, length: number): number;
  /** Sends FIN after what was taken by `write`; reading goes on. */
  shutdown(): void;
  /** Closes both sides at once; with `reset` the peer sees RST. `close` follows, reason `local`. */
  destroy(reset?: boolean): void;
  pause(): void;
  resume(): void;
  /** Where the connection was going before it was redirected; null when it was not. */
  originalDestination(): SocketAddress | null;
  /**
   * Makes a freshly accepted connection a TLS server connection; only in `open`, before anything was
   * read (for later, see `Net.pair`). `secure` or `close` with reason `tls` follows.
   */
  startTls(options: TlsServerOptions): void;
}

/** Key material and trust of one side; all PEM. A client without a certificate leaves its texts empty. */
export interface TlsMaterial {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustAnchors: string;
}

/** TLS 1.3 as a server. A client certificate is asked for, not demanded. */
export interface TlsServerOptions extends TlsMaterial {
  readonly alpn: readonly string[];
}

/** TLS 1.3 as a client: the server must chain to the anchors and have `peerName` as a DNS SAN. */
export interface TlsClientOptions extends TlsMaterial {
  readonly serverName: string;
  readonly peerName: string;
  readonly alpn: readonly string[];
}

/** How to make a connection. */
export interface ConnectOptions {
  readonly address: SocketAddress;
  readonly timeoutMs: number;
  /** Absent: plain TCP. */
  readonly tls?: TlsClientOptions;
  /** SO_MARK for the socket, where the redirect is told apart by mark; 0 sets none. */
  readonly mark?: number;
}

/** A listening socket. */
export interface Listener {
  readonly address: SocketAddress;
  /** Stops accepting; open connections go on. */
  stop(): void;
}

/** The network of a host. */
export interface Net {
  /** Throws `Fault` `unavailable` when the address is taken or cannot be bound. */
  listen<D>(address: SocketAddress, handler: ConnHandler<D>, data: () => D): Listener;
  /** Calls no handler before it has returned. */
  connect<D>(options: ConnectOptions, handler: ConnHandler<D>, data: D): Conn<D>;
  /**
   * Two connected ends inside this process: the first brings what is written to the second and the
   * other way round, and the second counts as accepted (`startTls` works in its `open`). It has the
   * addresses of the connection that it stands for. Calls no handler before it has returned; throws
   * `Fault` `resource_exhausted` when there are no descriptors left.
   */
  pair<A, B>(
    near: readonly [ConnHandler<A>, A],
    far: readonly [ConnHandler<B>, B],
    addresses: ConnAddresses,
  ): readonly [Conn<A>, Conn<B>];
}

/** The two ends of a connection. */
export interface ConnAddresses {
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
}
