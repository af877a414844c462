/**
 * What goes wrong in a laptop mesh: servers that die in the middle or stop reading, clients that
 * half-close, an identity service that hangs and then dies.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync, truncateSync } from "node:fs";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";

const LONG_MS = 90_000;
/** Above what a proxy needs with nothing to do (75), below what it would hold of 100 MB each way. */
const PROXY_MB_MAX = 150;
const FLOOD_BYTES = 100_000_000;

const reason = whyNoMesh("curl", "python3", "socat");
if (reason !== undefined) console.log(`skipping what goes wrong in a mesh: ${reason}`);

describe.skipIf(reason !== undefined)("a mesh in trouble", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    laptop.copy("rude");
    laptop.write("large", "");
    truncateSync(`${laptop.app}/large`, FLOOD_BYTES);
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  /** A shell command as a pod of its own. */
  function words(script: string): string[] {
    return ["run", `client-${++clients}`, "--", "sh", "-c", script];
  }

  /** Runs a shell command as a pod of its own to its end. */
  function client(script: string) {
    return laptop.run(...words(script));
  }

  test("a server that dies in the middle of a response is an error to its client", async () => {
    const told = "-w '%{http_code} %{size_download}'";
    const ask = (path: string) =>
      client(`curl -sS -m 20 -o /dev/null ${told} http://rude:8000${path}`);
    const [whole, length, chunked] = await Promise.all(["/whole", "/length", "/chunked"].map(ask));
    expect(whole).toMatchObject({ code: 0, out: "200 50000" });
    // curl's exit codes: 18 a part of the body is missing, 56 the connection was reset.
    expect(length).toMatchObject({ code: 18, out: "200 50000" });
    expect(chunked).toMatchObject({ code: 18, out: "200 50000" });
  }, LONG_MS);

  // Of a body without a length only the reset tells that it is not whole. It comes in chunks to a client
  // that knows them, and the last one is missing; to one of HTTP/1.0 the reset is what tells it.
  test("so is a reset in the middle of a body that lasts until the end", async () => {
    const ask = (version: string) =>
      client(`curl -sS ${version} -m 20 -o /dev/null http://rude:8000/reset`);
    const [chunked, untilEnd] = await Promise.all(["--http1.1", "--http1.0"].map(ask));
    expect(chunked).toMatchObject({ code: 18 });
    expect(untilEnd).toMatchObject({ code: 56 });
  }, LONG_MS);

  test("so is Python's file server when it is killed", async () => {
    const got = `${laptop.home}/got`;
    const load = laptop.start(words(`curl -sS --limit-rate 10M -o ${got} http://rude:8004/large`));
    await until(() => existsSync(got) && statSync(got).size > 0);
    process.kill(laptop.process(/ -m http\.server 8004 /), "SIGKILL");
    expect(await load.ended).toBeOneOf([18, 56]);
    expect(statSync(got).size).toBeLessThan(FLOOD_BYTES);
    // It starts again, and is reached again.
    await until(async () => (await client("curl -sf -r 0-99 http://rude:8004/large")).code === 0);
  }, LONG_MS);

  test("a client that half-closes still reads its answer, opaque and HTTP", async () => {
    const get = "GET /whole HTTP/1.1\\r\\nHost: rude\\r\\n\\r\\n";
    const [opaque, http] = await Promise.all([
      client("head -c 1000000 /dev/zero | socat -t60 - TCP:rude:9000"),
      client(`printf '${get}' | socat -t60 - TCP:rude:8000`),
    ]);
    expect(opaque).toMatchObject({ code: 0, out: "1000000\n" });
    expect(http.out).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(http.out).toEndWith(`\r\n\r\n${"x".repeat(50_000)}`);
  }, LONG_MS);

  test.each([
    ["socat", "socat -t60 - TCP:rude:9001 < flood"],
    ["curl", "curl -sS -T flood http://rude:8002/"],
  ])(
    "100 MB both ways through readers that stop for seconds arrive whole, in bounded memory (%s)",
    async (name, command) => {
      // Either side stops once: the server after 10 MB, the client at the same place.
      const slowly = "(head -c 10000000; sleep 3; cat)";
      const flood = laptop.start(words(
        `head -c ${FLOOD_BYTES} /dev/urandom > flood; sha256sum < flood; ` +
          `${command} | ${slowly} | sha256sum; until [ -e app/${name}-over ]; do sleep 0.1; done`,
      ));
      const hashes = () => flood.text().match(/^[0-9a-f]{64}(?= )/gm) ?? [];
      await until(() => hashes().length === 2 || flood.child.exitCode !== null);
      const peaks = laptop.processes(/^\S+ (\S+ )?proxy $/).map(peakMb).filter((mb) => mb > 0);
      laptop.write(`${name}-over`, "");
      expect(await flood.ended).toBe(0);
      expect(hashes()).toHaveLength(2);
      expect(hashes()[1]).toBe(hashes()[0] ?? "");
      // One beside the servers, one beside the client, and those of other pods.
      expect(peaks.length).toBeGreaterThanOrEqual(2);
      expect(Math.max(...peaks)).toBeLessThan(PROXY_MB_MAX);
    },
    LONG_MS,
  );

  test("without the identity service new pods wait, and others go on", async () => {
    const steady = laptop.start(words(
      "until [ -e app/steady-over ]; do " +
        "curl -s -m 20 -o /dev/null -w '%{http_code}\\n' http://rude:8000/whole; sleep 0.05; done",
    ));
    const codes = () => steady.text().match(/^\d{3}$/gm) ?? [];
    await until(() => codes().length > 2);
    const identity = laptop.process(/ identity --listen/);
    // It does not answer, then nobody listens, then another one does.
    process.kill(identity, "SIGSTOP");
    const late = laptop.start(["run", "late", "--", "curl", "-sS", "http://rude:8000/whole"]);
    const admin = (path: string) => {
      const words = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"];
      return laptop.inside(...words, `http://${laptop.podIp("late")}:4191${path}`);
    };
    try {
      await until(() => laptop.podIp("late") !== undefined && admin("/ready") === "503");
      expect(admin("/live")).toBe("200");
      const before = codes().length;
      await until(() => codes().length > before + 10);
      expect(laptop.processes(/^curl -sS http:\/\/rude:8000\/whole $/)).toEqual([]);
      expect(late.text()).not.toContain("xxx");
      expect(admin("/ready")).toBe("503");
    } finally {
      process.kill(identity, "SIGKILL");
    }
    expect(await late.ended).toBe(0);
    expect(late.text()).toContain("x".repeat(50_000));
    laptop.write("steady-over", "");
    expect(await steady.ended).toBe(0);
    expect(codes().filter((code) => code !== "200")).toEqual([]);
  }, LONG_MS);

  test("a name that does not exist is what it is without a mesh", async () => {
    const script = "curl -sS http://no-such-service/; echo $?; curl -sS http://no.such.invalid/; " +
      "echo $?; getent hosts no-such-service; echo $?";
    const outside = spawnSync("sh", ["-c", `exec 2>&1; ${script}`]);
    expect((await client(`exec 2>&1; ${script}`)).out).toBe(String(outside.stdout));
    expect(String(outside.stdout)).toContain("Could not resolve host: no-such-service");
  }, LONG_MS);

  test("after the end nothing is left", async () => {
    expect(await laptop.end()).toBe(0);
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);
});

/** The most memory that a process ever had resident; 0 for one that is gone. */
function peakMb(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    // It ended while we looked.
    return 0;
  }
}
