import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { makeMaterials, type TestMaterial } from "../../test/support/certificates.ts";
import { FullBacklog } from "../../test/support/full-backlog.ts";
import { createBunNet } from "./bun-net.ts";
import { readSockaddr, writeSockaddr } from "./sockaddr.ts";
import { systemClock } from "./clock.ts";
import type { CloseReason, Conn, ConnHandler, Listener, TlsClientOptions, TlsPeer } from "./net.ts";

const SERVER = "web.default.serviceaccount.identity.malla.cluster.local";
const CLIENT = "shop.default.serviceaccount.identity.malla.cluster.local";
const STRANGER = "web.elsewhere.serviceaccount.identity.malla.cluster.local";
const ALPN = ["transport.l5d.io/v1"];

/** Everything that one connection saw, and what it still has to write. */
class Probe {
  conn: Conn<Probe> | null = null;
  events: string[] = [];
  peer: TlsPeer | null = null;
  reason: CloseReason | null = null;
  received = 0;
  readonly hash = createHash("sha256");
  pending: Uint8Array | null = null;
  at = 0;
  finishAfterWrite = false;
  onData: ((probe: Probe, chunk: Uint8Array) => void) | null = null;
  onReady: ((probe: Probe) => void) | null = null;

  send(bytes: Uint8Array, finish: boolean): void {
    this.pending = bytes;
    this.at = 0;
    this.finishAfterWrite = finish;
    this.flush();
  }

  flush(): void {
    if (this.pending === null || this.conn === null) return;
    const took = this.conn.write(this.pending, this.at, this.pending.length - this.at);
    if (took < 0) return;
    this.at += took;
    if (this.at < this.pending.length) return;
    this.pending = null;
    if (this.finishAfterWrite) this.conn.shutdown();
  }
}

const handler: ConnHandler<Probe> = {
  open(conn) {
    conn.data.conn = conn;
    conn.data.events.push("open");
    conn.data.onReady?.(conn.data);
  },
  secure(conn, peer) {
    conn.data.peer = peer;
    conn.data.events.push("secure");
  },
  data(conn, chunk) {
    conn.data.received += chunk.length;
    conn.data.hash.update(chunk);
    conn.data.onData?.(conn.data, chunk);
  },
  drain: (conn) => conn.data.flush(),
  end: (conn) => void conn.data.events.push("end"),
  close(conn, reason) {
    conn.data.events.push("close");
    conn.data.reason = reason;
  },
};

const net = createBunNet();
const open: { stop(): void }[] = [];
let materials: Map<string, TestMaterial>;

beforeAll(() => {
  materials = makeMaterials([SERVER, CLIENT, STRANGER]);
});
afterEach(() => {
  for (const one of open.splice(0)) one.stop();
});

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000; i++) {
    if (condition()) return;
    await Bun.sleep(5);
  }
  throw new Error(`never: ${what}`);
}

function serve(setUp: (probe: Probe) => void): { probes: Probe[]; listener: Listener } {
  const probes: Probe[] = [];
  const listener = net.listen({ ip: "127.0.0.1", port: 0 }, handler, () => {
    const probe = new Probe();
    probes.push(probe);
    setUp(probe);
    return probe;
  });
  open.push(listener);
  return { probes, listener };
}

function material(name: string): TestMaterial {
  const found = materials.get(name);
  if (found === undefined) throw new Error(name);
  return found;
}

function dial(listener: Listener, tls?: { peerName: string; serverName?: string; as?: string }) {
  return dialAs(
    tls && {
      ...material(tls.as ?? CLIENT),
      serverName: tls.serverName ?? tls.peerName,
      peerName: tls.peerName,
      alpn: ALPN,
    },
    listener,
  );
}

function dialAs(tls: TlsClientOptions | undefined, listener: Listener): Probe {
  const probe = new Probe();
  const options = tls === undefined ? {} : { tls };
  probe.conn = net.connect(
    { address: listener.address, timeoutMs: 2_000, ...options },
    handler,
    probe,
  );
  open.push({ stop: () => probe.conn?.destroy(true) });
  return probe;
}

/** Asks, waits for the answer, which a client's next session comes before, and ends the connection. */
async function talk(probes: readonly Probe[], client: Probe): Promise<[Probe, Probe]> {
  await until("secure", () => client.peer !== null);
  client.send(new TextEncoder().encode("question"), false);
  await until("answer", () => client.received > 0);
  const server = probes.at(-1)!;
  client.conn!.destroy();
  server.conn!.destroy();
  return [client, server];
}

/** A TLS server that answers. */
function talkingServer(probe: Probe): void {
  tlsServer(probe);
  probe.onData = () => probe.send(new TextEncoder().encode("answer"), false);
}

function tlsServer(probe: Probe): void {
  probe.onReady = () => probe.conn?.startTls({ ...material(SERVER), alpn: ALPN });
}

describe("plain", () => {
  test("a half-closed client still gets the answer, and close comes once and last", async () => {
    const { probes, listener } = serve((probe) => {
      probe.onData = () => void 0;
    });
    const client = dial(listener);
    client.onReady = () => client.send(new TextEncoder().encode("question"), true);
    await until("end at the server", () => probes[0]?.events.includes("end") ?? false);
    probes[0]!.send(new TextEncoder().encode("answer"), true);
    await until("close", () => client.reason !== null && probes[0]!.reason !== null);
    expect(client.received).toBe(6);
    expect(client.events).toEqual(["open", "end", "close"]);
    expect(probes[0]!.events).toEqual(["open", "end", "close"]);
    expect(client.reason).toBe("none");
  });

  test("a refused connection has no open", async () => {
    const { listener } = serve(() => {});
    listener.stop();
    const client = dial(listener);
    await until("close", () => client.reason !== null);
    expect(client.events).toEqual(["close"]);
    expect(client.reason).toBe("refused");
  });

  test("a reset is seen as a reset", async () => {
    const { probes, listener } = serve(() => {});
    const client = dial(listener);
    await until("open", () => probes.length === 1 && probes[0]!.conn !== null);
    probes[0]!.conn!.destroy(true);
    expect(probes[0]!.reason).toBe("local");
    await until("close", () => client.reason !== null);
    expect(client.reason).toBe("reset");
    expect(client.conn!.write(new Uint8Array(1), 0, 1)).toBe(-1);
  });

  test("a reset is seen as a reset by a write that comes before the event", async () => {
    let taken = 0;
    const client = new Probe();
    const { listener } = serve((server) => {
      server.onData = () => {
        server.conn?.destroy(true);
        taken = client.conn?.write(new Uint8Array(1), 0, 1) ?? 0;
      };
    });
    client.onReady = ({ conn }) => conn?.write(new Uint8Array(1), 0, 1);
    net.connect({ address: listener.address, timeoutMs: 2_000 }, handler, client);
    await until("close", () => client.reason !== null);
    expect(taken).toBe(-1);
    expect(client.events).toEqual(["open", "close"]);
    expect(client.reason).toBe("reset");
  });

  test("destroy before open closes at once and never opens", async () => {
    const { probes, listener } = serve(() => {});
    const client = dial(listener);
    client.conn!.destroy();
    expect(client.events).toEqual(["close"]);
    await until("the server saw it go", () => probes.every((probe) => probe.reason !== null));
    expect(client.events).toEqual(["close"]);
  });

  test.each(["plain", "tls"])(
    "a connection that is made after its time is closed: %s",
    async (kind) => {
      const server = new FullBacklog();
      open.push(server);
      const address = { ip: "127.0.0.1", port: server.port };
      const first = new Probe();
      net.connect({ address, timeoutMs: 10_000 }, handler, first);
      await until("the queue is full", () => first.events.includes("open"));
      const late = new Probe();
      const tls = { ...material(CLIENT), serverName: SERVER, peerName: SERVER, alpn: ALPN };
      const options = { address, timeoutMs: 50, ...(kind === "tls" ? { tls } : {}) };
      net.connect(options, handler, late);
      await until("the end of its time", () => late.reason !== null);
      expect(late.reason).toBe("timeout");
      expect(server.accept()).toBe(true);
      // The kernel has not given up: it asks again, a second after it first did.
      await until("the connection", () => server.accept());
      await until("its end", () => server.closedByPeer(1));
      expect(server.closedByPeer(0)).toBe(false);
      expect(late.events).toEqual(["close"]);
      first.conn?.destroy();
    },
  );

  test("a connection that was made while this process stood still has not timed out", async () => {
    const server = new FullBacklog();
    open.push(server);
    const address = { ip: "127.0.0.1", port: server.port };
    const events: string[] = [];
    for (let round = 0; round < 20; round++) {
      const { promise, resolve } = Promise.withResolvers<string>();
      const told: ConnHandler<Probe> = {
        ...handler,
        open: () => resolve("open"),
        close: (_, reason) => resolve(reason),
      };
      const conn = net.connect({ address, timeoutMs: 20 }, told, new Probe());
      // As on a machine with too few cores: the kernel answers meanwhile.
      queueMicrotask(() => Bun.sleepSync(40));
      events.push(await promise);
      conn.destroy();
      expect(server.accept()).toBe(true);
    }
    expect(new Set(events)).toEqual(new Set(["open"]));
  });

  test("an address that is taken is named", () => {
    const { listener } = serve(() => {});
    expect(() => net.listen(listener.address, handler, () => new Probe()))
      .toThrow(`Cannot listen on "127.0.0.1:${listener.address.port}": EADDRINUSE`);
  });

  test("addresses", async () => {
    const { probes, listener } = serve(() => {});
    const client = dial(listener);
    await until("both open", () => (probes[0]?.conn ?? null) !== null && client.events.length > 0);
    expect(client.conn!.remote).toEqual(listener.address);
    expect(probes[0]!.conn!.local).toEqual(listener.address);
    expect(probes[0]!.conn!.remote).toEqual(client.conn!.local);
    expect(probes[0]!.conn!.originalDestination()).toBeNull();
  });
});

// Only the superuser may set marks; the laptop mesh's proxies have that right in their namespace.
describe.skipIf(process.getuid?.() !== 0)("a marked socket", () => {
  const mark = 0x6d61;

  test("opens when it is connected, plain and TLS", async () => {
    const { probes, listener } = serve(tlsServer);
    const client = new Probe();
    const tls = { ...material(CLIENT), serverName: SERVER, peerName: SERVER, alpn: ALPN };
    const options = { address: listener.address, timeoutMs: 2_000, mark };
    client.conn = net.connect({ ...options, tls }, handler, client);
    expect(client.events).toEqual([]);
    await until("secure", () => client.peer !== null);
    expect(client.events).toEqual(["open", "secure"]);
    client.send(new TextEncoder().encode("hello"), true);
    await until("end", () => probes[0]!.events.includes("end"));
    expect(probes[0]!.received).toBe(5);
    probes[0]!.conn!.shutdown();
    await until("close", () => client.reason !== null);
    expect(client.reason).toBe("none");
    const plain = new Probe();
    plain.conn = net.connect(options, handler, plain);
    expect(plain.events).toEqual([]);
    await until("open", () => plain.events.length > 0);
    expect(plain.events).toEqual(["open"]);
    plain.conn.destroy();
  });

  test("is refused as any other", async () => {
    const { listener } = serve(() => {});
    listener.stop();
    const client = new Probe();
    client.conn = net.connect(
      { address: listener.address, timeoutMs: 2_000, mark },
      handler,
      client,
    );
    await until("close", () => client.reason !== null);
    expect(client.events).toEqual(["close"]);
    expect(client.reason).toBe("refused");
  });
});

describe("every byte arrives through a reader that stops", () => {
  for (const kind of ["plain", "tls"] as const) {
    test(kind, async () => {
      const bytes = randomBytes(24 << 20);
      const expected = createHash("sha256").update(bytes).digest("hex");
      const { probes, listener } = serve((probe) => {
        if (kind === "tls") tlsServer(probe);
        let stops = 0;
        probe.onData = () => {
          if (probe.received > (stops + 1) * (6 << 20) && stops < 3) {
            stops++;
            probe.conn!.pause();
            setTimeout(() => probe.conn!.resume(), 60);
          }
        };
      });
      const client = dial(listener, kind === "tls" ? { peerName: SERVER } : undefined);
      const ready = kind === "tls" ? "secure" : "open";
      await until("ready", () => client.events.includes(ready));
      client.send(bytes, true);
      await until("end", () => probes[0]?.events.includes("end") ?? false);
      expect(probes[0]!.received).toBe(bytes.length);
      expect(probes[0]!.hash.digest("hex")).toBe(expected);
      // And the other half still works.
      probes[0]!.send(bytes, true);
      await until("closed", () => client.reason !== null && probes[0]!.reason !== null);
      expect(client.received).toBe(bytes.length);
      expect(client.hash.digest("hex")).toBe(expected);
      expect([client.reason, probes[0]!.reason]).toEqual(["none", "none"]);
    }, 20_000);
  }
});

describe("tls", () => {
  test("both sides learn of the other", async () => {
    const { probes, listener } = serve(tlsServer);
    const client = dial(listener, { peerName: SERVER });
    await until("secure", () => (probes[0]?.peer ?? null) !== null && client.peer !== null);
    expect(probes[0]!.events).toEqual(["open", "secure"]);
    expect(client.events).toEqual(["open", "secure"]);
    expect(probes[0]!.peer!.alpn).toBe("transport.l5d.io/v1");
    expect(probes[0]!.peer!.serverName).toBe(SERVER);
    expect(Buffer.from(probes[0]!.peer!.certificate!).includes(CLIENT)).toBe(true);
    expect(Buffer.from(client.peer!.certificate!).includes(SERVER)).toBe(true);
  });

  test("many that come at once take their turns, and who leaves before holds up nobody", async () => {
    const { probes, listener } = serve(talkingServer);
    const clients = Array.from({ length: 60 }, () => dial(listener, { peerName: SERVER }));
    for (const at of [7, 31]) clients[at]!.conn!.destroy();
    const staying = clients.filter(({ reason }) => reason === null);
    expect(staying).toHaveLength(58);
    await until("all are secure", () => staying.every(({ peer }) => peer !== null));
    for (const client of staying) client.send(new TextEncoder().encode("question"), false);
    await until("all are answered", () => staying.every(({ received }) => received === 6));
    expect(probes).toHaveLength(58);
    for (const probe of probes) expect(probe.events.slice(0, 2)).toEqual(["open", "secure"]);
    expect([...new Set(clients.map(({ reason }) => reason))].sort()).toEqual(["local", null]);
  });

  test("a server of another name is refused", async () => {
    const { probes, listener } = serve(tlsServer);
    const client = dial(listener, { peerName: STRANGER });
    await until("close", () => client.reason !== null && probes[0]!.reason !== null);
    expect(client.reason).toBe("tls");
    expect(client.peer).toBeNull();
    expect(client.events).toEqual(["open", "close"]);
  });

  test("a handshake with a known peer is resumed, and shows the same peer", async () => {
    const { probes, listener } = serve(talkingServer);
    for (const resumed of [false, true, true]) {
      const [client, server] = await talk(probes, dial(listener, { peerName: SERVER }));
      expect([client.peer!.resumed, server.peer!.resumed]).toEqual([resumed, resumed]);
      expect(client.peer!.alpn).toBe("transport.l5d.io/v1");
      expect(Buffer.from(client.peer!.certificate!).includes(SERVER)).toBe(true);
      expect(Buffer.from(server.peer!.certificate!).includes(CLIENT)).toBe(true);
    }
    // Other keys, another name, another address: none of them is that peer.
    const strange = dial(listener, { peerName: SERVER, as: STRANGER });
    expect((await talk(probes, strange))[0].peer!.resumed).toBe(false);
    const wrong = dial(listener, { peerName: STRANGER, serverName: SERVER });
    await until("close", () => wrong.reason !== null);
    expect(wrong.reason).toBe("tls");
    const other = serve(talkingServer);
    const elsewhere = await talk(other.probes, dial(other.listener, { peerName: SERVER }));
    expect(elsewhere[0].peer!.resumed).toBe(false);
  });

  test("a client that the server does not trust stays a stranger when it is resumed", async () => {
    const { probes, listener } = serve(talkingServer);
    const foreign = makeMaterials([CLIENT]).get(CLIENT)!;
    for (const resumed of [false, true]) {
      const tls = {
        ...foreign,
        trustAnchors: material(CLIENT).trustAnchors,
        serverName: SERVER,
        peerName: SERVER,
        alpn: ALPN,
      };
      const [client, server] = await talk(probes, dialAs(tls, listener));
      expect(client.peer!.resumed).toBe(resumed);
      expect(server.peer!.certificate).toBeNull();
    }
  });

  test("no session outlives the certificate, and the next handshake is a whole one", async () => {
    let laterMs = 0;
    const later = createBunNet({ clock: { ...systemClock, nowMs: () => Date.now() + laterMs } });
    const probes: Probe[] = [];
    const listener = later.listen({ ip: "127.0.0.1", port: 0 }, handler, () => {
      const probe = new Probe();
      probes.push(probe);
      talkingServer(probe);
      return probe;
    });
    open.push(listener);
    await talk(probes, dial(listener, { peerName: SERVER }));
    laterMs = 100 * 365 * 24 * 3_600_000;
    const refused = dial(listener, { peerName: SERVER });
    await until("end", () => refused.events.includes("end"));
    refused.conn!.destroy();
    expect(probes.at(-1)!.reason).toBe("tls");
    expect(probes.at(-1)!.peer).toBeNull();
    const [client] = await talk(probes, dial(listener, { peerName: SERVER }));
    expect(client.peer!.resumed).toBe(false);
  });

  test("the peer's name counts, not the server name that was sent", async () => {
    const { probes, listener } = serve(tlsServer);
    const right = dial(listener, { peerName: SERVER, serverName: "gateway.example" });
    await until("secure", () => right.peer !== null);
    await until("server name", () => probes[0]!.peer?.serverName === "gateway.example");
    const wrong = dial(listener, { peerName: STRANGER, serverName: SERVER });
    await until("close", () => wrong.reason !== null);
    expect(wrong.reason).toBe("tls");
    expect(wrong.peer).toBeNull();
  });

  test("a certificate of another authority does not count", async () => {
    const foreign = makeMaterials([CLIENT, SERVER]);
    const { probes, listener } = serve(tlsServer);
    const mixed = { ...foreign.get(CLIENT)!, trustAnchors: material(SERVER).trustAnchors };
    const client = new Probe();
    client.conn = net.connect(
      {
        address: listener.address,
        timeoutMs: 2_000,
        tls: { ...mixed, serverName: SERVER, peerName: SERVER, alpn: ALPN },
      },
      handler,
      client,
    );
    await until("secure", () => (probes[0]?.peer ?? null) !== null);
    expect(probes[0]!.peer!.certificate).toBeNull();
    client.conn.destroy();
    const distrustful = new Probe();
    distrustful.conn = net.connect(
      {
        address: listener.address,
        timeoutMs: 2_000,
        tls: { ...foreign.get(CLIENT)!, serverName: SERVER, peerName: SERVER, alpn: ALPN },
      },
      handler,
      distrustful,
    );
    await until("close", () => distrustful.reason !== null);
    expect(distrustful.reason).toBe("tls");
    for (const other of ["gateway.example"]) {
      const named = new Probe();
      named.conn = net.connect(
        {
          address: listener.address,
          timeoutMs: 2_000,
          tls: { ...foreign.get(CLIENT)!, serverName: other, peerName: SERVER, alpn: ALPN },
        },
        handler,
        named,
      );
      await until("close", () => named.reason !== null);
      expect(named.reason).toBe("tls");
      expect(named.peer).toBeNull();
    }
  });

  test("garbage in place of a handshake, and a client of TLS 1.2", async () => {
    const { probes, listener } = serve(tlsServer);
    const client = dial(listener);
    client.onReady = () => client.send(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), false);
    await until("close", () => (probes[0]?.reason ?? null) !== null);
    expect(probes[0]!.events).toEqual(["open", "close"]);
    expect(probes[0]!.reason).toBe("tls");
    const { port } = listener.address;
    const old = Bun.spawn(["openssl", "s_client", "-tls1_2", "-connect", `127.0.0.1:${port}`], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    expect(await old.exited).not.toBe(0);
    await until("close", () => (probes[1]?.reason ?? null) !== null);
    expect(probes[1]!.peer).toBeNull();
  });
});

describe("a pair", () => {
  const addresses = {
    remote: { ip: "10.42.0.9", port: 40_000 },
    local: { ip: "10.42.0.7", port: 80 },
  };

  test("carries bytes and halves, and the second end may become TLS", async () => {
    const near = new Probe();
    const far = new Probe();
    tlsServer(far);
    const [conn] = net.pair([handler, near], [handler, far], addresses);
    expect([near.events, far.events]).toEqual([[], []]);
    // A TLS client on a socket of its own, joined to the near end by hand.
    const { probes, listener } = serve((probe) => {
      probe.onData = (_, chunk) => void conn.write(chunk, 0, chunk.length);
    });
    near.onData = (_, chunk) => void probes[0]!.conn!.write(chunk, 0, chunk.length);
    const client = dial(listener, { peerName: SERVER });
    await until("secure", () => client.peer !== null && far.peer !== null);
    expect(far.conn!.remote).toEqual(addresses.remote);
    expect(far.conn!.local).toEqual(addresses.local);
    client.send(new TextEncoder().encode("hello"), false);
    await until("data", () => far.received === 5);
    far.conn!.shutdown();
    await until("end", () => client.events.includes("end") && near.events.includes("end"));
    conn.destroy();
    await until("closed", () => far.reason !== null);
  });
});

describe("socket addresses in the kernel's form", () => {
  for (
    const ip of ["10.42.0.7", "fd00::1", "::1", "2001:db8:0:1:1:1:1:1", "1:0:0:2::3", "::"]
  ) {
    test(ip, () => {
      const address = { ip, port: 4143 };
      expect(readSockaddr(writeSockaddr(address))).toEqual(address);
    });
  }
  test("an IPv4 address in IPv6", () => {
    expect(readSockaddr(writeSockaddr({ ip: "::ffff:10.1.2.3", port: 80 })))
      .toEqual({ ip: "10.1.2.3", port: 80 });
  });
});
