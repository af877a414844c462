// hot
/** The network of the real host: `net.ts` on Bun's sockets, each of which is a `bun-conn.ts`. */

import type { SocketHandler, TLSOptions } from "bun";
import { Fault } from "../base/fault.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import { arrived, BunConn, established, HANDLER, type Host, offerSession } from "./bun-conn.ts";
import { ERRNO_REASONS, reasonOf } from "./bun-reasons.ts";
import { TlsContexts } from "./bun-tls.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Libc, openLibc } from "./ffi.ts";
import { HandshakeTurns } from "./handshake-turns.ts";
import type { Conn, ConnAddresses, ConnectOptions, ConnHandler, Listener, Net } from "./net.ts";

/** Options of all connections that we make. */
interface Common {
  readonly allowHalfOpen: boolean;
  readonly data: BunConn | undefined;
  readonly socket: SocketHandler<BunConn | undefined>;
  readonly tls?: TLSOptions;
}

/** How the network is used. */
export interface BunNetOptions {
  readonly clock?: Clock;
  /**
   * Several threads listen on the same addresses, and the kernel spreads connections over them. Other
   * processes of this user could join them, so it is for those who need it. Default: false.
   */
  readonly sharesPorts?: boolean;
}

/** Makes the network of this machine. The C library is loaded only when it is needed. */
export function createBunNet(options: BunNetOptions = {}): Net {
  const { clock = systemClock, sharesPorts = false } = options;
  let libc: Libc | undefined;
  const host: Host = {
    clock,
    sharesPorts,
    contexts: new TlsContexts(),
    handshakes: new HandshakeTurns(clock),
    libc: () => libc ??= openLibc(),
  };
  return {
    listen: (address, handler, data) => listen(host, address, handler, data),
    connect: (options, handler, data) => connect(host, options, handler, data),
    pair([nearHandler, nearData], [farHandler, farData], { remote, local }) {
      const fds = host.libc().socketPair();
      return [
        adoptEnd(host, fds[0], nearHandler, nearData, { remote: local, local: remote }),
        adoptEnd(host, fds[1], farHandler, farData, { remote, local }),
      ];
    },
  };
}

/** The handler of accepted sockets needs a closure for what its listener knows. */
function listen<D>(
  host: Host,
  address: SocketAddress,
  handler: ConnHandler<D>,
  data: () => D,
): Listener {
  const accepting: SocketHandler<BunConn | undefined> = {
    ...HANDLER, // cold: once per listener
    open(socket) {
      arrived(new BunConn(host, handler as ConnHandler<unknown>, data(), null), socket);
    },
  };
  // `reusePort` is one that Bun's types of listeners do not know.
  const options = {
    hostname: address.ip,
    port: address.port,
    allowHalfOpen: true,
    reusePort: host.sharesPorts,
    data: undefined as BunConn | undefined,
    socket: accepting,
  };
  try { // cold: once per listener
    const listener = Bun.listen<BunConn | undefined>(options);
    return {
      address: { ip: address.ip, port: listener.port },
      stop: () => listener.stop(false),
    };
  } catch (error) {
    const cause = (error as { code?: string }).code ?? String(error);
    throw new Fault( // cold: once per listener
      "unavailable",
      `Cannot listen on "${
        formatAddress(address)
      }": ${cause}, expected a free address of this machine`,
      { cause: error },
    );
  }
}

function connect<D>(
  host: Host,
  options: ConnectOptions,
  handler: ConnHandler<D>,
  data: D,
): Conn<D> {
  const { address, tls, mark = 0 } = options;
  const conn = new BunConn(host, handler as ConnHandler<unknown>, data, address);
  if (tls !== undefined) {
    conn.tlsClient = tls;
    conn.resumption = host.contexts.resumption(tls, address);
    conn.securing = true;
  }
  const common = {
    allowHalfOpen: true,
    data: conn as BunConn | undefined,
    socket: HANDLER,
    ...(tls === undefined ? {} : { tls: host.contexts.client(tls) }), // cold: once per connection
  };
  const begin = () => { // cold: as above
    if (conn.closed) return;
    conn.startTimer(options.timeoutMs);
    if (mark === 0) {
      Bun.connect({ ...common, hostname: address.ip, port: address.port }) // cold: as above
        .catch((error) => conn.finish(reasonOf(error)));
    } else connectMarked(host, conn, address, mark, common);
  };
  if (tls === undefined) begin();
  else host.handshakes.begin(begin);
  return conn as unknown as Conn<D>;
}

/** Bun calls a descriptor that it adopts open at once; it is when it becomes writable. */
function connectMarked(
  host: Host,
  conn: BunConn,
  address: SocketAddress,
  mark: number,
  common: Common,
): void {
  const libc = host.libc();
  const fd = libc.connectMarked(address, mark);
  if (fd < 0) {
    // Nobody may be told of an end before it has the connection in hand.
    queueMicrotask(() => conn.finish(ERRNO_REASONS[-fd] ?? "other")); // cold: failed connection
    return;
  }
  adopt(conn, fd, common, () => libc.isConnected(fd));
}

/** One end of a pair: open as soon as the caller has it. */
function adoptEnd<D>(
  host: Host,
  fd: number,
  handler: ConnHandler<D>,
  data: D,
  { remote, local }: ConnAddresses,
): Conn<D> {
  const conn = new BunConn(host, handler as ConnHandler<unknown>, data, remote, local);
  adopt(conn, fd, { allowHalfOpen: true, data: conn, socket: HANDLER }, () => true);
  return conn as unknown as Conn<D>;
}

/** Bun opens what it adopts before `connect` returns, which is too early for our caller. */
function adopt(conn: BunConn, fd: number, common: Common, connected: () => boolean): void {
  const adopting: SocketHandler<BunConn | undefined> = {
    ...HANDLER, // cold: once per connection, on laptops and for transparent TLS only
    open(socket) {
      if (conn.opened) return;
      conn.socket = socket;
      offerSession(conn, socket);
      queueMicrotask(() => { // cold: as above
        if (conn.closed) socket.terminate();
        else if (!conn.opened && connected()) established(conn, socket);
      });
    },
  };
  (Bun.connect as (options: unknown) => Promise<unknown>)({ ...common, fd, socket: adopting }) // cold: as above
    .catch((error) => conn.finish(reasonOf(error)));
}
