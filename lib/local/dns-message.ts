/**
 * DNS messages: from the bytes of a query to what is asked, and from a finding to the bytes of the
 * answer, truncated where the client's buffer is smaller. Owns dns-packet.
 */

import * as packet from "dns-packet";
import type { DnsRecord } from "./dns-table.ts";

/** A query that can be answered. */
export interface DnsQuery {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly recursionDesired: boolean;
  /** The largest answer that the client takes over UDP. */
  readonly udpBytesMax: number;
  /** The client speaks EDNS, so the answer must too. */
  readonly edns: boolean;
}

/** A query that cannot be answered: with this code, or (null) not at all. */
export interface BadQuery {
  readonly bad: Uint8Array | null;
}

/** How a query is answered. */
export interface DnsAnswer {
  readonly code: "NOERROR" | "NXDOMAIN" | "SERVFAIL" | "NOTIMP" | "FORMERR";
  readonly records: readonly DnsRecord[];
  /** How long the answer may be kept, in seconds. */
  readonly ttlSeconds: number;
  /** The answer is our own to give; nothing found then says for how long. */
  readonly authority?: string;
}

const CODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4 } as const;
const HEADER_BYTES = 12;
const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const OPCODE_MASK = 0x7800;

/** What a client without EDNS takes (RFC 1035 §4.2.1). */
const PLAIN_UDP_BYTES = 512;

/** What crosses any path without fragments (DNS flag day 2020); more is not sent over UDP. */
export const UDP_BYTES_MAX = 1_232;

/** Reads a query. */
export function readQuery(bytes: Uint8Array): DnsQuery | BadQuery {
  if (bytes.length < HEADER_BYTES) return { bad: null };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint16(2);
  // Answering an answer could go on for ever.
  if ((flags & FLAG_RESPONSE) !== 0) return { bad: null };
  if ((flags & OPCODE_MASK) !== 0) return { bad: errorReply(bytes, flags, "NOTIMP") };
  let decoded: packet.DecodedPacket;
  try {
    decoded = packet.decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch {
    // Whatever is wrong with it: there is a code for that.
    return { bad: errorReply(bytes, flags, "FORMERR") };
  }
  const [question, ...more] = decoded.questions ?? [];
  if (question === undefined || more.length > 0) {
    return { bad: errorReply(bytes, flags, "FORMERR") };
  }
  if (!isPlain(question, bytes)) return { bad: errorReply(bytes, flags, "FORMERR") };
  if ((question.class ?? "IN") !== "IN") return { bad: errorReply(bytes, flags, "NOTIMP") };
  const option = decoded.additionals?.find(({ type }) => type === "OPT");
  const offered = option !== undefined && "udpPayloadSize" in option
    ? Number(option.udpPayloadSize)
    : PLAIN_UDP_BYTES;
  return {
    id: view.getUint16(0),
    name: question.name === "." ? "" : question.name.replace(/\.$/, ""),
    type: question.type,
    recursionDesired: (flags & FLAG_RECURSION_DESIRED) !== 0,
    udpBytesMax: Math.min(Math.max(offered, PLAIN_UDP_BYTES), UDP_BYTES_MAX),
    edns: option !== undefined,
  };
}

/**
 * Whether the question comes out as it went in. A label with a dot in it, or with bytes that are no
 * text, would not, and the client would not take the answer for its own.
 */
function isPlain(question: packet.Question, bytes: Uint8Array): boolean {
  const again = packet.encode({ type: "query", questions: [question] }).subarray(HEADER_BYTES);
  return again.equals(bytes.subarray(HEADER_BYTES, HEADER_BYTES + again.length));
}

/** Writes an answer. One that is longer than `bytesMax` says so instead, and the client asks by TCP. */
export function writeAnswer(query: DnsQuery, answer: DnsAnswer, bytesMax: number): Uint8Array {
  const whole = encode(query, answer, false);
  return whole.length <= bytesMax ? whole : encode(query, { ...answer, records: [] }, true);
}

function encode(query: DnsQuery, answer: DnsAnswer, truncated: boolean): Uint8Array {
  const { authority, records } = answer;
  const flags = (authority === undefined ? 0 : FLAG_AUTHORITATIVE) |
    (truncated ? FLAG_TRUNCATED : 0) |
    (query.recursionDesired ? FLAG_RECURSION_DESIRED : 0) |
    FLAG_RECURSION_AVAILABLE | CODES[answer.code];
  const nothing = records.length === 0 && !truncated && authority !== undefined;
  const bytes = packet.encode({
    type: "response",
    id: query.id,
    flags,
    questions: [{ type: query.type, name: query.name, class: "IN" } as packet.Question],
    answers: records.map((record) => toPacket(record, answer.ttlSeconds)),
    authorities: nothing ? [startOfAuthority(authority, answer.ttlSeconds)] : [],
    additionals: query.edns ? [EDNS_OPTION] : [],
  });
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const EDNS_OPTION: packet.Answer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: UDP_BYTES_MAX,
  flags: 0,
  options: [],
  extendedRcode: 0,
  ednsVersion: 0,
  flag_do: false,
} as packet.Answer;

function toPacket(record: DnsRecord, ttl: number): packet.Answer {
  if (record.type !== "SRV") return { ...record, ttl };
  return { ...record, data: { ...record.data, priority: 0, weight: 100 }, ttl };
}

/** The record that says how long a client may remember that there is nothing. */
function startOfAuthority(name: string, ttl: number): packet.Answer {
  const data = {
    mname: `ns.${name}`,
    rname: `hostmaster.${name}`,
    serial: 1,
    refresh: 7_200,
    retry: 1_800,
    expire: 86_400,
    minimum: ttl,
  };
  return { type: "SOA", name, ttl, data };
}

/** The header alone: whoever sent this wants no more. */
function errorReply(query: Uint8Array, flags: number, code: keyof typeof CODES): Uint8Array {
  const reply = new Uint8Array(HEADER_BYTES);
  reply.set(query.subarray(0, 2));
  const kept = flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED);
  new DataView(reply.buffer).setUint16(2, kept | FLAG_RESPONSE | CODES[code]);
  return reply;
}
