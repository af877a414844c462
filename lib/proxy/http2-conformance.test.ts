/** What HTTP/2 between proxies must not lose or break, on a connection that many requests share. */

import { afterEach, beforeAll, expect, test } from "bun:test";
import { HEADER_BYTES_MAX, HEADER_COUNT_MAX } from "../base/limits.ts";
import { RawClient, RawServer } from "../../test/support/raw-http.ts";
import { meshed, PathLab, until } from "../../test/support/paths.ts";

let lab: PathLab;
const cleanups: (() => unknown)[] = [];

beforeAll(() => {
  lab = new PathLab(["shop", "web"]);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  await lab.stop();
});

/** Two proxies with HTTP/2 between them, in front of an application that speaks HTTP/1. */
async function pairOf(serve: (text: string) => string) {
  const app = await new RawServer((socket, text) => void socket.write(serve(text))).listen();
  cleanups.push(() => app.stop());
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  client.target().endpoints({ ...meshed(server, app.port), hint: "h2" });
  return { app, client, server };
}

function speak(to: { port: number }): RawClient {
  const client = new RawClient(to.port);
  cleanups.push(() => client.stop());
  return client;
}

/** A head of exactly so many bytes, with as many fields as there may be. */
function largeHead(start: string, bytes: number): string {
  let head = `${start}\r\n`;
  const left = HEADER_COUNT_MAX - head.split("\r\n").length + 2;
  for (let i = 1; i < left; i++) head += `x-${i}: ${"v".repeat(100)}\r\n`;
  return `${head}x-last: ${"l".repeat(bytes - head.length - 12)}\r\n\r\n`;
}

test("heads of the largest size pass both ways, and cost no other request anything", async () => {
  const { client, server } = await pairOf((text) => {
    if (text.startsWith("GET /slow")) return "";
    const bytes = HEADER_BYTES_MAX;
    const head = largeHead("HTTP/1.1 200 OK\r\ncontent-length: 2", bytes);
    return text.endsWith("\r\n\r\n") ? `${head}ok` : "";
  });
  const slow = speak(client.outbound).send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  await until("asked", () => server.count("request_total") === 1);
  const one = speak(client.outbound);
  const head = largeHead("GET / HTTP/1.1\r\nHost: a", HEADER_BYTES_MAX);
  expect(head.length).toBe(HEADER_BYTES_MAX);
  one.send(head);
  await until("an answer", () => /\r\n\r\n(ok)?$/.test(one.text) || one.over);
  expect(one.text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(one.text.split("\r\n").length - 3).toBe(HEADER_COUNT_MAX);
  expect(slow.over).toBe(false);
  expect(server.count("tcp_open_total", { peer: "src" })).toBe(1);
});
