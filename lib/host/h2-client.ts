/**
 * An HTTP/2 client connection with prior knowledge, over a connection of `net.ts`: plain, or in TLS
 * without ALPN. Owns pings, and that each call ends exactly once. Knows no gRPC.
 */

import { connect, constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { Fault } from "../base/fault.ts";
import type { Clock } from "./clock.ts";
import { connectDuplex } from "./conn-duplex.ts";
import type { ConnectOptions, Net } from "./net.ts";

/** Headers by lower-case name, pseudo-headers included. */
export type H2Headers = Readonly<Record<string, string | undefined>>;

/** What comes of a call. After `closed` nothing more comes. */
export interface H2CallEvents {
  /** The response's headers, or its trailers. */
  headers(headers: H2Headers): void;
  data(chunk: Uint8Array): void;
  /** The call is over: `fault` is null when the peer ended it in order. */
  closed(fault: Fault | null): void;
}

/** A call under way. */
export interface H2Call {
  /** Resets the stream; no event follows. */
  cancel(): void;
}

/** A connection that carries any number of calls. */
export interface H2Session {
  /** Sends a request with a body, whole. */
  call(path: string, headers: H2Headers, body: Uint8Array, events: H2CallEvents): H2Call;
  /** False after it was closed by either side: open another one. */
  readonly usable: boolean;
  /** Takes no further calls, and closes when the last of those under way has ended. */
  retire(): void;
  close(): void;
}

/** How to open a session. */
export interface H2SessionOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly connect: ConnectOptions;
  /** The `:authority` of all calls. */
  readonly authority: string;
  /** How often an idle-looking peer is asked for a sign of life, and how long it may take. */
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
}

/** Connects. Rejects with a `Fault` `unavailable`. */
export async function openH2Session(options: H2SessionOptions): Promise<H2Session> {
  const stream = await connectDuplex(options.net, options.connect);
  const session = connect(`http://${options.authority}`, { createConnection: () => stream });
  return new NodeSession(session, options);
}

class NodeSession implements H2Session {
  readonly #session: ClientHttp2Session;
  readonly #options: H2SessionOptions;
  #fault: Fault | undefined;
  #usable = true;
  #greeted = false;

  constructor(session: ClientHttp2Session, options: H2SessionOptions) {
    this.#session = session;
    this.#options = options;
    const pings = options.clock.every(options.pingMs, () => this.#ping());
    session.on("error", (error) => this.#ended(error));
    session.once("remoteSettings", () => this.#greeted = true);
    session.on("goaway", () => this.#ended());
    session.on("close", () => {
      pings.cancel();
      this.#ended();
    });
  }

  get usable(): boolean {
    return this.#usable && !this.#session.closed && !this.#session.destroyed;
  }

  call(path: string, headers: H2Headers, body: Uint8Array, events: H2CallEvents): H2Call {
    const pseudo = { ":method": "POST", ":scheme": "http", ":path": path };
    try {
      const stream = this.#session.request({ ...pseudo, ...headers });
      return new NodeCall(stream, body, events, () => this.#fault);
    } catch (cause) {
      throw new Fault("unavailable", `Cannot call ${path}: the connection is closed`, { cause });
    }
  }

  retire(): void {
    this.#usable = false;
    // Closing before the peer has said hello would reset the calls that were just made.
    if (this.#greeted) this.#session.close();
    else this.#session.once("remoteSettings", () => this.#session.close());
  }

  close(): void {
    this.#usable = false;
    this.#session.destroy();
  }

  #ended(cause?: unknown): void {
    this.#usable = false;
    this.#fault ??= cause instanceof Fault
      ? cause
      : new Fault("unavailable", "Cannot go on: the connection was closed", { cause });
  }

  #ping(): void {
    // Also while it retires: its calls must learn that the peer is gone.
    if (this.#session.destroyed) return;
    const late = this.#options.clock.after(this.#options.pingTimeoutMs, () => {
      this.#ended(new Fault("unavailable", "Cannot go on: no answer to a ping"));
      this.#session.destroy();
    });
    this.#session.ping(() => late.cancel());
  }
}

class NodeCall implements H2Call {
  readonly #stream: ClientHttp2Stream;
  #done = false;

  constructor(
    stream: ClientHttp2Stream,
    body: Uint8Array,
    events: H2CallEvents,
    sessionFault: () => Fault | undefined,
  ) {
    this.#stream = stream;
    let ended = false;
    let cause: unknown;
    const onHeaders = (headers: IncomingHttpHeaders) => {
      if (!this.#done) events.headers(plainHeaders(headers));
    };
    stream.on("response", onHeaders);
    stream.on("trailers", onHeaders);
    stream.on("data", (chunk: Uint8Array) => {
      if (!this.#done) events.data(chunk);
    });
    stream.on("end", () => ended = true);
    stream.on("error", (error) => cause = error);
    stream.on("close", () => {
      if (this.#done) return;
      this.#done = true;
      const { rstCode } = stream;
      const inOrder = ended && cause === undefined &&
        (rstCode === undefined || rstCode === constants.NGHTTP2_NO_ERROR);
      // A connection that broke ends its streams as if the peer had.
      events.closed(sessionFault() ?? (inOrder ? null : resetFault(rstCode)));
    });
    stream.end(body);
  }

  cancel(): void {
    if (this.#done) return;
    this.#done = true;
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }
}

function resetFault(code: number | undefined): Fault {
  return new Fault("unavailable", `Cannot go on: the stream was reset (code ${code ?? "none"})`, {
    source: "upstream",
  });
}

function plainHeaders(headers: IncomingHttpHeaders): H2Headers {
  const plain: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(headers)) {
    plain[name] = Array.isArray(value) ? value.join(", ") : String(value);
  }
  return plain;
}
