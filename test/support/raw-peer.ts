/** A peer's proxy by hand: TLS with an identity of the mesh, and HTTP/2 frame by frame inside. */

import { connect as connectTls, type TLSSocket } from "node:tls";
import { encodeTransportHeader, TRANSPORT_PROTOCOL } from "../../lib/wire/transport-header.ts";
import type { Credentials } from "../../lib/proxy/environment.ts";
import { type Frame, framesOf, hello, joined } from "./raw-http2.ts";

/** How a peer connects. */
export interface PeerOptions {
  readonly port: number;
  /** null: a client without an identity. */
  readonly credentials: Credentials | null;
  readonly trustAnchors: string;
  /** The server's identity. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

/** One TLS connection; what comes is kept. */
export class RawPeer {
  readonly socket: TLSSocket;
  bytes: Uint8Array = new Uint8Array(0);
  secured = false;
  closed = false;
  error = "";

  constructor(options: PeerOptions) {
    const { port, credentials, trustAnchors, serverName, alpn } = options;
    this.socket = connectTls({
      port,
      host: "127.0.0.1",
      ca: trustAnchors,
      servername: serverName,
      ...(alpn.length > 0 ? { ALPNProtocols: [...alpn] } : {}),
      ...(credentials === null
        ? {}
        : { cert: credentials.certificateChain, key: credentials.privateKey }),
    });
    this.socket.on("secureConnect", () => void (this.secured = true));
    this.socket.on("data", (chunk: Buffer) => void (this.bytes = joined([this.bytes, chunk])));
    this.socket.on("error", (error) => void (this.error ||= error.message));
    this.socket.on("close", () => void (this.closed = true));
  }

  get frames(): Frame[] {
    return framesOf(this.bytes);
  }

  get text(): string {
    return new TextDecoder("latin1").decode(this.bytes);
  }

  send(...parts: readonly Uint8Array[]): void {
    this.socket.write(joined(parts));
  }

  stop(): void {
    this.socket.destroy();
  }
}

/** A proxy of `credentials` that greets another one, to speak HTTP/2 with the application at `port`. */
export function greetAsProxy(options: Omit<PeerOptions, "alpn">, port: number): RawPeer {
  const peer = new RawPeer({ ...options, alpn: [TRANSPORT_PROTOCOL] });
  peer.send(encodeTransportHeader({ port, name: "", protocol: "http2" }), hello());
  return peer;
}
