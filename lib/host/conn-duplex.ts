/**
 * A connection of `net.ts` as a Node stream, for protocols that are spoken by Node's own modules over
 * our sockets (with their TLS and socket marks). Backpressure goes through in both directions. Cold:
 * control channels only, never the byte path.
 */

import { Duplex } from "node:stream";
import { Fault } from "../base/fault.ts";
import type { CloseReason, Conn, ConnectOptions, ConnHandler, Net, TlsPeer } from "./net.ts";

/** A write that was not yet taken whole. */
interface PendingWrite {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly done: (error?: Error | null) => void;
}

/**
 * Connects, and resolves once bytes can flow: after the handshake where TLS is asked for. Rejects with
 * a `Fault` `unavailable` that tells why the connection failed.
 */
export function connectDuplex(net: Net, options: ConnectOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const stream = new ConnDuplex(options, resolve, reject);
    stream.attach(net.connect(options, HANDLER, stream));
  });
}

class ConnDuplex extends Duplex {
  readonly #options: ConnectOptions;
  readonly #ready: (stream: Duplex) => void;
  readonly #failed: (fault: Fault) => void;
  #conn: Conn<ConnDuplex> | undefined;
  #pending: PendingWrite | undefined;
  #isReady = false;

  constructor(
    options: ConnectOptions,
    ready: (stream: Duplex) => void,
    failed: (fault: Fault) => void,
  ) {
    super({ allowHalfOpen: true });
    this.#options = options;
    this.#ready = ready;
    this.#failed = failed;
  }

  attach(conn: Conn<ConnDuplex>): void {
    this.#conn = conn;
  }

  /** The connection stands; where TLS is wanted it is not yet of use. */
  opened(): void {
    if (this.#options.tls === undefined) this.secured(null);
  }

  secured(_peer: TlsPeer | null): void {
    this.#isReady = true;
    this.#ready(this);
  }

  received(chunk: Uint8Array): void {
    if (!this.push(chunk)) this.#conn?.pause();
  }

  drained(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.#write(pending);
  }

  ended(): void {
    this.push(null);
  }

  closedBy(reason: CloseReason): void {
    const { address, tls } = this.#options;
    const name = tls === undefined ? "" : ` as "${tls.peerName}"`;
    const fault = new Fault(
      "unavailable",
      `Cannot talk to ${address.ip}:${address.port}${name}: connection ended (${reason})`,
      { source: "upstream" },
    );
    if (!this.#isReady) this.#failed(fault);
    this.destroy(reason === "none" || reason === "local" || !this.#isReady ? undefined : fault);
  }

  override _read(): void {
    this.#conn?.resume();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.#write({ bytes: chunk, offset: 0, done });
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#conn?.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#conn?.destroy();
    this.#pending = undefined;
    done(error);
  }

  #write(write: PendingWrite): void {
    const { bytes, offset, done } = write;
    const taken = this.#conn?.write(bytes, offset, bytes.length - offset) ?? -1;
    if (taken < 0) done(new Fault("unavailable", "Cannot write: the connection is closed"));
    else if (offset + taken < bytes.length) {
      this.#pending = { bytes, offset: offset + taken, done };
    } else done();
  }
}

const HANDLER: ConnHandler<ConnDuplex> = {
  open: (conn) => conn.data.opened(),
  secure: (conn, peer) => conn.data.secured(peer),
  data: (conn, chunk) => conn.data.received(chunk),
  drain: (conn) => conn.data.drained(),
  end: (conn) => conn.data.ended(),
  close: (conn, reason) => conn.data.closedBy(reason),
};
