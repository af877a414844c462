/**
 * Unix sockets in the same shape as TCP connections (`net.ts`): for the relay between the laptop
 * mesh's namespace and the machine. Cold: no TLS, no marks, and errors are only told apart as far as
 * a relay needs. A listening socket can be reached by its owner alone.
 *
 * A unix socket knows no RST. `destroy` closes both directions at once, and the other side takes an end
 * of both directions that it did not agree to for a reset.
 */

import type { Socket, SocketHandler } from "bun";
import { dlopen, FFIType, ptr } from "bun:ffi";
import { lstatSync, rmSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { CloseReason, Conn, ConnHandler } from "./net.ts";

/** A listening unix socket. */
export interface UnixListener {
  /** Stops accepting and removes the file; open connections go on. */
  stop(): void;
}

type UnixSocket = Socket<UnixConn>;

/** A unix socket has no address; the type of the connections wants one. */
const NO_ADDRESS: SocketAddress = { ip: "", port: 0 };

/** Others may neither read nor write the socket's file. */
const PRIVATE_UMASK = 0o177;

/** Both directions are over (poll.h); the end of the peer's alone would be POLLRDHUP. */
const POLLHUP = 0x10;

/** `sun_path` has 108 bytes, the last one for its end (unix(7)). */
const PATH_BYTES_MAX = 107;

class UnixConn implements Conn<unknown> {
  data: unknown;
  handler: ConnHandler<unknown>;
  readonly remote = NO_ADDRESS;
  readonly local = NO_ADDRESS;
  socket: UnixSocket | null = null;
  closed = false;
  ended = false;
  shut = false;

  constructor(handler: ConnHandler<unknown>, data: unknown) {
    this.handler = handler;
    this.data = data;
  }

  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.closed || this.socket === null) return -1;
    return this.socket.write(bytes, offset, length);
  }

  shutdown(): void {
    if (this.closed || this.shut) return;
    this.shut = true;
    this.socket?.shutdown();
  }

  destroy(): void {
    if (this.closed) return;
    // Closing tells of itself before it returns; the first to say why counts.
    this.closed = true;
    this.socket?.terminate();
    this.handler.close(this, "local");
  }

  pause(): void {
    if (!this.closed) this.socket?.pause();
  }

  resume(): void {
    if (!this.closed) this.socket?.resume();
  }

  originalDestination(): null {
    return null;
  }

  startTls(): never {
    assert(false, "a unix socket speaks no TLS");
  }

  finish(reason: CloseReason): void {
    if (this.closed) return;
    this.closed = true;
    this.handler.close(this, reason);
  }
}

/** One handler object for all sockets; each socket's data is its connection. */
const EVENTS: SocketHandler<UnixConn> = {
  data: ({ data: conn }, chunk) => conn.handler.data(conn, chunk),
  drain: ({ data: conn }) => conn.handler.drain(conn),
  end(socket) {
    const conn = socket.data;
    if (conn.closed || conn.ended) return;
    if (!conn.shut && hungUp(socket)) {
      conn.finish("reset");
      socket.terminate();
      return;
    }
    conn.ended = true;
    conn.handler.end(conn);
  },
  close({ data: conn }, error) {
    if (conn.closed) return;
    // The peer's end that answers ours closes the socket, and Bun does not tell of it separately.
    if (error === undefined && conn.shut && !conn.ended) {
      conn.ended = true;
      conn.handler.end(conn);
    }
    conn.finish(error === undefined && conn.ended && conn.shut ? "none" : "reset");
  },
  error: ({ data: conn }) => conn.finish("other"),
  connectError: ({ data: conn }) => conn.finish("refused"),
};

/**
 * Listens on a unix socket that only this user may connect to; a socket left by a dead process is
 * replaced. Throws `unavailable` when that cannot be.
 */
export function listenUnix<D>(
  path: string,
  handler: ConnHandler<D>,
  data: () => D,
): UnixListener {
  if (new TextEncoder().encode(path).length > PATH_BYTES_MAX) {
    throw new Fault(
      "invalid_argument",
      `Cannot listen on unix socket "${path}": the kernel takes at most ${PATH_BYTES_MAX} bytes`,
    );
  }
  // Between bind and a chmod anybody could connect; the mask leaves no such moment.
  const mask = process.umask(PRIVATE_UMASK);
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path);
    const listener = Bun.listen<UnixConn>({
      unix: path,
      allowHalfOpen: true,
      socket: {
        ...EVENTS,
        open(socket) {
          // The handler's own type of data is known only to the caller.
          const conn = new UnixConn(handler as ConnHandler<unknown>, data());
          conn.socket = socket;
          socket.data = conn;
          conn.handler.open(conn);
        },
      },
    });
    return {
      stop() {
        listener.stop(false);
        rmSync(path, { force: true });
      },
    };
  } catch (cause) {
    throw new Fault("unavailable", `Cannot listen on unix socket "${path}"`, { cause });
  } finally {
    process.umask(mask);
  }
}

/** Connects to a unix socket; `open`, or `close` with a reason, follows. */
export function connectUnix<D>(path: string, handler: ConnHandler<D>, data: D): Conn<D> {
  const conn = new UnixConn(handler as ConnHandler<unknown>, data);
  Bun.connect<UnixConn>({
    unix: path,
    allowHalfOpen: true,
    data: conn,
    socket: {
      ...EVENTS,
      open(socket) {
        if (conn.closed) {
          socket.terminate();
          return;
        }
        conn.socket = socket;
        conn.handler.open(conn);
      },
    },
  }).catch(() => conn.finish("refused"));
  return conn as unknown as Conn<D>;
}

/** Whether the peer has closed its socket, not only ended its direction. */
function hungUp(socket: UnixSocket): boolean {
  // Bun's types do not know the property.
  const { fd } = socket as UnixSocket & { readonly fd: number };
  const entry = new ArrayBuffer(8);
  const view = new DataView(entry);
  view.setInt32(0, fd, true);
  loadedPoll ??= loadPoll();
  loadedPoll(ptr(entry), 1, 0);
  return (view.getInt16(6, true) & POLLHUP) !== 0;
}

/** Loading costs milliseconds; there is nothing to it but the function. */
let loadedPoll: ReturnType<typeof loadPoll> | undefined;

function loadPoll() {
  return dlopen("libc.so.6", {
    poll: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
  }).symbols.poll;
}
