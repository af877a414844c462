/**
 * How the mesh answers a DNS query: from its own table, or with what the machine finds. Independent of
 * how the query came; `dns-server.ts` carries it over UDP and TCP.
 */

import { DNS_NAMES_KEPT_MAX } from "../base/limits.ts";
import { isLoopback } from "../mesh/address.ts";
import {
  type DnsAnswer,
  type DnsQuery,
  readQuery,
  UDP_BYTES_MAX,
  writeAnswer,
} from "./dns-message.ts";
import type { DnsRecord, DnsTable } from "./dns-table.ts";
import type { ResolvedName } from "./relay-protocol.ts";

/** What answering needs. */
export interface DnsResponderOptions {
  /** The table of this moment. */
  readonly table: () => DnsTable;
  readonly clusterDomain: string;
  /** The address by which pods reach the machine: names of its loopback become it. */
  readonly hostAddress: string;
  /** The machine's resolver; never rejects. */
  readonly resolve: (name: string) => Promise<ResolvedName>;
  /** The machine's name server, for types that `resolve` does not know; never rejects. */
  readonly query: (packet: Uint8Array) => Promise<Uint8Array | null>;
  readonly nowMs: () => number;
}

/** How long clients may keep what the mesh says; pods come and go. As cluster DNS has it. */
const OWN_TTL_SECONDS = 5;

/** How long a failure is kept: only so that the questions of one moment cost one look-up. */
const KEPT_FAILURE_MS = 1_000;

/** A look-up under way or done. */
interface Kept {
  readonly answer: Promise<ResolvedName>;
  untilMs: number;
}

/** Answers queries, and remembers for a while what the machine found. */
export class DnsResponder {
  readonly #options: DnsResponderOptions;
  readonly #kept = new Map<string, Kept>();

  constructor(options: DnsResponderOptions) {
    this.#options = options;
  }

  /** The answer's bytes, at most `bytesMax` (null: as many as the client takes over UDP). */
  async answer(bytes: Uint8Array, bytesMax: number | null): Promise<Uint8Array | null> {
    const query = readQuery(bytes);
    if ("bad" in query) return query.bad;
    const limit = bytesMax ?? Math.min(query.udpBytesMax, UDP_BYTES_MAX);
    const own = await this.#find(query);
    if (own !== null) return writeAnswer(query, own, limit);
    // Neither in the mesh nor an address: the machine's name server knows more types than we.
    const reply = await this.#options.query(bytes);
    if (reply === null) return writeAnswer(query, failure("SERVFAIL"), limit);
    return reply.length <= limit ? reply : writeAnswer(query, failure("NOERROR"), 0);
  }

  /** The answer to a query; null: the name server is to say. */
  async #find(query: DnsQuery): Promise<DnsAnswer | null> {
    const { name, type } = query;
    const finding = this.#options.table().find(name, type);
    if (finding.kind === "foreign") {
      return isAddressType(type) ? await this.#resolveForeign(name, type) : null;
    }
    const own = { ttlSeconds: OWN_TTL_SECONDS, authority: this.#options.clusterDomain };
    if (finding.kind === "missing") return { ...own, code: "NXDOMAIN", records: [] };
    if (finding.kind === "empty") return { ...own, code: "NOERROR", records: [] };
    const last = finding.records.at(-1);
    if (last?.type !== "CNAME" || !isAddressType(type)) {
      return { ...own, code: "NOERROR", records: finding.records };
    }
    const behind = this.#options.table().find(last.data, type);
    if (behind.kind !== "foreign") return { ...own, code: "NOERROR", records: finding.records };
    const outside = await this.#resolveForeign(last.data, type);
    return { ...outside, records: [...finding.records, ...outside.records] };
  }

  async #resolveForeign(name: string, type: "A" | "AAAA"): Promise<DnsAnswer> {
    const resolved = await this.#resolveKept(name.toLowerCase());
    if (resolved.status === "failed") return failure("SERVFAIL");
    if (resolved.status === "missing") return failure("NXDOMAIN");
    const records = resolved.addresses.map((ip): DnsRecord => ({
      type: ip.includes(":") ? "AAAA" : "A",
      name,
      data: ip,
    }));
    return {
      code: "NOERROR",
      records: records.filter((record) => record.type === type),
      ttlSeconds: resolved.ttlSeconds,
    };
  }

  #resolveKept(name: string): Promise<ResolvedName> {
    const nowMs = this.#options.nowMs();
    const known = this.#kept.get(name);
    if (known !== undefined && known.untilMs > nowMs) return known.answer;
    // A and AAAA of one name come together: the second one waits for the first one's look-up.
    const kept: Kept = { answer: this.#resolveNow(name), untilMs: Number.POSITIVE_INFINITY };
    this.#kept.delete(name);
    this.#kept.set(name, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > DNS_NAMES_KEPT_MAX && oldest !== undefined) this.#kept.delete(oldest);
    void kept.answer.then(({ status, ttlSeconds }) => {
      const keepMs = status === "found" ? ttlSeconds * 1_000 : KEPT_FAILURE_MS;
      kept.untilMs = this.#options.nowMs() + keepMs;
    });
    return kept.answer;
  }

  async #resolveNow(name: string): Promise<ResolvedName> {
    if (name === "localhost" || name.endsWith(".localhost")) {
      return { status: "found", addresses: ["127.0.0.1", "::1"], ttlSeconds: OWN_TTL_SECONDS };
    }
    const resolved = await this.#options.resolve(name);
    const addresses = resolved.addresses
      // To a pod, its own loopback is itself; the machine's is somewhere else.
      .map((ip) => isLoopback(ip) ? this.#options.hostAddress : ip);
    // The way out takes a connection before the machine has made it: a client that found IPv6 to lead
    // nowhere could not fall back. So foreign names are IPv4 wherever they can be.
    const four = addresses.filter((ip) => !ip.includes(":"));
    return { ...resolved, addresses: [...new Set(four.length > 0 ? four : addresses)] };
  }
}

function isAddressType(type: string): type is "A" | "AAAA" {
  return type === "A" || type === "AAAA";
}

function failure(code: DnsAnswer["code"]): DnsAnswer {
  return { code, records: [], ttlSeconds: OWN_TTL_SECONDS };
}
