/**
 * The application of foreign programs on a laptop mesh: nginx (two replicas, later a slow third),
 * Python's file server and Redis behind Services; curl, wrk and redis tools as clients. Nothing here
 * knows of the mesh.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { freePorts, SYSTEM_PATH, until } from "../support/malla.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { failuresOf, requestsOf } from "../support/wrk.ts";

const PROGRAMS = [
  "nginx",
  "redis-server",
  "redis-cli",
  "redis-benchmark",
  "wrk",
  "curl",
  "python3",
];
const LONG_MS = 90_000;

const reason = whyNoMesh(...PROGRAMS);
if (reason !== undefined) console.log(`skipping the application of foreign programs: ${reason}`);

interface Edge {
  readonly src: string;
  readonly dst: string;
  readonly client_id: string;
  readonly server_id: string;
  readonly secured: boolean;
}

describe.skipIf(reason !== undefined)("foreign programs", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    laptop.copy("foreign");
    await laptop.up();
  }, LONG_MS);

  afterAll(async () => {
    await laptop.clean();
  });

  /** Runs a shell command as a pod of its own. */
  function client(script: string): Promise<{ code: number; out: string; err: string }> {
    return laptop.run("run", `client-${++clients}`, "--", "sh", "-c", script);
  }

  test("curl gets nginx's and Python's answers by their Services' names", async () => {
    const { code, out } = await client(
      "curl -sS http://web/ && curl -sS http://files:8000/Apache-2.0 | sha256sum",
    );
    const licence = readFileSync("/usr/share/common-licenses/Apache-2.0");
    expect(code).toBe(0);
    expect(out).toContain("hello from nginx");
    expect(out).toContain(new Bun.CryptoHasher("sha256").update(licence).digest("hex"));
  }, LONG_MS);

  test("wrk gets 2xx alone, and edges name both identities", async () => {
    const { out } = await client("wrk -t1 -c16 -d2s http://web/");
    expect(out).toContain("requests in");
    expect(out).not.toContain("Non-2xx");
    expect(out).not.toContain("Socket errors");
    const running = laptop.start([
      "run",
      "loader",
      "--",
      "wrk",
      "-t1",
      "-c2",
      "-d30s",
      "http://web/",
    ]);
    try {
      let edge: Edge | undefined;
      await until(async () => {
        const { out } = await laptop.run("edges", "deploy", "-o", "json");
        const edges = JSON.parse(out) as readonly Edge[];
        edge = edges.find(({ src, dst }) => src === "loader" && dst === "web");
        return edge !== undefined;
      });
      const identity = (account: string) =>
        `${account}.default.serviceaccount.identity.malla.cluster.local`;
      expect(edge?.client_id).toBe(identity("default"));
      expect(edge?.server_id).toBe(identity("web"));
      expect(edge?.secured).toBe(true);
      await until(async () => {
        const { out } = await laptop.run("stat", "deploy", "web");
        return /web\s+2\/2\s+100\.00%\s+\d/.test(out);
      });
    } finally {
      running.child.kill("SIGINT");
      await running.child.exited;
    }
  }, LONG_MS);

  // tcpdump changes its groups, which only the machine's root may.
  test.skipIf(process.getuid?.() !== 0 || Bun.which("tcpdump", { PATH: SYSTEM_PATH }) === null)(
    "between pods goes TLS 1.3 and no plain text",
    async () => {
      const words = ["-t", String(laptop.node()), "-n"];
      const capture = Bun.spawn([
        ...[
          "nsenter",
          ...words,
          "tcpdump",
          "-Z",
          "root",
          "-i",
          "any",
          "--immediate-mode",
          "-s0",
          "-U",
          "-w",
          "-",
        ],
        "tcp port 4143 or tcp port 8080",
      ], { env: { PATH: SYSTEM_PATH }, stdout: "pipe", stderr: "pipe" });
      await nextText(capture.stderr, "listening on");
      let bytes = Buffer.alloc(0);
      const captured = (async () => {
        for await (const chunk of capture.stdout) bytes = Buffer.concat([bytes, chunk]);
      })();
      const { out } = await client(
        "for i in 1 2 3; do curl -s -H 'x-secret: sesame' http://web/; done",
      );
      expect(out).toContain("hello from nginx");
      // A ServerHello's extension that chooses version 0x0304, then as much as three answers take.
      const chosen = Buffer.from([0x00, 0x2b, 0x00, 0x02, 0x03, 0x04]);
      await until(() => bytes.includes(chosen) && bytes.length > 5_000);
      capture.kill("SIGINT");
      await captured;
      for (const plain of ["hello from nginx", "sesame", "GET /", "HTTP/1.1"]) {
        expect(bytes.includes(plain)).toBe(false);
      }
    },
    LONG_MS,
  );

  test("a killed replica costs no more than what was in flight, and is used no more", async () => {
    const masters = () => laptop.processes(/^nginx: master /);
    await until(() => masters().length === 2);
    // wrk must say at once that it runs: otherwise what follows would come after its end.
    const wrk = ["stdbuf", "-oL", "wrk", "-t1", "-c16", "-d3s", "http://web/"];
    const load = laptop.start(["run", "killer", "--", ...wrk]);
    await until(() => load.text().includes("Running"));
    const [master = Number.NaN] = masters();
    for (const pid of [master, ...childrenOf(master)]) process.kill(pid, "SIGKILL");
    await load.ended;
    expect(requestsOf(load.text())).toBeGreaterThan(1000);
    expect(failuresOf(load.text())).toBeLessThanOrEqual(16);
    await until(() => masters().length === 2);
  }, LONG_MS);

  test("a replica that is 50 ms slower gets less traffic", async () => {
    laptop.copy("foreign-slow");
    const slowOf = (text: string) => text.split("slow nginx").length - 1;
    await until(async () => slowOf((await client(requests(20))).out) > 0);
    const { out } = await client(requests(300));
    expect(out.split("nginx").length - 1).toBe(300);
    // A third of the traffic would be 100.
    expect(slowOf(out)).toBeLessThan(60);
    laptop.remove("slow.yaml");
  }, LONG_MS);

  test("Redis works with pipelining and large values", async () => {
    const { out: bench, code } = await client(
      "redis-benchmark -h cache -P 16 -n 20000 -c 8 -t set,get -q",
    );
    expect(code).toBe(0);
    expect(bench).toMatch(/SET: .*requests per second/);
    expect(bench).toMatch(/GET: .*requests per second/);
    const pipe = `python3 -c 'for i in range(100000): print(f"SET key{i} {i}")'`;
    const { out } = await client(`${pipe} | redis-cli -h cache --pipe; redis-cli -h cache dbsize`);
    expect(out).toContain("errors: 0, replies: 100000");
    const big = "head -c 32000000 /dev/urandom > big; redis-cli -h cache -x set big < big; " +
      "redis-cli -h cache --raw get big | head -c 32000000 | sha256sum; sha256sum < big";
    const { out: hashes } = await client(big);
    const [ok, first, second] = hashes.trim().split("\n");
    expect(ok).toBe("OK");
    expect(first).toBe(second ?? "");
  }, LONG_MS);

  test("a pod reaches a server of the machine", async () => {
    const [port = 0] = await freePorts(1);
    const server = Bun.serve({
      port,
      hostname: "127.0.0.1",
      fetch: () => new Response("machine"),
    });
    try {
      const { out } = await client(`curl -sS http://host.malla.internal:${port}/`);
      expect(out).toBe("machine");
    } finally {
      await server.stop(true);
    }
  }, LONG_MS);

  test("after the end nothing is left", async () => {
    expect(await laptop.end()).toBe(0);
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);
});

function requests(count: number): string {
  return `for i in $(seq ${count}); do curl -s http://web/; done`;
}

/** Waits for a text in a stream, and reads on: whose reader goes away is ended by its next word. */
async function nextText(stream: ReadableStream<Uint8Array>, wanted: string): Promise<void> {
  let text = "";
  let isOver = false;
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
    isOver = true;
  })();
  await until(() => {
    if (isOver && !text.includes(wanted)) throw new Error(`ended without "${wanted}": ${text}`);
    return text.includes(wanted);
  });
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter((part) => part !== "").map(Number);
}
