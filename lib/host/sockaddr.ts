/** Socket addresses as the kernel has them: `struct sockaddr_in` and `sockaddr_in6` (Linux). */

import { formatIp, ipBits, type SocketAddress } from "../mesh/address.ts";

const AF_INET = 2;
const AF_INET6 = 10;

/** The type of a TCP socket that does not block and that children do not inherit. */
export const SOCK_STREAM_NONBLOCK_CLOEXEC: number = 1 | 0o4000 | 0o2000000;

/** `struct sockaddr_in6` is the longer of the two. */
export const SOCKADDR_BYTES = 28;

/** An IPv4 address mapped into IPv6 begins like that (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffffn;

/** The address family of an IP address. */
export function familyOf(ip: string): number {
  return ip.includes(":") ? AF_INET6 : AF_INET;
}

/** Reads an address; null for any other family. An IPv4 address mapped into IPv6 comes out as IPv4. */
export function readSockaddr(bytes: Uint8Array): SocketAddress | null {
  const family = at(bytes, 0) | (at(bytes, 1) << 8);
  const port = (at(bytes, 2) << 8) | at(bytes, 3);
  if (family === AF_INET) {
    return { ip: `${at(bytes, 4)}.${at(bytes, 5)}.${at(bytes, 6)}.${at(bytes, 7)}`, port };
  }
  if (family !== AF_INET6) return null;
  let bits = 0n;
  for (let index = 8; index < 24; index++) bits = (bits << 8n) | BigInt(at(bytes, index));
  const mapped = bits >> 32n === MAPPED;
  return { ip: mapped ? formatIp(4, bits & 0xffff_ffffn) : formatIp(6, bits), port };
}

/** The bytes of an address. */
export function writeSockaddr(address: SocketAddress): Uint8Array {
  const v6 = address.ip.includes(":");
  const bytes = new Uint8Array(v6 ? SOCKADDR_BYTES : 16);
  bytes[0] = v6 ? AF_INET6 : AF_INET;
  bytes[2] = address.port >> 8;
  bytes[3] = address.port & 0xff;
  let bits = ipBits(address.ip) ?? 0n;
  for (let index = v6 ? 23 : 7; bits > 0n; index--) {
    bytes[index] = Number(bits & 0xffn);
    bits >>= 8n;
  }
  return bytes;
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
