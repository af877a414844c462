/**
 * An HTTP/2 server with prior knowledge: in TLS 1.3 with or without ALPN, or plain for loopback. A
 * renewed certificate counts for connections that are made after; open ones go on. Knows no gRPC.
 */

import { constants, createServer as createHttp2, type Http2Session } from "node:http2";
import type { Http2Server, ServerHttp2Stream } from "node:http2";
import { createServer as createTcp, type Server as TcpServer, type Socket } from "node:net";
import { createServer as createTls, type TlsOptions, type TLSSocket } from "node:tls";
import { Fault } from "../base/fault.ts";
import { CONTROL_STREAMS_PER_CONNECTION_MAX } from "../base/limits.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { H2Headers } from "./h2-client.ts";
import type { TlsMaterial } from "./net.ts";

/** A peer that says nothing for so long is asked by TCP whether it is still there. */
const KEEP_ALIVE_DELAY_MS = 20_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** One request and its answer. All methods do nothing once the stream is closed. */
export interface H2ServerStream {
  readonly method: string;
  readonly path: string;
  readonly headers: H2Headers;
  /** The client's certificate in DER when it showed one of our trust anchors, else null. */
  readonly clientCertificate: Uint8Array | null;
  /** The request's body. Rejects with `resource_exhausted` above the limit, `unavailable` on reset. */
  body(bytesMax: number): Promise<Uint8Array>;
  /** Sends the headers; with `end` nothing follows. */
  respond(headers: Readonly<Record<string, string | number>>, end?: boolean): void;
  /** Sends or queues a part of the body. False: more than enough is queued, wait for `drain`. */
  write(bytes: Uint8Array): boolean;
  /** Ends the body with trailers. */
  end(trailers: Readonly<Record<string, string>>): void;
  /** Resets the stream. */
  reset(): void;
  /** Takes no further stream on this stream's connection; the client makes a new one. */
  retireConnection(): void;
  /** Called each time when the queue is empty again after `write` returned false. */
  onDrain(call: () => void): void;
  /** Called once when the stream is over, also when it already is. */
  onClose(call: () => void): void;
}

/** How to serve. */
export interface H2ServerOptions {
  readonly address: SocketAddress;
  /** Absent: plain HTTP/2. */
  readonly tls?: TlsMaterial;
  readonly stream: (stream: H2ServerStream) => void;
}

/** A running server. */
export interface H2Server {
  readonly address: SocketAddress;
  /** Shows this certificate to connections from now on. */
  setTls(tls: TlsMaterial): void;
  /** Stops accepting and tells clients to connect elsewhere; streams under way go on. */
  drain(): void;
  /** Stops accepting and ends all connections. */
  close(): Promise<void>;
}

/** Listens. Rejects with `unavailable` when the address is taken or cannot be bound. */
export async function serveH2(options: H2ServerOptions): Promise<H2Server> {
  const sessions = new Set<Http2Session>();
  const http2 = createHttp2({
    settings: { maxConcurrentStreams: CONTROL_STREAMS_PER_CONNECTION_MAX },
  });
  http2.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => session.destroy());
    session.on("close", () => sessions.delete(session));
  });
  http2.on("sessionError", (_error, session) => session.destroy());
  http2.on("stream", (stream, headers) => {
    options.stream(
      new NodeStream(stream as ServerHttp2Stream, headers as Record<string, string | undefined>),
    );
  });
  const { server, setTls } = options.tls === undefined
    ? plainServer(http2)
    : tlsServer(http2, options.tls);
  const port = await listen(server, options.address);
  let closed: Promise<void> | undefined;
  const stop = () => closed ??= new Promise((resolve) => server.close(() => resolve()));
  return {
    address: { ip: options.address.ip, port },
    setTls,
    drain() {
      void stop();
      for (const session of sessions) session.close();
    },
    async close() {
      const stopped = stop();
      for (const session of sessions) session.destroy();
      await stopped;
    },
  };
}

function plainServer(http2: Http2Server): { server: TcpServer; setTls: () => void } {
  const server = createTcp((socket) => accept(http2, socket));
  return { server, setTls: () => {} };
}

function tlsServer(
  http2: Http2Server,
  first: TlsMaterial,
): { server: TcpServer; setTls: (tls: TlsMaterial) => void } {
  const server = createTls({
    ...tlsOptions(first),
    requestCert: true,
    // Whether a client without certificate is served is the services' business, not the server's.
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  }, (socket: TLSSocket) => {
    // The control clients of the contract offer no ALPN; Node's HTTP/2 insists on the name.
    if (!socket.alpnProtocol) socket.alpnProtocol = "h2";
    accept(http2, socket);
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return { server, setTls: (tls) => server.setSecureContext(tlsOptions(tls)) };
}

function tlsOptions(tls: TlsMaterial): TlsOptions {
  return {
    cert: tls.certificateChain,
    key: tls.privateKey,
    ca: tls.trustAnchors,
    minVersion: "TLSv1.3",
  };
}

function accept(http2: Http2Server, socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  socket.on("error", () => socket.destroy());
  http2.emit("connection", socket);
}

function listen(server: TcpServer, address: SocketAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: Error & { code?: string }) => {
      const where = `${address.ip}:${address.port}`;
      const message = `Cannot listen on "${where}": ${cause.code ?? cause.message}, ` +
        "expected a free address of this machine";
      reject(new Fault("unavailable", message, { cause }));
    });
    server.listen(address.port, address.ip, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : address.port);
    });
  });
}

class NodeStream implements H2ServerStream {
  readonly #stream: ServerHttp2Stream;
  readonly headers: H2Headers;
  #closed = false;

  constructor(stream: ServerHttp2Stream, headers: H2Headers) {
    this.#stream = stream;
    this.headers = headers;
    // A reset is no error of ours; `close` follows and tells those who wait.
    stream.on("error", () => {});
    stream.on("close", () => this.#closed = true);
  }

  get method(): string {
    return this.headers[":method"] ?? "";
  }

  get path(): string {
    return this.headers[":path"] ?? "";
  }

  get clientCertificate(): Uint8Array | null {
    const socket = this.#stream.session?.socket as TLSSocket | undefined;
    if (socket?.authorized !== true) return null;
    return socket.getPeerCertificate()?.raw ?? null;
  }

  body(bytesMax: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      this.#stream.on("data", (chunk: Uint8Array) => {
        bytes += chunk.length;
        if (bytes <= bytesMax) chunks.push(chunk);
        else {
          const message = `Cannot take a request of more than ${bytesMax} bytes`;
          reject(new Fault("resource_exhausted", message, { source: "downstream" }));
        }
      });
      this.#stream.on("end", () => resolve(Buffer.concat(chunks)));
      this.onClose(() => {
        reject(new Fault("unavailable", "Cannot read a request: it was reset"));
      });
    });
  }

  respond(headers: Readonly<Record<string, string | number>>, end = false): void {
    if (this.#gone()) return;
    if (this.#stream.headersSent) return;
    if (end) this.#stream.respond(headers, { endStream: true });
    else this.#stream.respond(headers, { waitForTrailers: true });
  }

  write(bytes: Uint8Array): boolean {
    return this.#gone() || this.#stream.write(bytes);
  }

  end(trailers: Readonly<Record<string, string>>): void {
    if (this.#gone()) return;
    this.#stream.on("wantTrailers", () => this.#stream.sendTrailers(trailers));
    this.#stream.end();
  }

  reset(): void {
    if (!this.#gone()) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  retireConnection(): void {
    this.#stream.session?.close();
  }

  onDrain(call: () => void): void {
    this.#stream.on("drain", call);
  }

  onClose(call: () => void): void {
    if (this.#closed) call();
    else this.#stream.once("close", call);
  }

  #gone(): boolean {
    return this.#closed || this.#stream.destroyed || this.#stream.closed;
  }
}
