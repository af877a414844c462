/** The control API in TLS: who is believed, whose certificate is shown, and what slow readers cost. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { CONTROL_BACKLOG_BYTES_MAX } from "../base/limits.ts";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import type { TlsMaterial } from "../host/net.ts";
import type { CertificateRequest } from "../mesh/certifier.ts";
import type { Discovery, Sink } from "../mesh/discovery.ts";
import { authorityPem, issueLeaf, makeAuthorities } from "../pki/issuer.ts";
import { generateKey } from "../pki/key.ts";
import { toPem } from "../pki/pem.ts";
import { Channel, type ChannelTls } from "./channel.ts";
import { createCertifier, createDiscovery } from "./client.ts";
import { frameOf } from "./grpc-frame.ts";
import { CERTIFY, GET_ENDPOINTS, WATCH_SERVER_POLICY } from "./methods.ts";
import { defaultResource } from "./resource.ts";
import { type ControlServer, type ControlServices, serveControl } from "./server.ts";

const NAME = "server.test";
const REQUEST: CertificateRequest = {
  identity: "a",
  token: new Uint8Array(),
  csr: new Uint8Array(),
};
const ISSUED = { leaf: new Uint8Array([1]), intermediates: [], validUntilMs: 1 };
const CERTIFIER = { certify: () => Promise.resolve(ISSUED) };

let cleanups: (() => unknown)[] = [];
let server: TlsMaterial;

beforeEach(async () => {
  server = await materialFor(NAME);
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
});

/** A leaf for the name, below an authority of its own. */
async function materialFor(name: string): Promise<TlsMaterial> {
  const nowMs = Date.now();
  const lifetimeMs = 3_600_000;
  const { issuer, trustAnchors } = await makeAuthorities({ mesh: "test", nowMs, lifetimeMs });
  const keys = await generateKey();
  const { publicDer } = keys;
  const uri = "spiffe://test/ns/a/sa/b";
  const { der } = await issueLeaf(issuer, { publicDer, dnsName: name, uri, nowMs, lifetimeMs });
  return {
    certificateChain: toPem("CERTIFICATE", der) + authorityPem(issuer).certificate,
    privateKey: keys.privatePem,
    trustAnchors,
  };
}

async function serve(
  services: ControlServices,
  more: { demandClientCertificate?: boolean } = {},
): Promise<ControlServer> {
  const address = { ip: "127.0.0.1", port: 0 };
  const running = await serveControl({ ...services, ...more, address, tls: server });
  cleanups.push(() => running.close());
  return running;
}

function channelTo(running: ControlServer, tls: Partial<ChannelTls> = {}): Channel {
  const channel = new Channel({
    net: createBunNet(),
    clock: systemClock,
    resolve: () => Promise.resolve([running.address]),
    tls: {
      serverName: NAME,
      material: () => ({ ...server, certificateChain: "", privateKey: "" }),
      ...tls,
    },
  });
  cleanups.push(() => channel.close());
  return channel;
}

/** A plain HTTP/2 session in TLS, as foreign clients have it. */
async function foreignSession(
  running: ControlServer,
  alpn: readonly string[],
): Promise<{ session: ClientHttp2Session; socket: TLSSocket }> {
  const { port } = running.address;
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername: NAME,
    ca: server.trustAnchors,
    ALPNProtocols: [...alpn],
  });
  cleanups.push(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve());
    socket.once("error", reject);
  });
  // Node's own client insists on the name, like its server.
  if (!socket.alpnProtocol) socket.alpnProtocol = "h2";
  const session = connectHttp2(`https://${NAME}`, { createConnection: () => socket });
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return { session, socket };
}

function statusOf(session: ClientHttp2Session, headers: Record<string, string>, body: Uint8Array) {
  return new Promise<Record<string, unknown>>((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ...headers });
    const seen: Record<string, unknown> = {};
    stream.on("response", (found) => Object.assign(seen, found));
    stream.on("trailers", (found) => Object.assign(seen, found));
    stream.on("data", () => {});
    stream.on("error", reject);
    stream.on("close", () => resolve(seen));
    stream.end(body);
  });
}

describe("TLS", () => {
  test("our client, which offers no ALPN and has no certificate yet, is served", async () => {
    const running = await serve({ certifier: CERTIFIER });
    expect(await createCertifier(channelTo(running)).certify(REQUEST)).toEqual(ISSUED);
  });

  test("a server with another name, or below another anchor, is not believed", async () => {
    const running = await serve({ certifier: CERTIFIER });
    const other = await materialFor(NAME);
    for (
      const tls of [
        { serverName: "other.test" },
        { material: () => ({ ...other, certificateChain: "", privateKey: "" }) },
      ]
    ) {
      const asked = createCertifier(channelTo(running, tls)).certify(REQUEST);
      await expect(asked).rejects.toMatchObject({ code: "unavailable" });
    }
  });

  test("a client with certificate is told from one without", async () => {
    const running = await serve({ certifier: CERTIFIER }, { demandClientCertificate: true });
    const bare = createCertifier(channelTo(running));
    await expect(bare.certify(REQUEST)).rejects.toMatchObject({ code: "unauthenticated" });
    const shown = channelTo(running, { material: () => server });
    expect(await createCertifier(shown).certify(REQUEST)).toEqual(ISSUED);
    const stranger = await materialFor(NAME);
    const material = () => ({ ...stranger, trustAnchors: server.trustAnchors });
    const foreign = createCertifier(channelTo(running, { material }));
    await expect(foreign.certify(REQUEST)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  test("a client that was refused connects anew and is served once it has a certificate", async () => {
    const running = await serve({ certifier: CERTIFIER }, { demandClientCertificate: true });
    let material: TlsMaterial = { ...server, certificateChain: "", privateKey: "" };
    const certifier = createCertifier(channelTo(running, { material: () => material }));
    await expect(certifier.certify(REQUEST)).rejects.toMatchObject({ code: "unauthenticated" });
    material = server;
    expect(await certifier.certify(REQUEST)).toEqual(ISSUED);
  });

  test("a renewed certificate is shown to new connections, open ones go on", async () => {
    const running = await serve({ certifier: CERTIFIER });
    const open = createCertifier(channelTo(running));
    expect(await open.certify(REQUEST)).toEqual(ISSUED);
    const first = server;
    const second = await materialFor(NAME);
    running.setTls(second);
    server = second;
    const { socket } = await foreignSession(running, []);
    expect(socket.authorized).toBe(true);
    server = first;
    expect(await open.certify(REQUEST)).toEqual(ISSUED);
  });

  test.each([[["h2"]], [[]]])("a foreign client with ALPN %p is served", async (alpn) => {
    const running = await serve({ certifier: CERTIFIER });
    const { session, socket } = await foreignSession(running, alpn);
    expect(socket.getProtocol()).toBe("TLSv1.3");
    const seen = await statusOf(
      session,
      { ":path": CERTIFY.path, "content-type": "application/grpc+proto" },
      frameOf(new Uint8Array()),
    );
    expect(seen).toMatchObject({ ":status": 200, "grpc-status": "0" });
  });

  test("TLS 1.2 is refused", async () => {
    const running = await serve({ certifier: CERTIFIER });
    const socket = connectTls({
      host: "127.0.0.1",
      port: running.address.port,
      servername: NAME,
      ca: server.trustAnchors,
      maxVersion: "TLSv1.2",
    });
    cleanups.push(() => socket.destroy());
    const outcome = await new Promise((resolve) => {
      socket.once("secureConnect", () => resolve("secure"));
      socket.once("error", () => resolve("refused"));
      socket.once("close", () => resolve("refused"));
    });
    expect(outcome).toBe("refused");
  });
});

describe("bad requests", () => {
  const grpc = { ":path": CERTIFY.path, "content-type": "application/grpc" };
  const long = new Uint8Array(100_000);
  const cases: [string, Record<string, string>, Uint8Array, Record<string, unknown>][] = [
    ["no gRPC", { ...grpc, "content-type": "text/plain" }, long, { ":status": 415 }],
    ["an unknown method", { ...grpc, ":path": "/x.Y/Z" }, frameOf(long), { "grpc-status": "12" }],
    ["no message", grpc, new Uint8Array(), { "grpc-status": "3" }],
    ["half a message", grpc, new Uint8Array([0, 0, 0, 0, 9, 1]), { "grpc-status": "3" }],
    ["two messages", grpc, new Uint8Array(10), { "grpc-status": "3" }],
    ["no protobuf", grpc, frameOf(new Uint8Array([0xff, 0xff])), { "grpc-status": "3" }],
    ["a compressed message", grpc, new Uint8Array([1, 0, 0, 0, 0]), { "grpc-status": "12" }],
    ["a message that is too long", grpc, frameOf(long), { "grpc-status": "8" }],
  ];
  test.each(cases)("%s", async (_what, headers, body, wanted) => {
    const running = await serve({ certifier: CERTIFIER });
    const { session } = await foreignSession(running, ["h2"]);
    expect(await statusOf(session, headers, body)).toMatchObject(wanted);
  });
});

describe("a reader that does not read", () => {
  /** A watch whose client never reads, so that HTTP/2's window fills up. */
  async function stalled(path: string) {
    const sinks: Sink<never>[] = [];
    let unwatched = 0;
    const keep = (...all: unknown[]) => {
      sinks.push(all.at(-1) as Sink<never>);
      return () => void unwatched++;
    };
    const discovery: Discovery = {
      watchEndpoints: keep,
      watchProfile: keep,
      watchClientPolicy: keep,
      watchServerPolicy: keep,
    };
    const running = await serve({ discovery });
    const { session } = await foreignSession(running, ["h2"]);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
    });
    stream.pause();
    stream.on("error", () => {});
    // PortSpec{port: 1}; as a GetDestination it is one without a path, which a fake does not mind.
    stream.end(
      frameOf(path === WATCH_SERVER_POLICY.path ? new Uint8Array([16, 1]) : new Uint8Array()),
    );
    await until(() => sinks.length === 1);
    return { stream, sink: sinks[0] as Sink<unknown>, unwatched: () => unwatched };
  }

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  }

  test("gets the newest state when it reads again, not all that came between", async () => {
    const { stream, sink } = await stalled(WATCH_SERVER_POLICY.path);
    const states = 2_000;
    const filler = "x".repeat(1_000);
    for (let i = 1; i <= states; i++) {
      sink.next({
        protocol: "opaque",
        detectTimeoutMs: 1,
        authorizations: [],
        resource: defaultResource(`${filler} state ${i}.`),
        probes: [],
        probeNetworks: [],
      });
    }
    let text = "";
    stream.setEncoding("latin1");
    stream.on("data", (chunk: string) => text += chunk);
    stream.resume();
    await until(() => text.includes(`state ${states}.`));
    const seen = text.match(/state \d+\./g) ?? [];
    expect(seen.at(-1)).toBe(`state ${states}.`);
    expect(seen.length).toBeLessThan(states / 2);
  });

  test("is cut when changes pile up, since none of them may be left out", async () => {
    const { stream, sink, unwatched } = await stalled(GET_ENDPOINTS.path);
    const closed = new Promise((resolve) => stream.once("close", resolve));
    const labels = { filler: "x".repeat(10_000) };
    const enough = 2 * CONTROL_BACKLOG_BYTES_MAX / labels.filler.length;
    for (let i = 0; i < enough && unwatched() === 0; i++) {
      sink.next({ kind: "add", endpoints: [], labels });
    }
    expect(unwatched()).toBe(1);
    stream.resume();
    await closed;
  });

  test("costs one encoding for many readers", async () => {
    const sinks: Sink<unknown>[] = [];
    const keep = (...all: unknown[]) => {
      sinks.push(all.at(-1) as Sink<unknown>);
      return () => {};
    };
    const discovery: Discovery = {
      watchEndpoints: keep,
      watchProfile: keep,
      watchClientPolicy: keep,
      watchServerPolicy: keep,
    };
    const channel = channelTo(await serve({ discovery }));
    const client = createDiscovery({ destination: channel, policy: channel });
    let told = 0;
    for (let i = 0; i < 20; i++) {
      const asker = { context: "", workload: "" };
      client.watchProfile(asker, "a:1", { next: () => void told++, fail: () => {} });
    }
    await until(() => sinks.length === 20);
    let reads = 0;
    const profile = {
      get fullyQualifiedName() {
        reads++;
        return "web.ns";
      },
      opaque: false,
    };
    for (const sink of sinks) sink.next(profile);
    await until(() => told === 20);
    expect(reads).toBe(1);
  });
});
