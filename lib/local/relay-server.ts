/**
 * The answering side of a relay: takes connections on a unix socket, reads what is asked for, connects
 * in its own network and joins the two. The outer process answers for the egress, the inner one for
 * `--publish`.
 */

import { RELAY_CONNECTIONS_MAX } from "../base/limits.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { CloseReason, Conn, ConnHandler, Net } from "../host/net.ts";
import { listenUnix } from "../host/unix-net.ts";
import type { SocketAddress } from "../mesh/address.ts";
import { Leg, splice } from "./relay-leg.ts";
import {
  decodeRequest,
  encodeStatus,
  type RelayRequest,
  type RelayStatus,
  REQUEST_BYTES_MAX,
  type ResolvedName,
} from "./relay-protocol.ts";

/** What a relay's answering side needs. */
export interface RelayServerOptions {
  readonly path: string;
  readonly net: Net;
  readonly clock: Clock;
  /** Where to connect for a request, tried in this order; none: it is not allowed or not known. */
  readonly place: (request: RelayRequest) => readonly SocketAddress[];
  /** Looks up a name; absent: names are not resolved here. */
  readonly resolve?: (name: string) => Promise<ResolvedName>;
  /** Asks a name server; null: none answered. Absent: none is asked. */
  readonly query?: (packet: Uint8Array) => Promise<Uint8Array | null>;
}

/** A running answering side. */
export interface RelayServer {
  /** How many connections are open now, those that are being asked among them. */
  connections(): number;
  /** Stops listening, removes the socket's file and ends all connections. */
  stop(): void;
}

/** Longer than any connect across the world takes; a program's own limit is usually shorter. */
const CONNECT_TIMEOUT_MS = 30_000;

/** The peer is this same program, so its request comes at once or never. */
const REQUEST_TIMEOUT_MS = 5_000;

/** A connection that waits for something else. */
const IDLE: ConnHandler<Leg> = {
  open() {},
  secure() {},
  data() {},
  drain() {},
  end() {},
  close() {},
};

/** A connection that is being asked: its request may come in pieces. */
class Asking extends Leg {
  head = "";
  timer: Timer | null = null;
}

/** Starts answering. Throws `unavailable` when the socket cannot be made. */
export function serveRelay(options: RelayServerOptions): RelayServer {
  const open = new Set<Conn<Leg>>();
  const handler: ConnHandler<Leg> = {
    ...IDLE,
    open(conn) {
      const leg = conn.data;
      if (open.size >= RELAY_CONNECTIONS_MAX) return conn.destroy();
      open.add(conn);
      leg.conn = conn;
      leg.released = () => open.delete(conn);
      if (leg instanceof Asking) {
        leg.timer = options.clock.after(REQUEST_TIMEOUT_MS, () => conn.destroy());
      }
    },
    data(conn, chunk) {
      if (conn.data instanceof Asking) readRequest(conn.data, chunk, options);
    },
    drain(conn) {
      conn.data.flush();
    },
    end(conn) {
      conn.destroy();
    },
    close(conn) {
      if (conn.data instanceof Asking) conn.data.timer?.cancel();
      conn.data.release();
    },
  };
  const listener = listenUnix<Leg>(options.path, handler, () => new Asking());
  return {
    connections: () => open.size,
    stop() {
      listener.stop();
      for (const conn of [...open]) conn.destroy();
    },
  };
}

function readRequest(leg: Asking, chunk: Uint8Array, options: RelayServerOptions): void {
  // Latin-1 keeps one byte one character, so that bytes behind the line survive.
  leg.head += String.fromCharCode(...chunk.subarray(0, REQUEST_BYTES_MAX));
  const end = leg.head.indexOf("\n");
  if (end < 0) {
    if (leg.head.length >= REQUEST_BYTES_MAX) answer(leg, "bad");
    return;
  }
  leg.timer?.cancel();
  // The asking side sends nothing behind its line before it has the answer.
  if (end !== leg.head.length - 1) return answer(leg, "bad");
  const request = decodeRequest(leg.head.slice(0, end));
  if (typeof request === "string") return answer(leg, request);
  if (request.kind === "resolve") return void answerName(leg, request.name, options);
  if (request.kind === "query") return void answerQuery(leg, request.packet, options);
  const addresses = options.place(request);
  if (addresses.length === 0) return answer(leg, "denied");
  // Nothing may be read before there is a peer to write it to.
  leg.conn?.pause();
  connectFor(leg, addresses, options.net);
}

function connectFor(leg: Asking, addresses: readonly SocketAddress[], net: Net): void {
  const [address, ...others] = addresses;
  if (address === undefined) return answer(leg, "denied");
  const target = new Leg();
  const conn = net.connect({ address, timeoutMs: CONNECT_TIMEOUT_MS }, {
    ...IDLE,
    open(connected) {
      target.conn = connected;
      if (leg.conn === null) return connected.destroy();
      leg.send(encodeStatus("ok"));
      splice(leg, target);
    },
    close(_conn, reason) {
      if (leg.conn === null) return;
      if (others.length > 0) connectFor(leg, others, net);
      else answer(leg, statusOf(reason));
    },
  }, target);
  if (leg.conn === null) return conn.destroy();
  // Whoever asked may go away first; then nobody needs the connection any more.
  leg.conn.handler = {
    ...IDLE,
    drain: () => void leg.flush(),
    end: (asking) => asking.destroy(),
    close() {
      leg.release();
      conn.destroy();
    },
  };
}

async function answerName(leg: Leg, name: string, options: RelayServerOptions): Promise<void> {
  if (options.resolve === undefined) return answer(leg, "denied");
  const resolved = await options.resolve(name);
  leg.send(encodeStatus("ok"));
  leg.send(new TextEncoder().encode(JSON.stringify(resolved)));
  leg.finish();
}

async function answerQuery(
  leg: Leg,
  packet: Uint8Array,
  options: RelayServerOptions,
): Promise<void> {
  const reply = await options.query?.(packet) ?? null;
  if (reply === null) return answer(leg, "unreachable");
  leg.send(encodeStatus("ok"));
  leg.send(reply);
  leg.finish();
}

/** Answers anything but `ok`, and ends. */
function answer(leg: Leg, status: RelayStatus): void {
  // A paused socket would not tell that its peer has gone.
  leg.conn?.resume();
  leg.send(encodeStatus(status));
  leg.finish();
}

function statusOf(reason: CloseReason): RelayStatus {
  if (reason === "refused" || reason === "timeout") return reason;
  return reason === "reset" ? "refused" : "unreachable";
}
