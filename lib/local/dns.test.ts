/** The mesh's DNS: its table, its messages, and a real server asked over UDP and TCP. */

import { afterEach, describe, expect, test } from "bun:test";
import * as packet from "dns-packet";
import { Resolver } from "node:dns/promises";
import { createConnection } from "node:net";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import { bindUdp } from "../host/dgram.ts";
import { lookUpName, queryMachine, readNameServers } from "../host/machine-dns.ts";
import { parseNetwork } from "../mesh/address.ts";
import type { EndpointSlice, Service, SliceEndpoint } from "../source/objects.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { DnsResponder, type DnsResponderOptions } from "./dns-answer.ts";
import { readQuery } from "./dns-message.ts";
import { serveDns } from "./dns-server.ts";
import { DnsTable, reverseName } from "./dns-table.ts";
import type { ResolvedName } from "./relay-protocol.ts";

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function metadata(name: string, labels = {}) {
  return { name, namespace: "shop", labels, annotations: {}, ownerReferences: [] };
}

function service(name: string, ip: string, spec: Partial<Service["spec"]> = {}): Service {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  const clusterIPs = ip === "" ? [] : [ip];
  return {
    kind: "Service",
    metadata: metadata(name),
    spec: { clusterIPs, ipFamilies: [], ports, ...spec },
  };
}

function slice(name: string, endpoints: readonly SliceEndpoint[]): EndpointSlice {
  return {
    kind: "EndpointSlice",
    metadata: metadata(`${name}-1`, { "kubernetes.io/service-name": name }),
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

function endpoint(ip: string, ready = true, hostname = ""): SliceEndpoint {
  const conditions = { ready };
  return { addresses: [ip], conditions, ...(hostname === "" ? {} : { hostname }) };
}

const MANY = Array.from({ length: 60 }, (_, at) => endpoint(`10.42.9.${at + 1}`));

const TABLE = new DnsTable(
  {
    clusterDomain: "cluster.local",
    networks: ["10.42.0.0/16", "10.43.0.0/16"].map(parseNetwork),
    hosts: { "host.malla.internal": "10.41.0.1" },
  },
  [
    service("web", "10.43.0.5"),
    service("both", "10.43.0.6", { clusterIPs: ["10.43.0.6", "fd43::6"] }),
    service("db", "None"),
    service("empty", "None"),
    service("crowd", "None"),
    service("outside", "", { type: "ExternalName", externalName: "Example.com." }),
    service("inside", "", { type: "ExternalName", externalName: "web.shop.svc.cluster.local" }),
    service("circle", "", { type: "ExternalName", externalName: "circle.shop.svc.cluster.local" }),
    service("broken", "", { type: "ExternalName", externalName: `${"x".repeat(64)}.com` }),
  ],
  [
    slice("web", [endpoint("10.42.1.1")]),
    slice("db", [
      endpoint("10.42.1.2", true, "db-0"),
      endpoint("10.42.1.3", true),
      endpoint("10.42.1.4", false, "db-2"),
    ]),
    slice("crowd", MANY),
  ],
);

/** `A 10.43.0.5` and the like for what was found; else the kind of the finding. */
function find(name: string, type = "A"): string {
  const finding = TABLE.find(name, type);
  if (finding.kind !== "found") return finding.kind;
  return finding.records.map(({ type: found, data }) =>
    `${found} ${typeof data === "string" ? data : `${data.target}:${data.port}`}`
  ).join(", ");
}

describe("the table", () => {
  const rows: [string, string, string][] = [
    ["web.shop.svc.cluster.local", "A", "A 10.43.0.5"],
    ["WEB.Shop.svc.cluster.LOCAL", "A", "A 10.43.0.5"],
    ["web.shop.svc.cluster.local", "AAAA", "empty"],
    ["both.shop.svc.cluster.local", "AAAA", "AAAA fd43::6"],
    ["db.shop.svc.cluster.local", "A", "A 10.42.1.2, A 10.42.1.3"],
    ["db-0.db.shop.svc.cluster.local", "A", "A 10.42.1.2"],
    ["10-42-1-3.db.shop.svc.cluster.local", "A", "A 10.42.1.3"],
    ["db-2.db.shop.svc.cluster.local", "A", "missing"],
    ["empty.shop.svc.cluster.local", "A", "empty"],
    ["_http._tcp.web.shop.svc.cluster.local", "SRV", "SRV web.shop.svc.cluster.local:80"],
    [
      "_http._tcp.db.shop.svc.cluster.local",
      "SRV",
      "SRV db-0.db.shop.svc.cluster.local:8080, SRV 10-42-1-3.db.shop.svc.cluster.local:8080",
    ],
    ["_grpc._tcp.web.shop.svc.cluster.local", "SRV", "missing"],
    ["5.0.43.10.in-addr.arpa", "PTR", "PTR web.shop.svc.cluster.local"],
    ["2.1.42.10.in-addr.arpa", "PTR", "PTR db-0.db.shop.svc.cluster.local"],
    ["9.9.42.10.in-addr.arpa", "PTR", "PTR 10-42-9-9.crowd.shop.svc.cluster.local"],
    ["9.8.42.10.in-addr.arpa", "PTR", "missing"],
    ["8.8.8.8.in-addr.arpa", "PTR", "foreign"],
    ["10-42-7-7.shop.pod.cluster.local", "A", "A 10.42.7.7"],
    ["8-8-8-8.shop.pod.cluster.local", "A", "missing"],
    ["host.malla.internal", "A", "A 10.41.0.1"],
    ["nobody.shop.svc.cluster.local", "A", "missing"],
    ["shop.svc.cluster.local", "A", "empty"],
    ["cluster.local", "A", "empty"],
    ["example.com.shop.svc.cluster.local", "A", "missing"],
    ["example.com", "A", "foreign"],
    ["notcluster.local", "A", "foreign"],
    ["outside.shop.svc.cluster.local", "A", "CNAME example.com"],
    [
      "inside.shop.svc.cluster.local",
      "A",
      "CNAME web.shop.svc.cluster.local, A 10.43.0.5",
    ],
    ["broken.shop.svc.cluster.local", "A", "missing"],
    ["", "NS", "foreign"],
  ];
  test.each(rows)("%s %s", (name, type, expected) => {
    expect(find(name, type)).toBe(expected);
  });

  test("an alias of itself ends", () => {
    expect(find("circle.shop.svc.cluster.local").split(", ").length).toBeLessThan(10);
  });

  test("names of IPv6 addresses in reverse", () => {
    expect(reverseName("fd43::6")).toStartWith("6.0.0.0.");
    expect(find(reverseName("fd43::6"), "PTR")).toBe("PTR both.shop.svc.cluster.local");
  });
});

const FOUND: ResolvedName = {
  status: "found",
  addresses: ["93.184.216.34", "2606::1"],
  ttlSeconds: 30,
};

/** Tries again: a port that is free for UDP may be taken for TCP. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = 20;; left--) {
    try {
      return await attempt();
    } catch (cause) {
      if (left === 0) throw cause;
    }
  }
}

/** A server with a fake world outside; gives its address and what was asked of the world. */
async function server(options: Partial<DnsResponderOptions> = {}) {
  const asked: string[] = [];
  const responder = new DnsResponder({
    table: () => TABLE,
    clusterDomain: "cluster.local",
    hostAddress: "10.41.0.1",
    resolve(name) {
      asked.push(name);
      if (name.startsWith("missing")) return Promise.resolve({ ...FOUND, status: "missing" });
      if (name.startsWith("failed")) return Promise.resolve({ ...FOUND, status: "failed" });
      const addresses = name.startsWith("loop")
        ? ["127.0.1.1", "::1"]
        : name.startsWith("six")
        ? ["2001:db8::6"]
        : FOUND.addresses;
      return Promise.resolve({ ...FOUND, addresses });
    },
    query: () => Promise.resolve(null),
    nowMs: () => 0,
    ...options,
  });
  const listen = { ip: "127.0.0.1", port: 0 };
  const common = { net: createBunNet(), clock: systemClock, log: silentLogger, responder };
  const dns = await retried(() => serveDns({ ...common, listen }));
  closers.push(() => dns.stop());
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  resolver.setServers([`127.0.0.1:${dns.address.port}`]);
  return { address: dns.address, asked, resolver };
}

/** Sends one message by UDP and waits for the answer. */
async function ask(port: number, query: packet.Packet | Uint8Array): Promise<packet.DecodedPacket> {
  const reply = Promise.withResolvers<Uint8Array>();
  const socket = await bindUdp({ ip: "127.0.0.1", port: 0 }, (bytes) => reply.resolve(bytes));
  closers.push(() => socket.stop());
  socket.send(query instanceof Uint8Array ? query : packet.encode(query), {
    ip: "127.0.0.1",
    port,
  });
  return packet.decode(Buffer.from(await reply.promise));
}

function question(name: string, type: packet.RecordType = "A"): packet.Packet {
  return {
    type: "query",
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type }],
  };
}

function code(reply: packet.DecodedPacket): string {
  return (reply as packet.DecodedPacket & { rcode: string }).rcode;
}

describe("the server, asked by another implementation", () => {
  test("A, SRV and PTR", async () => {
    const { resolver } = await server();
    expect(await resolver.resolve4("web.shop.svc.cluster.local")).toEqual(["10.43.0.5"]);
    expect(await resolver.resolveSrv("_http._tcp.web.shop.svc.cluster.local")).toEqual([
      { name: "web.shop.svc.cluster.local", port: 80, priority: 0, weight: 100 },
    ]);
    expect(await resolver.reverse("10.43.0.5")).toEqual(["web.shop.svc.cluster.local"]);
  });

  test("an answer that is too long for UDP comes by TCP", async () => {
    const { resolver } = await server();
    expect(await resolver.resolve4("crowd.shop.svc.cluster.local")).toHaveLength(MANY.length);
  });

  test("a name that does not exist, and one that nobody could look up", async () => {
    const { resolver } = await server();
    await expect(resolver.resolve4("x.shop.svc.cluster.local")).rejects.toThrow("ENOTFOUND");
    await expect(resolver.resolve4("missing.example")).rejects.toThrow("ENOTFOUND");
    await expect(resolver.resolve4("failed.example")).rejects.toThrow("ESERVFAIL");
  });
});

describe("messages", () => {
  test("a missing name of the mesh has its authority, and nobody else is asked", async () => {
    const { address, asked } = await server();
    const reply = await ask(address.port, question("example.com.default.svc.cluster.local"));
    expect(code(reply)).toBe("NXDOMAIN");
    expect(reply.flag_aa).toBe(true);
    expect(reply.authorities?.[0]).toMatchObject({ type: "SOA", name: "cluster.local" });
    expect(asked).toEqual([]);
  });

  test("a short buffer gets a truncated answer, a larger one more, and EDNS is answered", async () => {
    const { address } = await server();
    const plain = await ask(address.port, question("crowd.shop.svc.cluster.local"));
    expect(plain.flag_tc).toBe(true);
    expect(plain.answers).toEqual([]);
    expect(plain.additionals).toEqual([]);
    const option = { type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] };
    const edns = await ask(address.port, {
      ...question("web.shop.svc.cluster.local"),
      additionals: [option as unknown as packet.Answer],
    });
    expect(edns.flag_tc).toBe(false);
    expect(edns.additionals?.[0]).toMatchObject({ type: "OPT", udpPayloadSize: 1232 });
  });

  test("the question comes back as it was written", async () => {
    const { address } = await server();
    const reply = await ask(address.port, question("wEb.ShOp.svc.cluster.local"));
    expect(reply.questions?.[0]?.name).toBe("wEb.ShOp.svc.cluster.local");
    expect(reply.answers).toHaveLength(1);
  });

  test("an alias to the outside is followed", async () => {
    const { address } = await server();
    const reply = await ask(address.port, question("outside.shop.svc.cluster.local"));
    expect(reply.answers?.map((answer) => "data" in answer ? answer.data : "")).toEqual([
      "example.com",
      "93.184.216.34",
    ]);
  });

  test("A and AAAA of one name cost one look-up; loopback becomes the machine's address", async () => {
    const { address, asked } = await server();
    const v4 = await ask(address.port, question("loop.example"));
    const v6 = await ask(address.port, question("loop.example", "AAAA"));
    expect(v4.answers?.[0]).toMatchObject({ data: "10.41.0.1" });
    expect([code(v6), v6.answers?.length]).toEqual(["NOERROR", 0]);
    expect(asked).toEqual(["loop.example"]);
  });

  test("foreign names are IPv4 wherever they can be", async () => {
    const { address } = await server();
    const both = await ask(address.port, question("example.com", "AAAA"));
    expect([code(both), both.answers?.length]).toEqual(["NOERROR", 0]);
    const six = await ask(address.port, question("six.example", "AAAA"));
    expect(six.answers?.[0]).toMatchObject({ data: "2001:db8::6" });
  });

  test("other types are asked of the name server as they are, and its answer passed", async () => {
    const query = packet.encode(question("example.com", "TXT"));
    const answered = packet.encode({
      ...question("example.com", "TXT"),
      type: "response",
      answers: [{ type: "TXT", name: "example.com", data: "hello", ttl: 9 }],
    });
    const seen: Uint8Array[] = [];
    const { address } = await server({
      query(bytes) {
        seen.push(bytes);
        return Promise.resolve(new Uint8Array(answered));
      },
    });
    const reply = await ask(address.port, query);
    expect(reply.answers?.[0]).toMatchObject({ type: "TXT", ttl: 9 });
    expect(Buffer.from(seen[0] ?? []).equals(query)).toBe(true);
    const silent = await server();
    expect(code(await ask(silent.address.port, query))).toBe("SERVFAIL");
  });

  test("what is no question gets a code or nothing", () => {
    const good = new Uint8Array(packet.encode(question("example.com")));
    const changed = (at: number, value: number) => good.map((byte, i) => i === at ? value : byte);
    const bad = (bytes: Uint8Array): number | null | undefined => {
      const query = readQuery(bytes);
      if (!("bad" in query)) return undefined;
      return query.bad === null ? null : (query.bad[3] ?? 0) & 15;
    };
    expect(bad(good)).toBe(undefined);
    expect(bad(good.subarray(0, 11))).toBe(null);
    expect(bad(changed(2, 0x81))).toBe(null); // An answer.
    expect(bad(changed(2, 0x29))).toBe(4); // Another opcode.
    expect(bad(changed(5, 0))).toBe(1); // No question.
    expect(bad(good.subarray(0, 20))).toBe(1); // Cut off.
    expect(bad(changed(12, 0xc0))).toBe(1); // A pointer to itself.
    expect(bad(changed(15, 0x2e))).toBe(1); // A dot within a label.
  });

  test("any bytes at all are survived", () => {
    let seed = 42;
    const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) / 0x7fffffff;
    for (let round = 0; round < 2_000; round++) {
      const bytes = new Uint8Array(packet.encode(question("web.shop.svc.cluster.local")));
      for (let flips = 0; flips < 4; flips++) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
      const query = readQuery(bytes.subarray(0, 12 + Math.floor(random() * bytes.length)));
      if ("bad" in query) expect(query.bad?.length ?? 12).toBe(12);
    }
  });
});

test("several queries on one TCP connection, in pieces, then the end", async () => {
  const { address } = await server();
  const one = packet.streamEncode(question("web.shop.svc.cluster.local"));
  const socket = createConnection({ host: "127.0.0.1", port: address.port, allowHalfOpen: true });
  closers.push(() => socket.destroy());
  socket.write(one.subarray(0, 5));
  socket.end(Buffer.concat([one.subarray(5), one]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const all = Buffer.concat(chunks);
  const first = packet.streamDecode(all);
  expect(first.answers?.[0]).toMatchObject({ data: "10.43.0.5" });
  expect(all.length).toBe(2 * (2 + all.readUInt16BE(0)));
});

describe("the machine's resolver", () => {
  test("knows localhost", async () => {
    expect((await lookUpName("localhost")).status).toBe("found");
  });

  test("reads resolv.conf", () => {
    const text = "# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n";
    expect(readNameServers(text)).toEqual(["127.0.0.53", "fe80::1"]);
  });

  test("asks a name server by UDP, and by TCP what is too long", async () => {
    const { address } = await server();
    const query = new Uint8Array(packet.encode(question("crowd.shop.svc.cluster.local")));
    const reply = await queryMachine(query, ["127.0.0.1"], address.port);
    expect(packet.decode(Buffer.from(reply ?? [])).answers).toHaveLength(MANY.length);
  });
});
