/** curl, `ws` and the runtime's own WebSocket against an application on Node, through two sidecars. */

import { describe, expect, test } from "bun:test";
import { type ConformanceMesh, GO_REASON, PORTS } from "./mesh.ts";

const LONG_MS = 90_000;
const LARGE = 100_000_000;
const URL_HTTP = `http://apps:${PORTS.http}`;

/** Registers the tests. */
export function testHttp(mesh: ConformanceMesh): void {
  const curl = (words: string) => mesh.client.run(`curl -sS -m 60 ${words}`);

  describe("WebSocket", () => {
    test.each(["node", "bun"] as const)("by %s", async (runtime) => {
      const program = runtime === "node" ? mesh.node : process.execPath;
      const script = mesh.fixture("conformance/ws-client.mjs");
      const { out } = await mesh.client.run(`${program} ${script} ws://apps:${PORTS.http}/ws`);
      expect(out).toBe("ok\n");
    }, LONG_MS);
  });

  describe("CONNECT", () => {
    test("makes a tunnel that HTTP goes through, and one that TLS goes through", async () => {
      const { out } = await curl(`-p -x apps:${PORTS.http} ${URL_HTTP}/seen?by=tunnel`);
      expect(out).toStartWith("GET /seen?by=tunnel ");
      const tls = await curl(`-k -x apps:${PORTS.http} https://apps:${PORTS.tls}/tls.crt`);
      expect(tls.out).toContain("BEGIN CERTIFICATE");
    }, LONG_MS);
  });

  describe("100-continue", () => {
    const upload = `-H 'Expect: 100-continue' --expect100-timeout 30 -T large.bin`;
    const told = `-o /dev/null -w '%{http_code} %{size_upload}'`;

    test("the application asks for the body, which comes", async () => {
      await mesh.client.run("head -c 3000000 /dev/urandom > large.bin");
      const { out } = await curl(`-v ${upload} ${URL_HTTP}/hash`);
      const { out: sum } = await mesh.client.run("sha256sum < large.bin");
      expect(out).toContain("HTTP/1.1 100 Continue");
      expect(out).toContain(`3000000 ${sum.split(" ")[0]}`);
    }, LONG_MS);

    test("the application refuses at once, and no body is sent", async () => {
      const { out } = await curl(`${told} ${upload} ${URL_HTTP}/deny`);
      expect(out).toBe("403 0");
    }, LONG_MS);

    test("other heads of 1xx pass", async () => {
      const { out } = await curl(`-i ${URL_HTTP}/early`);
      expect(out).toMatch(/^HTTP\/1.1 103 Early Hints\r\nlink: .*\r\n\r\nHTTP\/1.1 200 OK\r\n/i);
    }, LONG_MS);
  });

  describe(`bodies of ${LARGE / 1_000_000} MB`, () => {
    const hash = "sha256sum";
    const digest = (out: string) => out.trim().split(" ")[0] ?? "";

    test("up, down, and both at once", async () => {
      const made = await mesh.client.run(
        `head -c ${LARGE} /dev/urandom > large.bin; ${hash} < large.bin`,
      );
      const sent = digest(made.out);
      const { out: up } = await curl(`-T large.bin ${URL_HTTP}/hash`);
      expect(up.trim()).toBe(`${LARGE} ${sent}`);
      const { out: echo } = await curl(`-T large.bin ${URL_HTTP}/echo | ${hash}`);
      expect(digest(echo)).toBe(sent);
      const { out: down } = await curl(`'${URL_HTTP}/big?${LARGE}' | ${hash}`);
      expect(digest(down)).toBe(expectedBig(LARGE));
    }, LONG_MS);

    test.skipIf(GO_REASON !== undefined)("up by HTTP/2 from curl", async () => {
      const { out } = await curl(
        `--http2-prior-knowledge -T large.bin -w ' %{http_version} %{size_upload}' ` +
          `http://apps:${PORTS.h2c}/`,
      );
      expect(out).toBe(`hello from Go\n 2 ${LARGE}`);
    }, LONG_MS);
  });

  test("a head passes as it was sent, but for what is the connection's", async () => {
    const headers = `-H 'X-Mixed: A, b' -H 'X-Empty;' -H 'Connection: X-Hop' -H 'X-Hop: 1'`;
    const { out } = await curl(`-A agent ${headers} '${URL_HTTP}/a%20b?q=1&r'`);
    const [method, target, rest = ""] = out.trim().split(" ");
    expect([method, target]).toEqual(["GET", "/a%20b?q=1&r"]);
    expect(out.toLowerCase()).toContain("|x-mixed|a, b|x-empty||");
    expect(rest.toLowerCase()).not.toContain("x-hop");
  }, LONG_MS);

  // An upgrade goes by HTTP/1 from proxy to proxy, others by HTTP/2.
  test.each([["HTTP/2", ""], ["HTTP/1", "-H 'Connection: upgrade' -H 'Upgrade: websocket'"]])(
    "the application hears of client and Service, and of no forged ones, over %s",
    async (_name, words) => {
      const forged = "-H 'l5d-client-id: forged' -H 'L5d-Dst-Canonical: forged'";
      const { out } = await curl(`${words} ${forged} ${URL_HTTP}/seen`);
      const told = (name: string) =>
        out.split(`|${name}|`).slice(1).map((rest) => rest.split("|")[0]);
      const meshed = out.match(/l5d-[^|]*/gi)?.sort();
      expect(meshed).toEqual(["l5d-client-id", "l5d-dst-canonical"]);
      expect(told("l5d-client-id")[0]).toStartWith("default.default.serviceaccount.identity.");
      expect(told("l5d-dst-canonical")[0]?.trim())
        .toBe(`apps.default.svc.cluster.local:${PORTS.http}`);
      const stranger = await mesh.stranger.run(
        `curl -sS -m 60 ${words} ${forged} http://${mesh.ip}:${PORTS.http}/seen`,
      );
      expect(stranger.out).toStartWith("GET /seen ");
      expect(stranger.out).not.toContain("l5d-");
    },
    LONG_MS,
  );
}

/** The hash of the application's body of that size. */
function expectedBig(size: number): string {
  const block = new Uint8Array(65_521);
  for (let i = 0; i < block.length; i++) block[i] = (i * i + 31 * i) & 0xff;
  const hash = new Bun.CryptoHasher("sha256");
  for (let left = size; left > 0; left -= block.length) {
    hash.update(block.subarray(0, Math.min(left, block.length)));
  }
  return hash.digest("hex");
}
