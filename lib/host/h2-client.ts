/**
 * An HTTP/2 client connection with prior knowledge, over a connection of `net.ts`: plain, or in TLS
 * without ALPN. Owns pings, and that each call ends exactly once. Knows no gRPC.
 */

import { Fault } from "../base/fault.ts";
import { type FieldLines, fieldLinesOf, type ResponseHead } from "../wire/http/mod.ts";
import {
  encodeFieldLines,
  ErrorCode,
  errorCodeName,
  type Http2Events,
  Http2Session,
  type Http2Stream,
  SessionSpares,
} from "../wire/http2/mod.ts";
import type { Clock, Timer } from "./clock.ts";
import type { CloseReason, Conn, ConnectOptions, ConnHandler, Net } from "./net.ts";

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
export function openH2Session(options: H2SessionOptions): Promise<H2Session> {
  return new Promise((resolve, reject) => {
    const session = new H2Session(options, resolve, reject);
    session.attach(options.net.connect(options.connect, HANDLER, session));
  });
}

/** A connection that carries any number of calls. */
export class H2Session implements Http2Events<Call> {
  readonly #options: H2SessionOptions;
  readonly #http2: Http2Session<Call>;
  readonly #ready: (session: H2Session) => void;
  readonly #refused: (fault: Fault) => void;
  /** Calls that the peer has no room for yet. */
  readonly #waiting = new Set<Call>();
  #conn: Conn<H2Session> | undefined;
  #pings: Timer | undefined;
  #late: Timer | undefined;
  #state: "connecting" | "open" | "retired" | "closed" = "connecting";
  #fault: Fault | undefined;
  /** It is in the middle of what came: what that writes is sent behind it. */
  #isReceiving = false;
  /** What was written waits for the socket's `drain`. */
  #isBlocked = false;

  constructor(
    options: H2SessionOptions,
    ready: (session: H2Session) => void,
    refused: (fault: Fault) => void,
  ) {
    this.#options = options;
    this.#ready = ready;
    this.#refused = refused;
    this.#http2 = new Http2Session<Call>(false, this, new SessionSpares());
  }

  /** The connection that is being made. */
  attach(conn: Conn<H2Session>): void {
    this.#conn = conn;
  }

  /** False after it was closed or retired by either side: open another one. */
  get usable(): boolean {
    return this.#state === "open";
  }

  /** Sends a request with a body, whole. */
  call(path: string, headers: H2Headers, body: Uint8Array, events: H2CallEvents): H2Call {
    if (this.#state === "closed" || this.#http2.goneAway) {
      throw this.#fault ??
        new Fault("unavailable", `Cannot call ${path}: the connection is closed`);
    }
    const call = new Call(this, path, headers, body, events);
    this.#waiting.add(call);
    this.#serve();
    return call;
  }

  /** Takes no further calls, and closes when the last of those under way has ended. */
  retire(): void {
    if (this.#state === "open") this.#state = "retired";
    this.#rest();
  }

  close(): void {
    this.#end(new Fault("unavailable", "Cannot go on: the connection was closed"));
  }

  /** Gives a call up. */
  cancel(call: Call): void {
    this.#waiting.delete(call);
    if (call.stream !== undefined) this.#http2.reset(call.stream, ErrorCode.CANCEL);
    this.#serve();
  }

  // The connection.

  get isPlain(): boolean {
    return this.#options.connect.tls === undefined;
  }

  connected(): void {
    const { clock, pingMs } = this.#options;
    if (this.#state !== "connecting") return;
    this.#state = "open";
    this.#pings = clock.every(pingMs, () => this.#ping());
    this.#http2.start();
    this.#send();
    this.#ready(this);
  }

  received(chunk: Uint8Array): void {
    this.#isReceiving = true;
    this.#http2.receive(chunk, 0, chunk.length);
    this.#isReceiving = false;
    this.#serve();
  }

  drained(): void {
    this.#isBlocked = false;
    this.#send();
  }

  closedBy(reason: CloseReason): void {
    const { address, tls } = this.#options.connect;
    const name = tls === undefined ? "" : ` as "${tls.peerName}"`;
    const where = `${address.ip}:${address.port}${name}`;
    this.#end(
      new Fault("unavailable", `Cannot talk to ${where}: connection ended (${reason})`, {
        source: "upstream",
      }),
    );
  }

  // What HTTP/2 tells.

  request(): void {}

  interim(): void {}

  response(stream: Http2Stream<Call>, head: ResponseHead, last: boolean): void {
    const call = stream.owner;
    call?.events.headers({ ":status": String(head.status), ...texts(head) });
    if (last) this.#answered(stream, call);
  }

  data(
    stream: Http2Stream<Call>,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const call = stream.owner;
    this.#http2.consumed(stream, end - start);
    if (end > start) call?.events.data(bytes.subarray(start, end));
    if (last) this.#answered(stream, call);
  }

  trailers(stream: Http2Stream<Call>, fields: FieldLines): void {
    const call = stream.owner;
    call?.events.headers(texts(fields));
    this.#answered(stream, call);
  }

  reset(stream: Http2Stream<Call>, code: number): void {
    const text = `Cannot go on: the stream was reset (${errorCodeName(code)})`;
    stream.owner?.end(new Fault("unavailable", text, { source: "upstream" }));
  }

  unblocked(): void {}

  goaway(): void {
    this.retire();
  }

  settled(): void {}

  ponged(): void {
    this.#late?.cancel();
  }

  /** The peer has said all. It need not have read all of the request. */
  #answered(stream: Http2Stream<Call>, call: Call | null): void {
    if (!stream.finished) this.#http2.reset(stream, ErrorCode.NO_ERROR);
    call?.end(null);
  }

  /** Opens streams for calls that wait, and sends what is written. */
  #serve(): void {
    if (this.#isReceiving) return;
    const { sender } = this.#http2;
    for (const call of this.#waiting) {
      if (!sender.mayOpen) break;
      this.#waiting.delete(call);
      const stream = sender.open(false);
      stream.owner = call;
      call.stream = stream;
      sender.beginHeaders();
      encodeFieldLines(sender, call.fields(this.#options.authority));
      sender.endHeaders(stream, false);
      sender.data(stream, call.body, 0, call.body.length, true, true);
    }
    this.#send();
    this.#rest();
  }

  #send(): void {
    const { sender } = this.#http2;
    while (this.#state !== "closed" && !this.#isBlocked && sender.out.length > 0) {
      const { out } = sender;
      const took = this.#conn?.write(out.bytes, out.start, out.length) ?? -1;
      if (took < 0) break;
      this.#isBlocked = took < out.length;
      out.consume(took);
      if (!this.#isBlocked) sender.sent();
    }
    sender.rest();
    const { failed } = this.#http2;
    if (failed === null) return;
    const text = `Cannot go on: the server broke the rules of HTTP/2 (${errorCodeName(failed)})`;
    this.#end(new Fault("unavailable", text, { source: "upstream" }));
  }

  /** Closes a retired connection when nothing is under way. */
  #rest(): void {
    if (this.#state !== "retired" || this.#isReceiving) return;
    if (this.#http2.streams.size > 0) return;
    if (this.#waiting.size > 0 && !this.#http2.goneAway) return;
    this.close();
  }

  #ping(): void {
    // The control plane is trusted: what costs work and brings nothing is forgiven.
    this.#http2.nuisances = 0;
    const { clock, pingTimeoutMs } = this.#options;
    this.#late?.cancel();
    this.#late = clock.after(pingTimeoutMs, () => {
      this.#end(new Fault("unavailable", "Cannot go on: no answer to a ping"));
    });
    this.#http2.sender.ping();
    this.#send();
  }

  #end(fault: Fault): void {
    if (this.#state === "closed") return;
    const isRefused = this.#state === "connecting";
    this.#state = "closed";
    this.#fault = fault;
    this.#pings?.cancel();
    this.#late?.cancel();
    this.#conn?.destroy();
    if (isRefused) this.#refused(fault);
    const lost = this.#http2.streams.values().map((stream) => stream.owner);
    for (const call of [...lost, ...this.#waiting]) call?.end(fault);
    this.#waiting.clear();
  }
}

/** One request and what comes of it. */
class Call implements H2Call {
  readonly events: H2CallEvents;
  readonly body: Uint8Array;
  stream: Http2Stream<Call> | undefined;
  readonly #session: H2Session;
  readonly #path: string;
  readonly #headers: H2Headers;
  #isOver = false;

  constructor(
    session: H2Session,
    path: string,
    headers: H2Headers,
    body: Uint8Array,
    events: H2CallEvents,
  ) {
    this.#session = session;
    this.#path = path;
    this.#headers = headers;
    this.body = body;
    this.events = events;
  }

  /** The request's head. */
  fields(authority: string): FieldLines {
    const head = [[":method", "POST"], [":scheme", "http"], [":authority", authority]] as const;
    const rest = Object.entries(this.#headers).map(([name, value]) => [name, value ?? ""] as const);
    return fieldLinesOf([...head, [":path", this.#path], ...rest]);
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#session.cancel(this);
  }

  end(fault: Fault | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.events.closed(fault);
  }
}

const HANDLER: ConnHandler<H2Session> = {
  open: (conn) => {
    if (conn.data.isPlain) conn.data.connected();
  },
  secure: (conn) => conn.data.connected(),
  data: (conn, chunk) => conn.data.received(chunk),
  drain: (conn) => conn.data.drained(),
  end: (conn) => conn.data.closedBy("none"),
  close: (conn, reason) => conn.data.closedBy(reason),
};

/** The regular fields; several of one name are joined. */
function texts(fields: FieldLines): H2Headers {
  const plain: Record<string, string> = {};
  for (let i = fields.firstRegular; i < fields.count; i++) {
    const name = fields.headerName(i);
    const value = fields.headerText(i);
    plain[name] = name in plain ? `${plain[name]}, ${value}` : value;
  }
  return plain;
}
