import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isOwnFolder, makeNewFolder } from "./directory.ts";
import { namespaceOf, processStamp } from "./namespace.ts";
import { environment, execute, ownIds, ownPid, spawn } from "./process.ts";
import { probeConnect, probeRequest } from "./probe.ts";
import { connectLines, type LinePeer, listenLines } from "./unix-lines.ts";

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "malla-process-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function collect(command: readonly string[], env: Record<string, string> = environment()) {
  const text = { out: "", err: "" };
  const decoder = new TextDecoder();
  const child = spawn({
    command,
    env,
    session: true,
    stdout: (chunk) => void (text.out += decoder.decode(chunk)),
    stderr: (chunk) => void (text.err += decoder.decode(chunk)),
  });
  return { child, text };
}

describe("a child", () => {
  test("gives its output before its end, and both streams apart", async () => {
    const { child, text } = collect(["sh", "-c", "echo one; echo two >&2; exit 3"]);
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(text).toEqual({ out: "one\n", err: "two\n" });
  });

  test("may open /dev/stderr, as programs with their log there do", async () => {
    const { child, text } = collect(["sh", "-c", "echo there > /dev/stderr"]);
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(text.err).toBe("there\n");
  });

  test("gets the environment that it is given and nothing else", async () => {
    const { child, text } = collect(["/usr/bin/env"], { ONLY: "this" });
    await child.exited;
    expect(text.out).toBe("ONLY=this\n");
  });

  test("ends by signal, its whole group with it", async () => {
    const { child, text } = collect(["sh", "-c", "sleep 600 & echo $!; wait"]);
    while (text.out === "") await Bun.sleep(5);
    const grandchild = Number(text.out);
    expect(child.kill("SIGKILL", true)).toBe(true);
    expect(await child.exited).toEqual({ code: 137, signal: "SIGKILL" });
    while (processStamp(grandchild) !== null) await Bun.sleep(5);
  });

  test("does not keep us waiting for what it left behind with its output open", async () => {
    const { child, text } = collect(["sh", "-c", "sleep 600 & echo $!"]);
    expect((await child.exited).code).toBe(0);
    process.kill(Number(text.out), "SIGKILL");
  });

  test("that cannot be started is a fault with its name", () => {
    expect(() => collect(["malla-no-such-program"])).toThrow(
      'Cannot start "malla-no-such-program"',
    );
  });
});

describe("a short command", () => {
  test("takes an input and gives its output", async () => {
    expect(await execute(["cat"], { input: "héllo" }))
      .toEqual({ code: 0, stdout: "héllo", stderr: "" });
  });

  test("is killed when it takes too long", async () => {
    expect((await execute(["sleep", "600"], { timeoutMs: 20 })).code).toBe(137);
  });
});

describe("processes and folders", () => {
  test("a living process has a stamp, a dead one none", async () => {
    expect(processStamp(ownPid())).toBe(processStamp(process.pid));
    const { child } = collect(["sleep", "600"]);
    const stamp = processStamp(child.pid);
    expect(stamp).toStartWith(`${child.pid} `);
    child.kill("SIGKILL");
    await child.exited;
    expect(processStamp(child.pid)).toBeNull();
    expect(namespaceOf(child.pid, "net")).toBeNull();
    expect(namespaceOf("self", "net")).toStartWith("net:[");
  });

  test("a folder into which others can write is not our own", async () => {
    const { uid } = ownIds();
    makeNewFolder(`${folder}/a`, 0o700);
    expect(isOwnFolder(`${folder}/a`, uid)).toBe(true);
    expect(isOwnFolder(`${folder}/a`, uid + 1)).toBe(false);
    await execute(["chmod", "0777", `${folder}/a`]);
    expect(isOwnFolder(`${folder}/a`, uid)).toBe(false);
    await execute(["ln", "-s", folder, `${folder}/link`]);
    expect(isOwnFolder(`${folder}/link`, uid)).toBe(false);
  });
});

describe("probes", () => {
  test("tell a listener from a closed port, and read the first line", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("x", { status: 418 }),
    });
    const target = { namespace: null, ip: "127.0.0.1", port: server.port ?? 0, timeoutMs: 2_000 };
    expect(await probeConnect(target)).toEqual({ ok: true, text: "" });
    const answer = await probeRequest(target, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false);
    expect(answer.ok && answer.text).toStartWith("HTTP/1.1 418");
    await server.stop(true);
    expect(await probeConnect(target)).toEqual({ ok: false, reason: "connection refused" });
  });

  test("do not wait for a server that says nothing", async () => {
    using server = Bun.listen({ port: 0, hostname: "127.0.0.1", socket: { data() {} } });
    const target = { namespace: null, ip: "127.0.0.1", port: server.port, timeoutMs: 50 };
    expect(await probeRequest(target, "GET /\r\n", false))
      .toEqual({ ok: false, reason: "no answer within 50 ms" });
  });
});

describe("messages over a unix socket", () => {
  test("go both ways, whole and in order, and the end is told once", async () => {
    const path = `${folder}/s`;
    const got: unknown[] = [];
    let ends = 0;
    const over = Promise.withResolvers<void>();
    let accepted: LinePeer | undefined;
    const server = await listenLines(path, (peer) => {
      accepted = peer;
      return {
        message: (value) => peer.send({ echo: value }),
        closed() {
          ends++;
          over.resolve();
        },
      };
    });
    const answered = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const peer = await connectLines(path, {
      message(value) {
        got.push(value);
        if (got.length === 2) answered.resolve();
      },
      closed: () => closed.resolve(),
    });
    const long = "é".repeat(300_000);
    peer.send(long);
    peer.send({ n: 1 });
    await answered.promise;
    expect(got).toEqual([{ echo: long }, { echo: { n: 1 } }]);
    accepted?.close();
    await Promise.all([closed.promise, over.promise]);
    server.stop();
    expect(ends).toBe(1);
    await expect(connectLines(path, { message() {}, closed() {} })).rejects.toThrow(
      "Cannot connect",
    );
  });

  test("that are no JSON end the connection", async () => {
    const path = `${folder}/s`;
    const server = await listenLines(path, () => ({ message() {}, closed() {} }));
    const closed = Promise.withResolvers<void>();
    await Bun.connect({
      unix: path,
      socket: {
        open: (socket) => void socket.write("not json\n"),
        data() {},
        close: () => closed.resolve(),
      },
    });
    await closed.promise;
    server.stop();
  });
});
