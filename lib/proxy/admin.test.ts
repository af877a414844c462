import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { HttpAnswer, HttpServer } from "../host/http-server.ts";
import { parseNetwork } from "../mesh/address.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import { createLogger, type Logger, silentLogger } from "../telemetry/logger.ts";
import { adminHandler, type AdminOptions, serveAdmin } from "./admin.ts";
import type { InboundPolicy } from "../mesh/policy.ts";
import { defaultPolicy } from "./default-policy.ts";

const ENV = {
  LINKERD2_PROXY_LOG: "info",
  LINKERD2_PROXY_CORES: "1",
  LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: "-----BEGIN",
  LINKERD2_PROXY_SECRET_OF_TOMORROW: "x",
  AWS_SECRET_ACCESS_KEY: "x",
  MALLA_SOCKET_MARK: "7",
};

let isReady = false;
let shutdowns = 0;
let log: Logger;
let policy: ServerPolicy;

function named(name: InboundPolicy): ServerPolicy {
  return defaultPolicy({
    name,
    clusterNetworks: [parseNetwork("10.0.0.0/8")],
    detectTimeoutMs: 10_000,
    isOpaque: false,
    needs: "nothing",
  });
}

function options(changes: Partial<AdminOptions> = {}): AdminOptions {
  return {
    isReady: () => isReady,
    metricsText: () => Promise.resolve("# HELP a A\n# TYPE a gauge\na 1\n"),
    env: ENV,
    log,
    policy: () => policy,
    shutdown: () => void shutdowns++,
    ...changes,
  };
}

async function ask(
  method: string,
  path: string,
  how: { remoteIp?: string; body?: string; options?: Partial<AdminOptions> } = {},
): Promise<HttpAnswer> {
  const url = new URL(path, "http://x");
  return await adminHandler(options(how.options))({
    method,
    path: url.pathname,
    query: url.searchParams,
    remoteIp: how.remoteIp ?? "10.0.0.9",
    body: () => Promise.resolve(how.body ?? ""),
  });
}

beforeEach(() => {
  isReady = false;
  shutdowns = 0;
  log = silentLogger;
  policy = named("all-unauthenticated");
});

describe("for everyone", () => {
  test("a proxy is live at once, and ready when it says so", async () => {
    expect((await ask("GET", "/live")).status).toBe(200);
    expect((await ask("GET", "/ready")).status).toBe(503);
    isReady = true;
    expect((await ask("GET", "/ready")).status).toBe(200);
  });

  test("metrics have Prometheus's content type", async () => {
    const { status, contentType, body } = await ask("GET", "/metrics");
    expect([status, contentType]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    expect(body).toEndWith("a 1\n");
  });

  test("only the proxy's known variables are shown", async () => {
    const shown = JSON.parse((await ask("GET", "/env.json")).body);
    expect(shown).toEqual({
      LINKERD2_PROXY_CORES: "1",
      LINKERD2_PROXY_LOG: "info",
      MALLA_SOCKET_MARK: "7",
    });
    const some = await ask("GET", "/env.json?LINKERD2_PROXY_LOG&AWS_SECRET_ACCESS_KEY");
    expect(JSON.parse(some.body)).toEqual({ LINKERD2_PROXY_LOG: "info" });
  });

  test("anything else is not found, other methods are refused", async () => {
    for (const path of ["/", "/metrics/", "/debug/pprof", "/live/../env", "/shutdownx"]) {
      expect([path, (await ask("GET", path)).status]).toEqual([path, 404]);
    }
    expect((await ask("POST", "/metrics")).status).toBe(405);
  });
});

describe("under the port's inbound policy", () => {
  const cases: [InboundPolicy, string, number][] = [
    ["cluster-unauthenticated", "10.0.0.9", 200],
    ["cluster-unauthenticated", "::ffff:10.0.0.9", 200],
    ["cluster-unauthenticated", "192.168.0.9", 403],
    ["all-authenticated", "10.0.0.9", 403],
    ["deny", "10.0.0.9", 403],
    ["deny", "127.0.0.1", 200],
  ];
  for (const [name, remoteIp, expected] of cases) {
    test(`${name}: ${remoteIp} gets ${expected}`, async () => {
      policy = named(name);
      isReady = true;
      for (const path of ["/metrics", "/env.json"]) {
        expect((await ask("GET", path, { remoteIp })).status).toBe(expected);
      }
      for (const path of ["/live", "/ready"]) {
        expect((await ask("GET", path, { remoteIp })).status).toBe(200);
      }
    });
  }
});

describe("for loopback only", () => {
  test("strangers are refused", async () => {
    for (const [method, path] of [["GET", "/proxy-log-level"], ["POST", "/shutdown"]] as const) {
      for (const remoteIp of ["10.0.0.9", "fd00::9", "", "::ffff:10.0.0.9"]) {
        expect((await ask(method, path, { remoteIp })).status).toBe(403);
      }
    }
    expect(shutdowns).toBe(0);
  });

  test("the log level is shown and changed", async () => {
    log = createLogger({ level: "error", format: "plain", name: "test" });
    const remoteIp = "127.0.0.1";
    expect((await ask("GET", "/proxy-log-level", { remoteIp })).body).toBe("error\n");
    const body = "error,linkerd=off";
    expect((await ask("PUT", "/proxy-log-level", { remoteIp, body })).status).toBe(200);
    expect(log.level()).toBe("silent");
    for (const wrong of ["loud", ""]) {
      expect((await ask("PUT", "/proxy-log-level", { remoteIp, body: wrong })).status).toBe(400);
    }
    expect(log.level()).toBe("silent");
  });

  test("shutdown ends the proxy where it is enabled, and does not exist elsewhere", async () => {
    for (const remoteIp of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
      expect((await ask("POST", "/shutdown", { remoteIp })).status).toBe(200);
    }
    expect(shutdowns).toBe(3);
    expect((await ask("GET", "/shutdown", { remoteIp: "127.0.0.1" })).status).toBe(405);
    const disabled = { remoteIp: "127.0.0.1", options: { shutdown: null } };
    expect((await ask("POST", "/shutdown", disabled)).status).toBe(404);
  });
});

describe("over a socket", () => {
  let server: HttpServer;

  beforeEach(() => {
    server = serveAdmin({ ip: "127.0.0.1", port: 0 }, options());
  });

  afterEach(() => server.stop());

  /** Sends raw bytes; resolves to what came until the server closed, or answered. */
  function raw(bytes: string): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = connect(server.address.port, "127.0.0.1", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        socket.destroy();
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve(text));
    });
  }

  test("a real client is served, and known by its address", async () => {
    const base = `http://127.0.0.1:${server.address.port}`;
    const metrics = await fetch(`${base}/metrics`);
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await metrics.text()).toContain("a 1\n");
    expect((await fetch(`${base}/live`, { method: "HEAD" })).status).toBe(200);
    expect((await fetch(`${base}/shutdown`, { method: "POST" })).status).toBe(200);
    expect(shutdowns).toBe(1);
  });

  test("a body that is too large is refused", async () => {
    const url = `http://127.0.0.1:${server.address.port}/proxy-log-level`;
    const answer = await fetch(url, { method: "PUT", body: "x".repeat(10_000) });
    expect(answer.status).toBe(413);
  });

  test("what is not HTTP, or has a huge head, is dropped", async () => {
    expect(await raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc")).not.toContain(" 200 ");
    expect(await raw("hello\r\n\r\n")).not.toContain(" 200 ");
    expect(await raw(`GET /live HTTP/1.1\r\nhost: x\r\na: ${"b".repeat(200_000)}\r\n\r\n`))
      .not.toContain(" 200 ");
    // And it still serves.
    expect((await fetch(`http://127.0.0.1:${server.address.port}/live`)).status).toBe(200);
  });

  test("an address that is taken is a fault that names it", () => {
    expect(() => serveAdmin(server.address, options())).toThrow(
      `Cannot listen on 127.0.0.1 port ${server.address.port}`,
    );
  });
});
