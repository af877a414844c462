/**
 * The few calls of the C library that Bun's sockets do not offer: the destination that a redirected
 * connection had (SO_ORIGINAL_DST), and sockets with a mark (SO_MARK). Linux only. The numbers are
 * those of the kernel's headers, the same on x86-64 and arm64.
 */

import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { Fault } from "../base/fault.ts";
import type { SocketAddress } from "../mesh/address.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const SOL_IP = 0;
const SOL_IPV6 = 41;
/** SO_ORIGINAL_DST at SOL_IP and IP6T_SO_ORIGINAL_DST at SOL_IPV6 share the number. */
const SO_ORIGINAL_DST = 80;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const EINPROGRESS = 115;
/** `struct sockaddr_in6` is the longer of the two. */
const SOCKADDR_BYTES = 28;

/** What `bun-net` needs of the C library. */
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

/** Loads the C library; costs a few milliseconds, so once per process. */
export function openLibc(): Libc {
  const { symbols: c } = dlopen("libc.so.6", {
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    connect: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
    setsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i32,
    },
    getsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
      returns: FFIType.i32,
    },
    socketpair: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr],
      returns: FFIType.i32,
    },
    getpeername: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
    __errno_location: { args: [], returns: FFIType.ptr },
  });
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
      const family = to.ip.includes(":") ? AF_INET6 : AF_INET;
      const fd = c.socket(family, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
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

/** Reads `struct sockaddr_in` or `sockaddr_in6`; null for any other family. */
export function readSockaddr(bytes: Uint8Array): SocketAddress | null {
  const family = at(bytes, 0) | (at(bytes, 1) << 8);
  const port = (at(bytes, 2) << 8) | at(bytes, 3);
  if (family === AF_INET) {
    return { ip: `${at(bytes, 4)}.${at(bytes, 5)}.${at(bytes, 6)}.${at(bytes, 7)}`, port };
  }
  return family === AF_INET6 ? { ip: formatIpv6(bytes, 8), port } : null;
}

/** The bytes of `struct sockaddr_in` or `sockaddr_in6` of an address. */
export function writeSockaddr(address: SocketAddress): Uint8Array {
  const v6 = address.ip.includes(":");
  const bytes = new Uint8Array(v6 ? SOCKADDR_BYTES : 16);
  bytes[0] = v6 ? AF_INET6 : AF_INET;
  bytes[2] = address.port >> 8;
  bytes[3] = address.port & 0xff;
  if (v6) writeIpv6(address.ip, bytes, 8);
  else for (const [index, part] of address.ip.split(".").entries()) bytes[4 + index] = Number(part);
  return bytes;
}

/** RFC 5952 text of 16 bytes; an IPv4 address mapped into IPv6 comes out as IPv4. */
function formatIpv6(bytes: Uint8Array, start: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) {
    groups.push((at(bytes, start + 2 * i) << 8) | at(bytes, start + 2 * i + 1));
  }
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return [12, 13, 14, 15].map((i) => at(bytes, start + i)).join(".");
  }
  let longestAt = 0;
  let longest = 0;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > longest) [longestAt, longest] = [i, run];
  }
  const text = groups.map((group) => group.toString(16));
  if (longest < 2) return text.join(":");
  return `${text.slice(0, longestAt).join(":")}::${text.slice(longestAt + longest).join(":")}`;
}

function writeIpv6(ip: string, bytes: Uint8Array, start: number): void {
  const [head = "", tail = ""] = ip.split("::");
  const first = head === "" ? [] : ipv6Groups(head);
  const last = tail === "" ? [] : ipv6Groups(tail);
  const groups = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  for (const [index, group] of groups.entries()) {
    bytes[start + 2 * index] = group >> 8;
    bytes[start + 2 * index + 1] = group & 0xff;
  }
}

function ipv6Groups(text: string): number[] {
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
