/**
 * The few calls of the C library that Bun's sockets do not offer: the destination that a redirected
 * connection had (SO_ORIGINAL_DST), and sockets with a mark (SO_MARK). Linux only. The numbers are
 * those of the kernel's headers, the same on x86-64 and arm64.
 */

import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { Fault } from "../base/fault.ts";
import type { SocketAddress } from "../mesh/address.ts";
import {
  familyOf,
  readSockaddr,
  SOCK_STREAM_NONBLOCK_CLOEXEC,
  SOCKADDR_BYTES,
  writeSockaddr,
} from "./sockaddr.ts";

const AF_UNIX = 1;
const SOL_IP = 0;
const SOL_IPV6 = 41;
/** SO_ORIGINAL_DST at SOL_IP and IP6T_SO_ORIGINAL_DST at SOL_IPV6 share the number. */
const SO_ORIGINAL_DST = 80;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const EINPROGRESS = 115;

/** What connections need of the C library. */
export interface Libc {
  /** null when the connection was not redirected. */
  originalDestination(fd: number): SocketAddress | null;
  /**
   * Starts a connection from a socket with the mark; returns the non-blocking descriptor, or minus
   * the errno when the kernel refused at once. Throws `permission_denied` when the mark is refused.
   */
  connectMarked(address: SocketAddress, mark: number): number;
  /** Two non-blocking sockets of which each brings what is written to the other. Throws on failure. */
  socketPair(): readonly [number, number];
  /** Whether the connection that the descriptor started is established. */
  isConnected(fd: number): boolean;
}

function loadLibrary() {
  const { i32, ptr: pointer, u32 } = FFIType;
  return dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 },
    connect: { args: [i32, pointer, u32], returns: i32 },
    close: { args: [i32], returns: i32 },
    setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
    getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
    socketpair: { args: [i32, i32, i32, pointer], returns: i32 },
    getpeername: { args: [i32, pointer, pointer], returns: i32 },
    __errno_location: { args: [], returns: pointer },
  }).symbols;
}

/** Loads the C library; costs a few milliseconds, so once per process. */
export function openLibc(): Libc {
  const c = loadLibrary();
  // Shared by all calls: the event loop is one thread and no call keeps a pointer.
  const address = new Uint8Array(SOCKADDR_BYTES);
  const length = new Uint32Array(1);
  const value = new Int32Array(1);

  function errno(): number {
    const at = c.__errno_location();
    return at === null ? 0 : read.i32(at, 0);
  }
  function originalAt(fd: number, level: number): SocketAddress | null {
    length[0] = SOCKADDR_BYTES;
    return c.getsockopt(fd, level, SO_ORIGINAL_DST, ptr(address), ptr(length)) === 0
      ? readSockaddr(address)
      : null;
  }
  function setOption(fd: number, level: number, option: number, to: number): boolean {
    value[0] = to;
    return c.setsockopt(fd, level, option, ptr(value), 4) === 0;
  }

  return {
    originalDestination: (fd) => originalAt(fd, SOL_IP) ?? originalAt(fd, SOL_IPV6),
    connectMarked(to, mark) {
      const fd = c.socket(familyOf(to.ip), SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
      if (fd < 0) return -errno();
      if (!setOption(fd, SOL_SOCKET, SO_MARK, mark)) {
        const code = errno();
        c.close(fd);
        throw new Fault(
          "permission_denied",
          `Cannot set socket mark ${mark} (errno ${code}): expected the capability NET_ADMIN`,
        );
      }
      setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
      const bytes = writeSockaddr(to);
      if (c.connect(fd, ptr(bytes), bytes.length) !== 0) {
        const code = errno();
        if (code !== EINPROGRESS && code !== 0) {
          c.close(fd);
          return -code;
        }
      }
      return fd;
    },
    socketPair() {
      const fds = new Int32Array(2);
      if (c.socketpair(AF_UNIX, SOCK_STREAM_NONBLOCK_CLOEXEC, 0, ptr(fds)) !== 0) {
        throw new Fault("resource_exhausted", `Cannot make a socket pair (errno ${errno()})`);
      }
      const [near = -1, far = -1] = fds;
      return [near, far];
    },
    isConnected(fd) {
      length[0] = SOCKADDR_BYTES;
      return c.getpeername(fd, ptr(address), ptr(length)) === 0;
    },
  };
}
