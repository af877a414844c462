/** The relay between two processes, here in one: over real unix sockets and real TCP on loopback. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import { connectUnix } from "../host/unix-net.ts";
import { parseNetwork, type SocketAddress } from "../mesh/address.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { HOST_ADDRESS, placeOutside, serveOutside } from "./outside.ts";
import { checkPublications, parsePublication, publish, serveInside } from "./publish.ts";
import { queryOver, resolveOver } from "./relay-client.ts";
import type { RelayServer } from "./relay-server.ts";
import { decodeRequest, decodeStatus, encodeRequest, encodeStatus } from "./relay-protocol.ts";

const net = createBunNet();
const clock = systemClock;
let folder = "";
let path = "";
const closers: (() => void)[] = [];
let inside: RelayServer | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "malla-relay-"));
  path = join(folder, "relay.sock");
});

afterEach(() => {
  for (const close of closers.splice(0)) close();
  rmSync(folder, { recursive: true, force: true });
});

/** A server on loopback; gives its port. */
async function backend(serve: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Publishes something that is at `place` and connects to it. */
function published(place: () => SocketAddress | null): Socket {
  inside = serveInside({ net, clock, path, place });
  closers.push(() => inside?.stop());
  return connectPublished();
}

function connectPublished(): Socket {
  const publication = { namespace: "shop", service: "web", port: 80, hostPort: 0 };
  const listener = publish(publication, { net, clock, log: silentLogger, relayPath: path });
  closers.push(() => listener.stop());
  const socket = connect({
    host: "127.0.0.1",
    port: listener.address.port,
    allowHalfOpen: true,
  });
  closers.push(() => socket.destroy());
  return socket;
}

/** Polls until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

/** Everything that comes until the end; rejects when the connection is reset. */
function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed without an end")));
  });
}

describe("connections", () => {
  test("a client that half-closes still reads its answer", async () => {
    const port = await backend((socket) => {
      let text = "";
      socket.on("data", (chunk) => text += chunk);
      socket.on("end", () => socket.end(`got ${text}`));
    });
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    socket.end("question");
    expect((await readAll(socket)).toString()).toBe("got question");
    await until(() => inside?.connections() === 0);
  });

  test("a server that speaks first, in the same moment as the answer", async () => {
    const port = await backend((socket) => socket.end("hello"));
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    expect((await readAll(socket)).toString()).toBe("hello");
  });

  test("many megabytes both ways through a reader that stops: every byte arrives", async () => {
    const sent = randomBytes(24 * 1024 * 1024);
    const ends: { client?: Socket } = {};
    const port = await backend((socket) => {
      // Reading begins when every buffer on the way is full: the client's own one stays as it is.
      void (async () => {
        for (let left = -1; left !== ends.client?.writableLength; await Bun.sleep(50)) {
          left = ends.client?.writableLength ?? 0;
        }
        socket.pipe(socket);
      })();
    });
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    ends.client = socket;
    socket.end(sent);
    const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
    expect(digest(await readAll(socket))).toBe(digest(sent));
  });

  test("a reset of the server is a reset for the client, not an end", async () => {
    const port = await backend((socket) => {
      socket.on("data", () => socket.resetAndDestroy());
      socket.write("half an ans");
    });
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    socket.on("data", () => socket.write("x"));
    await expect(readAll(socket)).rejects.toThrow();
  });

  test("a refused connection resets the client", async () => {
    const port = await backend(() => {});
    closers.splice(0).forEach((close) => close());
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    await expect(readAll(socket)).rejects.toThrow();
    await until(() => inside?.connections() === 0);
  });

  test("so does a service that does not exist, and a mesh that is not there", async () => {
    await expect(readAll(published(() => null))).rejects.toThrow();
    closers.splice(0).forEach((close) => close());
    expect(existsSync(path)).toBe(false);
    await expect(readAll(connectPublished())).rejects.toThrow();
  });

  test("a client that goes away ends the server's connection", async () => {
    const gone = Promise.withResolvers<void>();
    const port = await backend((socket) => {
      socket.on("error", () => {});
      socket.on("close", () => gone.resolve());
      socket.write("hello");
    });
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    socket.once("data", () => socket.resetAndDestroy());
    await gone.promise;
    await until(() => inside?.connections() === 0);
  });

  test("stopping ends what is open", async () => {
    const port = await backend((socket) => {
      socket.on("error", () => {});
      socket.write("hello");
    });
    const socket = published(() => ({ ip: "127.0.0.1", port }));
    socket.once("data", () => inside?.stop());
    await expect(readAll(socket)).rejects.toThrow();
    expect(inside?.connections()).toBe(0);
  });
});

describe("the socket", () => {
  test("belongs to its owner alone", () => {
    published(() => null);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  const rows: [string, string, string][] = [
    ["another protocol", "GET / HTTP/1.1\r\n", "version"],
    ["a later version", "malla-relay/2 tcp 1.2.3.4:5\n", "version"],
    ["a name for an address", "malla-relay/1 tcp example.com:80\n", "bad"],
    ["bytes before the answer", "malla-relay/1 tcp 1.2.3.4:80\nearly bytes", "bad"],
    ["a line without end", `malla-relay/1 tcp ${"1".repeat(2_000)}`, "bad"],
    ["what is not allowed", "malla-relay/1 tcp 1.2.3.4:80\n", "denied"],
  ];
  test.each(rows)("%s is answered", async (_title, sent, status) => {
    inside = serveInside({ net, clock, path, place: () => null });
    closers.push(() => inside?.stop());
    const answer = Promise.withResolvers<number>();
    const conn = connectUnix<null>(path, {
      open: (opened) => void opened.write(Buffer.from(sent), 0, sent.length),
      secure() {},
      data: (_conn, chunk) => answer.resolve(chunk[0] ?? 0),
      drain() {},
      end() {},
      close: () => answer.resolve(0),
    }, null);
    closers.push(() => conn.destroy());
    expect(decodeStatus(await answer.promise)).toBe(status as never);
  });
});

describe("names", () => {
  function outside(resolve: (name: string) => Promise<never>): void {
    const server = serveOutside({
      net,
      clock,
      path,
      meshNetworks: [],
      resolve,
      query: (packet) => Promise.resolve(packet.length > 3 ? packet : null),
    });
    closers.push(() => server.stop());
  }

  test("are resolved by the other side", async () => {
    const found = { status: "found", addresses: ["1.2.3.4", "::1"], ttlSeconds: 30 };
    outside((name) => Promise.resolve({ ...found, name } as never));
    expect(await resolveOver(path, "example.com", clock)).toEqual(found as never);
  });

  test("fail when the other side is not there", async () => {
    expect((await resolveOver(path, "example.com", clock)).status).toBe("failed");
  });

  test("queries are passed as they are", async () => {
    outside(() => Promise.reject(new Error("not asked")));
    const packet = Uint8Array.from({ length: 500 }, (_, at) => at);
    expect(await queryOver(path, packet, clock)).toEqual(packet);
    expect(await queryOver(path, packet.subarray(0, 2), clock)).toBe(null);
  });
});

describe("where traffic may go outside", () => {
  const mesh = ["10.42.0.0/16", "10.43.0.0/16"].map(parseNetwork);
  const rows: [string, string[]][] = [
    ["93.184.216.34", ["93.184.216.34:443"]],
    ["2606:4700::1", ["2606:4700::1:443"]],
    [HOST_ADDRESS, ["127.0.0.1:443", "::1:443"]],
    ["127.0.0.1", []],
    ["::1", []],
    ["::ffff:127.0.0.1", []],
    ["10.42.3.4", []],
    ["10.43.0.1", []],
    ["0.0.0.0", []],
    ["255.255.255.255", []],
  ];
  test.each(rows)("%s", (ip, expected) => {
    const places = placeOutside({ kind: "tcp", address: { ip, port: 443 } }, mesh);
    expect(places.map((place) => `${place.ip}:${place.port}`)).toEqual(expected);
  });
});

describe("words", () => {
  test("requests survive the line", () => {
    for (
      const request of [
        { kind: "tcp", address: { ip: "::1", port: 80 } },
        { kind: "service", namespace: "shop", name: "web", port: 80 },
        { kind: "resolve", name: "example.com" },
        { kind: "query", packet: new Uint8Array([1, 2, 255]) },
      ] as const
    ) {
      const line = new TextDecoder().decode(encodeRequest(request));
      expect(decodeRequest(line.slice(0, -1))).toEqual(request);
    }
  });

  test("statuses survive the byte", () => {
    for (const status of ["ok", "refused", "unreachable", "timeout", "denied"] as const) {
      expect(decodeStatus(encodeStatus(status)[0] ?? 0)).toBe(status);
    }
  });

  test("publications", () => {
    expect(parsePublication("web:80=8080")).toEqual({
      namespace: "default",
      service: "web",
      port: 80,
      hostPort: 8080,
    });
    expect(parsePublication("web.shop:80=8080").namespace).toBe("shop");
    for (const wrong of ["web", "web:80", "web:80=0", "web:http=80", "web:80=99999"]) {
      expect(() => parsePublication(wrong)).toThrow(`Cannot publish "${wrong}": expected service:`);
    }
  });

  test("a taken port says which, and what to do", async () => {
    const port = await backend(() => {});
    const publication = { namespace: "shop", service: "web", port: 80, hostPort: port };
    expect(() => publish(publication, { net, clock, log: silentLogger, relayPath: path })).toThrow(
      `Cannot publish web.shop:80 on 127.0.0.1:${port}: is the port in use?`,
    );
  });

  test("two on one port of the machine are refused by their names", () => {
    const both = ["web:80=8080", "api.shop:81=8080"].map(parsePublication);
    expect(() => checkPublications(both)).toThrow(
      "Cannot publish api.shop:81 on 127.0.0.1:8080: web.default:80 has that port; " +
        "choose another one, such as api:81=8081",
    );
    const different = ["web:80=8080", "web:80=8081"].map(parsePublication);
    expect(() => checkPublications(different)).not.toThrow();
  });
});
