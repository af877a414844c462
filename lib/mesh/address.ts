/**
 * Addresses of the mesh: an IP and a TCP port. Parsing and formatting of `1.2.3.4:80` and `[::1]:80`,
 * and membership in CIDR networks. Names are never resolved here.
 */

import { Fault } from "../base/fault.ts";

/** An IP address in its usual text form (IPv6 without brackets) and a TCP port, 0–65535. */
export interface SocketAddress {
  /** The address in text. */
  readonly ip: string;
  /** The TCP port. */
  readonly port: number;
}

/** A CIDR network, parsed once. `bits` is the address as one number, `prefix` its length in bits. */
export interface Network {
  /** As it was written. */
  readonly text: string;
  /** The IP version. */
  readonly version: 4 | 6;
  /** The address as one number. */
  readonly bits: bigint;
  /** The prefix's length in bits. */
  readonly prefix: number;
}

/** Formats as `ip:port`, with brackets around IPv6. This is also the key for maps. */
export function formatAddress(address: SocketAddress): string {
  return address.ip.includes(":")
    ? `[${address.ip}]:${address.port}`
    : `${address.ip}:${address.port}`;
}

/** Parses `ip:port` or `[ip]:port`. Throws `invalid_argument` for anything else, names included. */
export function parseAddress(text: string): SocketAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const ip = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (ip === undefined || !isIp(ip) || !(port >= 0 && port <= 65_535)) {
    throw new Fault(
      "invalid_argument",
      `Cannot parse address "${text}": expected IPv4:port or [IPv6]:port`,
    );
  }
  return { ip, port };
}

/** Whether the text is an IPv4 or IPv6 address. */
export function isIp(text: string): boolean {
  return ipBits(text) !== undefined;
}

/** Parses `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one. Throws `invalid_argument`. */
export function parseNetwork(text: string): Network {
  const [ip = "", length] = text.split("/");
  const version = ip.includes(":") ? 6 : 4;
  const bits = ipBits(ip);
  const longest = version === 4 ? 32 : 128;
  const prefix = length === undefined ? longest : Number(length);
  if (bits === undefined || !Number.isInteger(prefix) || prefix < 0 || prefix > longest) {
    throw new Fault(
      "invalid_argument",
      `Cannot parse network "${text}": expected a CIDR such as 10.0.0.0/8 or fd00::/8`,
    );
  }
  return { text, version, bits, prefix };
}

/** Whether the network holds the address. An address of the other IP version is never held. */
export function networkContains(network: Network, ip: string): boolean {
  const version = ip.includes(":") ? 6 : 4;
  if (version !== network.version) return false;
  const bits = ipBits(ip);
  if (bits === undefined) return false;
  const shift = BigInt((version === 4 ? 32 : 128) - network.prefix);
  return bits >> shift === network.bits >> shift;
}

/** Whether the address is in 127.0.0.0/8, is ::1, or is an IPv4 loopback mapped into IPv6. */
export function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1" || ip.startsWith("::ffff:127.");
}

/** The address as one number, or undefined when the text is not an IP address. */
export function ipBits(text: string): bigint | undefined {
  return text.includes(":") ? ipv6Bits(text) : ipv4Bits(text);
}

/** The text of an address that is given as one number; IPv6 in the shortest form (RFC 5952). */
export function formatIp(version: 4 | 6, bits: bigint): string {
  if (version === 4) return ipv4Text(bits);
  // An IPv4 address inside IPv6 is written as people and systems write it: ::ffff:10.0.0.1.
  if (bits >> 32n === 0xffffn) return `::ffff:${ipv4Text(bits & 0xffff_ffffn)}`;
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    groups.push(((bits >> shift) & 0xffffn).toString(16));
  }
  const zeros = longestZeros(groups);
  if (zeros.length < 2) return groups.join(":");
  const head = groups.slice(0, zeros.start).join(":");
  const tail = groups.slice(zeros.start + zeros.length).join(":");
  return `${head}::${tail}`;
}

function ipv4Text(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 0xffn).join(".");
}

function longestZeros(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== "0") start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}

function ipv4Bits(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let bits = 0n;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    bits = (bits << 8n) | BigInt(part);
  }
  return bits;
}

function ipv6Bits(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0] ?? "");
  const tail = halves.length === 2 ? ipv6Groups(halves[1] ?? "") : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<bigint>(missing).fill(0n), ...tail];
  return groups.reduce((bits, group) => (bits << 16n) | group, 0n);
}

function ipv6Groups(text: string): bigint[] | undefined {
  if (text === "") return [];
  const groups: bigint[] = [];
  for (const part of text.split(":")) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(BigInt(`0x${part}`));
    else {
      const v4 = ipv4Bits(part);
      if (v4 === undefined) return undefined;
      groups.push(v4 >> 16n, v4 & 0xffffn);
    }
  }
  return groups;
}
