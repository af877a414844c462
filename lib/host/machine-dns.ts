/**
 * Names as a program of this machine would see them: addresses by the C library (hosts file, whatever
 * nsswitch.conf names), other record types by the name server of resolv.conf.
 */

import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { isIp } from "../mesh/address.ts";
import { bindUdp } from "./dgram.ts";

/** What a look-up came to. `missing`: the name does not exist; `failed`: nobody could say. */
export interface LookedUp {
  readonly status: "found" | "missing" | "failed";
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
}

/** The C library tells no lifetime; half a minute is what resolvers of containers use. */
const TTL_SECONDS = 30;

/** What the C library waits for one name server before it asks the next. */
const QUERY_TIMEOUT_MS = 5_000;

/** The C library asks the first three (MAXNS). */
const SERVERS_MAX = 3;

const FLAG_TRUNCATED = 0x02;
const DNS_PORT = 53;

/** Looks up the addresses of a name. Never rejects. */
export async function lookUpName(name: string): Promise<LookedUp> {
  try {
    const found = await Bun.dns.lookup(name, { backend: "libc" });
    const addresses = [...new Set(found.map(({ address }) => address))];
    return { status: "found", addresses, ttlSeconds: TTL_SECONDS };
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    const missing = code === "DNS_ENOTFOUND" || code === "DNS_ENODATA" || code === "DNS_ENONAME";
    return { status: missing ? "missing" : "failed", addresses: [], ttlSeconds: 0 };
  }
}

/** The name servers of a resolv.conf, with port 53. */
export function readNameServers(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, ip = ""] = /^nameserver\s+([^\s%]+)/.exec(line) ?? [];
    return isIp(ip) ? [ip] : [];
  }).slice(0, SERVERS_MAX);
}

/** Asks the machine's name servers one after another; null when none answers. Never rejects. */
export async function queryMachine(
  packet: Uint8Array,
  servers: readonly string[] = machineNameServers(),
  port: number = DNS_PORT,
): Promise<Uint8Array | null> {
  for (const ip of servers) {
    try {
      const reply = await queryUdp(packet, ip, port);
      const truncated = ((reply[2] ?? 0) & FLAG_TRUNCATED) !== 0;
      return truncated ? await queryTcp(packet, ip, port) : reply;
    } catch {
      // It does not answer: the next one may.
    }
  }
  return null;
}

function machineNameServers(): string[] {
  try {
    return readNameServers(readFileSync("/etc/resolv.conf", "utf8"));
  } catch {
    return []; // A machine without the file has no name server.
  }
}

async function queryUdp(packet: Uint8Array, ip: string, port: number): Promise<Uint8Array> {
  const reply = Promise.withResolvers<Uint8Array>();
  const local = { ip: ip.includes(":") ? "::" : "0.0.0.0", port: 0 };
  const socket = await bindUdp(local, (bytes, from) => {
    // Anybody can send to an open port; only the asked one's answer to this question counts.
    if (from.port !== port || bytes[0] !== packet[0] || bytes[1] !== packet[1]) return;
    reply.resolve(bytes);
  });
  const timer = setTimeout(() => reply.reject(new Error("timeout")), QUERY_TIMEOUT_MS);
  try {
    socket.send(packet, { ip, port });
    return await reply.promise;
  } finally {
    clearTimeout(timer);
    socket.stop();
  }
}

function queryTcp(packet: Uint8Array, ip: string, port: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: ip, port, timeout: QUERY_TIMEOUT_MS });
    let input = Buffer.alloc(0);
    socket.on("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(packet.length);
      socket.write(Buffer.concat([length, packet]));
    });
    socket.on("data", (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      if (input.length < 2 || input.length < 2 + input.readUInt16BE(0)) return;
      resolve(new Uint8Array(input.subarray(2, 2 + input.readUInt16BE(0))));
      socket.destroy();
    });
    socket.on("timeout", () => socket.destroy());
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed without an answer")));
  });
}
