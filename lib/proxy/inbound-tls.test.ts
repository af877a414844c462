/** TLS to our identity on the application's own port: which protocol it agrees on, and what goes inside. */

import { describe, expect, test } from "bun:test";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { RawServer, respond } from "../../test/support/raw-http.ts";
import { frame, GET_BLOCK, hello } from "../../test/support/raw-http2.ts";
import { RawPeer } from "../../test/support/raw-peer.ts";
import { identityOf, serverPolicy, type TestProxy, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import type { PortProtocol } from "../mesh/policy.ts";

const { lab, cleanups } = pathTests();

/** A proxy whose connections were redirected from the application's port. */
function inFrontOf(port: number, protocol: PortProtocol): TestProxy {
  const server = lab.proxy("web");
  server.inboundOriginal = { ip: "127.0.0.1", port };
  server.cell(port).set(serverPolicy({ kind: "unauthenticated" }, { protocol }));
  return server;
}

function dial(server: TestProxy, alpn: readonly string[], name: "shop" | null = null): RawPeer {
  const { trustAnchors } = lab.credentials("shop");
  const peer = new RawPeer({
    port: server.inbound.port,
    credentials: name === null ? null : lab.credentials(name),
    trustAnchors,
    serverName: identityOf("web"),
    alpn,
  });
  cleanups.push(() => peer.stop());
  return peer;
}

describe("TLS to our identity on the application's port", () => {
  test.each<[PortProtocol, readonly string[], string | false]>([
    ["detect", [], false],
    ["detect", ["h2"], "h2"],
    ["detect", ["http/1.1"], "http/1.1"],
    ["detect", ["h2", "http/1.1"], "http/1.1"],
    ["http1", ["h2", "http/1.1"], "http/1.1"],
    ["http2", ["http/1.1", "h2"], "h2"],
    ["grpc", ["h2"], "h2"],
  ])("where the port's protocol is %p and the client offers %p", async (protocol, alpn, chosen) => {
    const peer = dial(inFrontOf(9, protocol), alpn);
    await until("secured", () => peer.secured || peer.closed);
    expect([peer.secured, peer.socket.alpnProtocol || false]).toEqual([true, chosen]);
  });

  test("HTTP/2 goes to the application, with the client's identity where it has one", async () => {
    const app = createServer().on("stream", (stream: ServerHttp2Stream, headers) => {
      stream.respond({ ":status": 200 });
      stream.end(`for ${headers["l5d-client-id"] ?? "nobody"}`);
    });
    await new Promise<void>((done) => app.listen(0, "127.0.0.1", done));
    cleanups.push(() => app.close());
    const server = inFrontOf((app.address() as AddressInfo).port, "detect");
    for (const name of [null, "shop"] as const) {
      for (const alpn of [["h2"], []]) {
        const peer = dial(server, alpn, name);
        peer.send(hello(), frame(1, 0x5, 1, GET_BLOCK));
        await until("an answer", () => peer.text.includes("for "));
        expect(peer.text).toContain(`for ${name === null ? "nobody" : identityOf(name)}`);
      }
    }
    expect(server.count("request_total", { tls: "true", client_id: identityOf("shop") })).toBe(2);
    expect(server.count("request_total", { tls: "true", client_id: "" })).toBe(2);
  });

  test("HTTP/1 goes to the application", async () => {
    const app = await new RawServer((socket) => void socket.write(respond("ok"))).listen();
    cleanups.push(() => app.stop());
    const peer = dial(inFrontOf(app.port, "detect"), ["h2", "http/1.1"]);
    peer.send(Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    await until("an answer", () => peer.text.endsWith("ok"));
  });

  test("a client that wants another protocol is told that there is none", async () => {
    const peer = dial(inFrontOf(9, "detect"), ["mqtt"]);
    await until("closed", () => peer.closed);
    expect(peer.secured).toBe(false);
  });
});
