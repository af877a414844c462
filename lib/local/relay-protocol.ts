/**
 * What the two processes of a laptop mesh say to each other on a relay's unix socket, before bytes
 * flow. The asking side sends one line, the other answers one byte:
 *
 *     → malla-relay/1 tcp 93.184.216.34:443\n      ← K, then the connection's bytes, both ways
 *     → malla-relay/1 service shop/web:80\n        ← R: refused (then the end); U, T, D alike
 *     → malla-relay/1 resolve example.com\n        ← K, then JSON, then the end
 *     → malla-relay/1 query <DNS message, base64>\n ← K, then the answer's message, then the end
 */

import { formatAddress, parseAddress, type SocketAddress } from "../mesh/address.ts";

/** What is asked for. */
export type RelayRequest =
  | { readonly kind: "tcp"; readonly address: SocketAddress }
  /** A port of a Service, which only the mesh's side can place. */
  | {
    readonly kind: "service";
    readonly namespace: string;
    readonly name: string;
    readonly port: number;
  }
  | { readonly kind: "resolve"; readonly name: string }
  /** For what is not in a program's own resolver: other record types, asked of the name server. */
  | { readonly kind: "query"; readonly packet: Uint8Array };

/** How the asking went; `version` and `bad` are answers to a peer that is not of this program. */
export type RelayStatus =
  | "ok"
  | "refused"
  | "unreachable"
  | "timeout"
  | "denied"
  | "version"
  | "bad";

/** The addresses of a name in the machine's network. */
export interface ResolvedName {
  readonly status: "found" | "missing" | "failed";
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
}

/** The longest request line: a DNS query has at most 512 bytes, in base64 684. */
export const REQUEST_BYTES_MAX = 1_024;

const PROTOCOL = "malla-relay/1";

const CODES: readonly (readonly [RelayStatus, string])[] = [
  ["ok", "K"],
  ["refused", "R"],
  ["unreachable", "U"],
  ["timeout", "T"],
  ["denied", "D"],
  ["version", "V"],
  ["bad", "B"],
];

/** The request's line, with its end. */
export function encodeRequest(request: RelayRequest): Uint8Array {
  return new TextEncoder().encode(`${PROTOCOL} ${request.kind} ${requestTarget(request)}\n`);
}

/** Reads a line without its end; a status says what is wrong with it. */
export function decodeRequest(line: string): RelayRequest | RelayStatus {
  const [protocol, kind, target = "", ...more] = line.split(" ");
  if (protocol !== PROTOCOL) return "version";
  if (more.length > 0 || target === "") return "bad";
  if (kind === "resolve") return { kind, name: target };
  if (kind === "query") return decodeQuery(target);
  if (kind === "service") {
    const [, namespace, name, port] = /^([^/:]+)\/([^/:]+):(\d{1,5})$/.exec(target) ?? [];
    if (namespace === undefined || name === undefined) return "bad";
    return { kind, namespace, name, port: Number(port) };
  }
  if (kind !== "tcp") return "bad";
  try {
    return { kind, address: parseAddress(target) };
  } catch {
    // The peer is told by the status; there is nobody else to tell.
    return "bad";
  }
}

/** The byte that stands for a status. */
export function encodeStatus(status: RelayStatus): Uint8Array {
  const [, letter = "B"] = CODES.find(([name]) => name === status) ?? [];
  return new TextEncoder().encode(letter);
}

/** The status that a byte stands for. */
export function decodeStatus(byte: number): RelayStatus {
  return CODES.find(([, letter]) => letter.charCodeAt(0) === byte)?.[0] ?? "bad";
}

/** Reads the answer to `resolve`; undefined when it is not one. */
export function decodeResolved(text: string): ResolvedName | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // The caller treats it like a failed look-up.
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { status, addresses, ttlSeconds } = value as Partial<Record<string, unknown>>;
  if (status !== "found" && status !== "missing" && status !== "failed") return undefined;
  if (!Array.isArray(addresses) || typeof ttlSeconds !== "number") return undefined;
  return { status, addresses: addresses.map(String), ttlSeconds };
}

function decodeQuery(target: string): RelayRequest | RelayStatus {
  try {
    return { kind: "query", packet: Uint8Array.fromBase64(target) };
  } catch {
    // The peer is told by the status; there is nobody else to tell.
    return "bad";
  }
}

function requestTarget(request: RelayRequest): string {
  if (request.kind === "tcp") return formatAddress(request.address);
  if (request.kind === "resolve") return request.name;
  if (request.kind === "query") return request.packet.toBase64();
  return `${request.namespace}/${request.name}:${request.port}`;
}
