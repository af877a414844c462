/** What is counted once per connection: how its protocol was found, what it asked for, and its end. */

import { expect, test } from "bun:test";
import { identityOf, meshed, serverPolicy, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RawServer, respond } from "../../test/support/raw-http.ts";

const { lab, cleanups, dial } = pathTests();

const GET = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";
const OPENING = "outbound_tcp_detect_http";

async function application(): Promise<RawServer> {
  const app = await new RawServer((socket) => socket.write(respond("yes"))).listen();
  cleanups.push(() => app.stop());
  return app;
}

test("detection is counted where bytes had to tell, with what they told and how long it took", async () => {
  const app = await application();
  const { client, server } = lab.pair(app.port);
  for (const bytes of [GET, "no HTTP\r\n\r\n", "G"]) {
    const shop = dial(client.outbound);
    shop.send(bytes);
    await until("answer", () => shop.text.endsWith("yes"));
  }
  const results = (result: string) => client.count(`${OPENING}_results_total`, { result });
  expect(["http/1", "not_http", "read_timeout", "http/2"].map(results)).toEqual([1, 1, 1, 0]);
  expect(client.count(`${OPENING}_duration_seconds_count`)).toBe(3);
  // Only the one that said too little was waited for.
  expect(client.count(`${OPENING}_duration_seconds_bucket`, { le: "0.1" })).toBe(2);
  // A peer's header says what comes: nothing was looked for.
  expect(server.count("inbound_tcp_detect_http_results_total")).toBe(0);
  const header = (session_protocol: string) =>
    server.count("inbound_tcp_transport_header_connections_total", {
      session_protocol,
      target_port: String(app.port),
      client_id: identityOf("shop"),
    });
  expect([header("http/1") + header("http/2"), header("")]).toEqual([1, 2]);
});

test("a protocol that the policy fixes is not looked for", async () => {
  const app = await application();
  const { client } = lab.pair(app.port, "http1");
  const shop = dial(client.outbound);
  shop.send(GET);
  await until("answer", () => shop.text.endsWith("yes"));
  expect(client.count(`${OPENING}_results_total`)).toBe(0);
  const labels = { protocol: "http/1", parent_kind: "default", parent_name: "test" };
  expect(client.count("outbound_tcp_protocol_connections_total", labels)).toBe(1);
});

test.each(["detect", "opaque"] as const)("an endpoint's zone is a label: %s", async (protocol) => {
  const app = await application();
  const { client, server } = lab.pair(app.port);
  const labels = { pod: "web-1", zone: "b", zone_locality: "remote" };
  client.target(protocol).endpoints({ ...meshed(server, app.port), labels });
  const shop = dial(client.outbound);
  shop.send(GET);
  await until("answer", () => shop.text.endsWith("yes"));
  const zone = {
    dst_service: "test",
    dst_pod: "web-1",
    dst_zone: "b",
    dst_zone_locality: "remote",
  };
  expect(client.count("tcp_open_total", { peer: "dst", ...zone })).toBe(1);
  expect(client.count("request_total", zone)).toBe(protocol === "detect" ? 1 : 0);
});

test("a client without a proxy is detected by its first bytes", async () => {
  const app = await application();
  const server = lab.proxy("web");
  server.inboundOriginal = { ip: "127.0.0.1", port: app.port };
  const client = dial(server.inbound);
  client.send(GET);
  await until("answer", () => client.text.endsWith("yes"));
  const name = "inbound_tcp_detect_http_results_total";
  expect(server.count(name, { result: "http/1" })).toBe(1);
});

test("a connection that a new policy ends is counted as ended, not as denied", async () => {
  const app = await application();
  const { client, server } = lab.pair(app.port, "opaque");
  const shop = dial(client.outbound);
  shop.send("anything");
  await until("answer", () => shop.text.endsWith("yes"));
  server.cell(app.port).set(serverPolicy(null));
  await until("ended", () => shop.over);
  expect(server.count("inbound_tcp_authz_terminate_total", { tls: "true" })).toBe(1);
  expect(server.count("inbound_tcp_authz_deny_total")).toBe(0);
});
