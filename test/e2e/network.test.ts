/**
 * The laptop's network services in real namespaces, with the machine's own iptables and with programs
 * that we did not write: curl, getent, python. Needs no root; the namespaces are gone with the test.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { createBunNet } from "../../lib/host/bun-net.ts";
import { systemClock } from "../../lib/host/clock.ts";
import { lookUpName, queryMachine } from "../../lib/host/machine-dns.ts";
import type { Listener } from "../../lib/host/net.ts";
import { serveOutside } from "../../lib/local/outside.ts";
import { publish } from "../../lib/local/publish.ts";
import { parseNetwork } from "../../lib/mesh/address.ts";
import type { EndpointSlice, Service } from "../../lib/source/objects.ts";
import { silentLogger } from "../../lib/telemetry/logger.ts";
import type { WorldAnswer } from "../support/network-world.ts";
import { World } from "../support/world.ts";

/** Long enough for a loaded machine; nothing is measured. */
const SETUP_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), "malla-network-"));
const outsidePath = join(folder, "outside.sock");
const insidePath = join(folder, "inside.sock");
const net = createBunNet();
const clock = systemClock;
const closers: (() => unknown)[] = [];
let world: World;
let machinePort = 0;

/** A server in the machine's own network that says hello. */
async function machineServer(): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("HTTP/1.0 200 OK\r\n\r\nhello from the machine");
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  closers.push(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

beforeAll(async () => {
  machinePort = await machineServer();
  const outside = serveOutside({
    net,
    clock,
    path: outsidePath,
    meshNetworks: ["10.42.0.0/16", "10.43.0.0/16"].map(parseNetwork),
    resolve: lookUpName,
    query: queryMachine,
  });
  closers.push(() => outside.stop());
  world = await World.start(folder);
  closers.push(() => world.stop());
  await startServers();
}, SETUP_MS);

afterAll(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true, force: true });
}, SETUP_MS);

function run(pod: string, ...command: string[]): Promise<WorldAnswer> {
  return world.run(pod, ...command);
}

function curl(pod: string, url: string, ...flags: string[]): Promise<WorldAnswer> {
  return run(pod, "curl", "-sS", "--max-time", "10", ...flags, url);
}

/** Asks until the answer is as wanted, as long as the test may take. */
async function until(attempt: () => Promise<boolean>): Promise<void> {
  while (!await attempt()) await Bun.sleep(50);
}

const HTTP = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (sys.argv[1] + " sees " + self.client_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
`;

const UDP_ECHO = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 9000))
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(b"echo " + data, peer)
`;

const UDP_ASK = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"hi")
print(s.recv(2000).decode())
`;

async function startServers(): Promise<void> {
  for (const pod of ["a", "b", "c"]) {
    await world.ask({ kind: "start", pod, command: ["python3", "-c", HTTP, pod] });
    await until(async () => (await curl(pod, "http://127.0.0.1:8080/")).code === 0);
  }
  await world.ask({ kind: "start", pod: "b", command: ["python3", "-c", UDP_ECHO] });
  await until(async () =>
    (await run("b", "python3", "-c", UDP_ASK, "127.0.0.1", "9000")).code === 0
  );
}

function service(name: string, ip: string): Service {
  return {
    kind: "Service",
    metadata: { name, namespace: "shop", labels: {}, annotations: {}, ownerReferences: [] },
    spec: {
      clusterIP: ip,
      clusterIPs: ip === "None" ? [] : [ip],
      ipFamilies: [],
      ports: [
        { name: "http", port: 80, protocol: "TCP" },
        { name: "echo", port: 9, protocol: "UDP" },
      ],
    },
  };
}

function slice(name: string, ips: readonly string[]): EndpointSlice {
  return {
    kind: "EndpointSlice",
    metadata: {
      name,
      namespace: "shop",
      labels: { "kubernetes.io/service-name": name },
      annotations: {},
      ownerReferences: [],
    },
    addressType: "IPv4",
    endpoints: ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "echo", port: 9000, protocol: "UDP" },
    ],
  };
}

/** The addresses of the pods, in the order in which the laboratory gives them. */
const IPS = { a: "10.42.1.1", b: "10.42.1.2", c: "10.42.1.3" } as const;

async function update(endpoints: Readonly<Record<string, readonly string[]>>): Promise<void> {
  const names = Object.keys(endpoints);
  await world.ask({
    kind: "update",
    services: names.map((name, at) => service(name, `10.43.0.${at + 5}`)),
    slices: names.map((name) => slice(name, endpoints[name] ?? [])),
  });
}

describe("service addresses", () => {
  test("reach an endpoint, from a pod and from the gateway", async () => {
    await update({ web: [IPS.b] });
    expect((await curl("a", "http://10.43.0.5/")).stdout).toStartWith("b sees 10.42.");
    const here = await world.ask({
      kind: "run",
      command: ["curl", "-sS", "--max-time", "10", "http://10.43.0.5/"],
    });
    expect(here.stdout).toStartWith("b sees 10.42.");
  });

  test("spread over all endpoints, and follow their changes", async () => {
    await update({ web: [IPS.b, IPS.c] });
    const seen = new Set<string>();
    await until(async () => {
      seen.add((await curl("a", "http://10.43.0.5/")).stdout.slice(0, 1));
      return seen.size === 2;
    });
    await update({ web: [IPS.c] });
    for (let round = 0; round < 5; round++) {
      expect((await curl("a", "http://10.43.0.5/")).stdout).toStartWith("c sees");
    }
  });

  test("lead a pod to itself", async () => {
    await update({ web: [IPS.a] });
    expect((await curl("a", "http://10.43.0.5/")).stdout).toStartWith("a sees");
  });

  test("carry UDP", async () => {
    await update({ web: [IPS.b] });
    expect((await run("a", "python3", "-c", UDP_ASK, "10.43.0.5", "9")).stdout).toBe("echo hi\n");
  });

  test("without an endpoint, an unknown port and an unknown address are refused at once", async () => {
    await update({ web: [] });
    for (const url of ["http://10.43.0.5/", "http://10.43.0.5:81/", "http://10.43.9.9/"]) {
      // 7: could not connect; 28 would be a timeout.
      expect((await curl("a", url)).code).toBe(7);
    }
    const udp = await run("a", "python3", "-c", UDP_ASK, "10.43.0.5", "9");
    expect(udp.stderr).toContain("ConnectionRefusedError");
  });
});

describe("names", () => {
  test("of services, as the C library asks for them", async () => {
    await update({ web: [IPS.b] });
    for (const name of ["web", "web.shop", "web.shop.svc.cluster.local"]) {
      expect((await run("a", "getent", "hosts", name)).stdout).toStartWith("10.43.0.5 ");
    }
    expect((await curl("a", "http://web/")).stdout).toStartWith("b sees");
  });

  test("that do not exist are missing", async () => {
    expect((await run("a", "getent", "hosts", "nobody.shop.svc.cluster.local")).code).toBe(2);
    expect((await curl("a", "http://nobody.shop.svc.cluster.local/")).code).toBe(6);
  });

  test("many pods of a headless service come by TCP", async () => {
    const ips = Array.from({ length: 120 }, (_, at) => `10.42.7.${at + 1}`);
    const headless = service("crowd", "None");
    await world.ask({ kind: "update", services: [headless], slices: [slice("crowd", ips)] });
    const { stdout } = await run("a", "getent", "ahostsv4", "crowd");
    expect(new Set(stdout.match(/^10\.42\.7\.\d+/gm)).size).toBe(120);
  });

  test("are answered for whichever name server a program asks", async () => {
    await update({ web: [IPS.b] });
    const asked = "import socket,struct,sys\n" +
      "q=b'\\0\\7\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3web\\4shop\\3svc\\7cluster\\5local\\0\\0\\1\\0\\1'\n" +
      "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(5)\n" +
      "s.connect(('8.8.8.8',53));s.send(q);print(socket.inet_ntoa(s.recv(999)[-4:]))";
    expect((await run("a", "python3", "-c", asked)).stdout).toBe("10.43.0.5\n");
  });
});

describe("the way out", () => {
  test("leads to the machine by its name", async () => {
    const { stdout } = await curl("a", `http://host.malla.internal:${machinePort}/`, "--http0.9");
    expect(stdout).toBe("hello from the machine");
  });

  test("leads to any other address", async () => {
    const foreign = Object.values(networkInterfaces()).flat().find((entry) =>
      entry !== undefined && entry.family === "IPv4" && !entry.internal &&
      !/^10\.4[23]\./.test(entry.address)
    );
    if (foreign === undefined) return;
    const { stdout } = await curl("a", `http://${foreign.address}:${machinePort}/`);
    expect(stdout).toBe("hello from the machine");
  });

  test("resets what the machine's network refuses", async () => {
    const { code } = await curl("a", "http://host.malla.internal:1/");
    // 52 or 56: the connection ended without an answer.
    expect([52, 56]).toContain(code);
  });

  test("does not lead to the machine's loopback by the relay's own port", async () => {
    const { code, stdout } = await curl("a", "http://10.42.0.1:15001/");
    // 7: the reset came before curl saw the connection.
    expect([7, 52, 56]).toContain(code);
    expect(stdout).toBe("");
  });

  test("carries no UDP but DNS", async () => {
    const { code, stderr } = await run("a", "python3", "-c", UDP_ASK, "192.0.2.1", "9");
    expect(code).toBe(1);
    expect(stderr).toContain("OSError");
    expect(stderr).not.toContain("Timeout");
  });
});

describe("publishing", () => {
  function listener(name: string): Listener {
    const publication = { namespace: "shop", service: name, port: 80, hostPort: 0 };
    const options = { net, clock, log: silentLogger, relayPath: insidePath };
    const listening = publish(publication, options);
    closers.push(() => listening.stop());
    return listening;
  }

  test("a service answers on the machine", async () => {
    await update({ web: [IPS.c] });
    const { port } = listener("web").address;
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toStartWith("c sees");
  });

  test("a service that does not exist resets", async () => {
    const { port } = listener("nobody").address;
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  });
});
