/**
 * A channel to one control-plane service: a shared HTTP/2 connection that is made when it is first
 * needed and again when it broke, and the two kinds of calls over it. The name of the service is
 * resolved by whoever made the channel; each new connection takes the next address and the
 * certificate of that moment. Trying again is the caller's business.
 */

import { Fault } from "../base/fault.ts";
import { CONTROL_MESSAGE_BYTES_MAX } from "../base/limits.ts";
import type { Clock } from "../host/clock.ts";
import { type H2Headers, type H2Session, openH2Session } from "../host/h2-client.ts";
import type { Net, TlsMaterial } from "../host/net.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import { decodeStatusMessage, frameOf, FrameReader } from "./grpc-frame.ts";
import { faultOfGrpc } from "./grpc-status.ts";
import { decodeMessage, encodeMessage, type Method } from "./methods.ts";

/** Where a service is and how to reach it. */
export interface ChannelOptions {
  readonly net: Net;
  readonly clock: Clock;
  /** The addresses of the service, asked for each new connection. */
  readonly resolve: () => Promise<readonly SocketAddress[]>;
  /** Absent: plain HTTP/2, for loopback only. */
  readonly tls?: ChannelTls;
  readonly connectTimeoutMs?: number;
  /** SO_MARK of the connection. Default 0: none. */
  readonly mark?: number;
  readonly observer?: CallsObserver;
}

/** Is told of all calls of a channel. */
export interface CallsObserver {
  began(): void;
  /** The first message has come, after so long. */
  answered(latencyMs: number): void;
  /** The other side, or the loss of the connection, has ended it; null: with the status OK. */
  ended(fault: Fault | null): void;
}

/** TLS of a channel. */
export interface ChannelTls {
  /** What the server's certificate must carry as a DNS name; also the SNI. */
  readonly serverName: string;
  /** Trust anchors, and our certificate; where its texts are empty, none is shown. */
  readonly material: () => TlsMaterial;
}

/** What comes of a stream. After `ended` nothing more comes. */
export interface StreamEvents<O> {
  /** May throw a `Fault`: the stream is cancelled and ends with it. */
  message(message: O): void;
  /** The fault is null when the server ended the stream with the status OK. */
  ended(fault: Fault | null): void;
}

const CONNECT_TIMEOUT_MS = 3_000;
/** linkerd's control plane allows such pings; a dead peer is noticed within 15 s. */
const PING_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;

const HEADERS: H2Headers = {
  "content-type": "application/grpc",
  te: "trailers",
  "user-agent": "malla",
};

/** A shared connection to a service. */
export class Channel {
  readonly #options: ChannelOptions;
  #session: Promise<H2Session> | undefined;
  #usable: H2Session | undefined;
  #nextAddress = 0;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** Calls and waits for the one answer. Rejects with the server's fault, or `deadline_exceeded`. */
  unary<I, O>(
    method: Method<I, O>,
    request: I,
    timeoutMs: number,
  ): Promise<O> {
    return new Promise((resolve, reject) => {
      let answer: O | undefined;
      const cancel = this.stream(method, request, {
        message: (message) => void (answer ??= message),
        ended(fault) {
          timer.cancel();
          if (fault !== null) reject(fault);
          else if (answer !== undefined) resolve(answer);
          else reject(new Fault("internal", `Cannot use an empty answer to ${method.path}`));
        },
      });
      const timer = this.#options.clock.after(timeoutMs, () => {
        cancel();
        const message = `Cannot wait for ${method.path}: no answer within ${timeoutMs} ms`;
        reject(new Fault("deadline_exceeded", message, { source: "upstream", retry: true }));
      });
    });
  }

  /** Opens a stream; returns how to cancel it, after which no event comes. */
  stream<I, O>(
    method: Method<I, O>,
    request: I,
    events: StreamEvents<O>,
  ): () => void {
    const { clock, observer } = this.#options;
    const watched = observer === undefined ? events : observed(events, observer, clock);
    const stream = new ChannelStream(method, watched);
    const frame = frameOf(encodeMessage(method.input, request));
    this.#connected().then(
      (session) => stream.start(session, frame),
      (thrown: unknown) => stream.end(asFault(thrown)),
    );
    return () => stream.cancel();
  }

  /** Closes the connection; calls under way end with `unavailable`, and so does every later one. */
  close(): void {
    this.#closed = true;
    this.#session?.then((session) => session.close(), () => {});
    this.#session = undefined;
  }

  /** Lets calls under way end; the next call makes a new connection with the certificate of then. */
  renew(): void {
    this.#session?.then((session) => session.retire(), () => {});
    this.#session = undefined;
    this.#usable = undefined;
  }

  #connected(): Promise<H2Session> {
    if (this.#closed) return Promise.reject(new Fault("unavailable", "The channel is closed"));
    if (this.#usable !== undefined && !this.#usable.usable) this.renew();
    this.#session ??= this.#connect();
    return this.#session;
  }

  #connect(): Promise<H2Session> {
    const connecting = this.#open();
    connecting.then((session) => {
      if (this.#closed) session.close();
      else if (this.#session === connecting) this.#usable = session;
      // Renewed while it was being made: whoever waited for it has its call on it by then.
      else queueMicrotask(() => session.retire());
    }, () => {
      if (this.#session === connecting) this.#session = undefined;
    });
    return connecting;
  }

  async #open(): Promise<H2Session> {
    const { resolve, tls, net, clock, connectTimeoutMs, mark } = this.#options;
    const addresses = await resolve();
    const address = addresses[this.#nextAddress++ % Math.max(1, addresses.length)];
    if (address === undefined) {
      const name = tls?.serverName ?? "the service";
      throw new Fault("unavailable", `Cannot connect to "${name}": it has no address`);
    }
    return await openH2Session({
      net,
      clock,
      authority: tls?.serverName ?? formatAddress(address),
      pingMs: PING_MS,
      pingTimeoutMs: PING_TIMEOUT_MS,
      connect: {
        address,
        timeoutMs: connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
        mark: mark ?? 0,
        ...(tls === undefined ? {} : { tls: clientTls(tls) }),
      },
    });
  }
}

/** One call: puts messages together and finds out how it ended. */
class ChannelStream<I, O> {
  readonly #method: Method<I, O>;
  readonly #events: StreamEvents<O>;
  readonly #reader = new FrameReader(CONTROL_MESSAGE_BYTES_MAX);
  #cancelCall: (() => void) | undefined;
  #over = false;
  #httpStatus = "";
  #status: Fault | null | undefined;

  constructor(method: Method<I, O>, events: StreamEvents<O>) {
    this.#method = method;
    this.#events = events;
  }

  start(session: H2Session, frame: Uint8Array): void {
    if (this.#over) return;
    try {
      const call = session.call(this.#method.path, HEADERS, frame, {
        headers: (headers) => this.#headers(headers),
        data: (chunk) => this.#data(chunk),
        closed: (fault) =>
          this.end(this.#status === undefined ? this.#noStatus(fault) : this.#status),
      });
      this.#cancelCall = () => call.cancel();
    } catch (thrown) {
      this.end(asFault(thrown));
    }
  }

  cancel(): void {
    this.#over = true;
    this.#cancelCall?.();
  }

  end(fault: Fault | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.ended(fault);
  }

  #headers(headers: H2Headers): void {
    this.#httpStatus ||= headers[":status"] ?? "";
    const number = headers["grpc-status"];
    if (number === undefined) return;
    const message = decodeStatusMessage(headers["grpc-message"] ?? "");
    this.#status = number === "0" ? null : faultOfGrpc(Number(number), message, this.#method.path);
  }

  #data(chunk: Uint8Array): void {
    if (this.#over || this.#httpStatus !== "200") return;
    try {
      this.#reader.push(chunk, (bytes) => {
        if (!this.#over) {
          this.#events.message(decodeMessage(this.#method.output, bytes, this.#method.path));
        }
      });
    } catch (thrown) {
      this.#cancelCall?.();
      this.end(asFault(thrown));
    }
  }

  #noStatus(fault: Fault | null): Fault {
    if (fault !== null) return fault;
    const message = `Cannot use the answer to ${this.#method.path}: HTTP status ` +
      `${this.#httpStatus || "missing"} without gRPC status`;
    return new Fault("unavailable", message, { source: "upstream" });
  }
}

/** The same events, of which the observer hears too. */
function observed<O>(
  events: StreamEvents<O>,
  observer: CallsObserver,
  clock: Clock,
): StreamEvents<O> {
  const beganAtMs = clock.monotonicMs();
  let isAnswered = false;
  observer.began();
  return {
    message(message) {
      if (!isAnswered) observer.answered(clock.monotonicMs() - beganAtMs);
      isAnswered = true;
      events.message(message);
    },
    ended(fault) {
      observer.ended(fault);
      events.ended(fault);
    },
  };
}

function clientTls(tls: ChannelTls) {
  const { serverName } = tls;
  return { ...tls.material(), serverName, peerName: serverName, alpn: [] };
}

function asFault(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  return new Fault("internal", "A control call failed", { cause: thrown });
}
