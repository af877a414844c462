/**
 * Nanoseconds per call of the HTTP/1 codec's hot functions: `bun test/bench/micro/http1.ts`. For
 * comparing two versions on one quiet machine, not for promises.
 */

import { asciiBytes, ByteBuffer } from "../../../lib/base/bytes.ts";
import { Method, RequestHead, ResponseHead } from "../../../lib/wire/http/mod.ts";
import {
  BodyFramer,
  detectProtocol,
  frameResponse,
  NO_LINES,
  parseRequestHead,
  parseResponseHead,
  writeRequestHead,
} from "../../../lib/wire/http1/mod.ts";

const CALLS = 200_000;
const ROUNDS = 7;

const SMALL = asciiBytes("GET / HTTP/1.1\r\nHost: 10.43.0.10\r\n\r\n");

const BROWSER = asciiBytes(
  "GET /api/v1/items?id=42&sort=asc HTTP/1.1\r\nHost: web.shop.svc.cluster.local:8080\r\n" +
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" +
    "Accept: text/html,application/json;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n" +
    "Accept-Language: en-US,en;q=0.5\r\nContent-Type: application/json\r\n" +
    "X-Request-Id: 7c2d9a34-6e2f-4c51-9b52-8c3b4a9d2e11\r\nCookie: session=abcdef0123456789\r\n" +
    "Cache-Control: no-cache\r\nConnection: keep-alive\r\n\r\n",
);

const RESPONSE = asciiBytes(
  "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 09:22:11 GMT\r\n" +
    "Content-Type: text/html\r\nContent-Length: 615\r\nConnection: keep-alive\r\n" +
    "Last-Modified: Mon, 23 Nov 2026 09:22:11 GMT\r\nAccept-Ranges: bytes\r\n\r\n",
);

const CHUNK = asciiBytes(`400\r\n${"x".repeat(1_024)}\r\n`);

const ADDED = asciiBytes("l5d-client-id: web.shop.serviceaccount.identity.malla.cluster.local\r\n");

/** Median of some rounds, the first two of which warm up and do not count. */
function measure(title: string, call: () => number): void {
  const samples: number[] = [];
  let sum = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const begin = performance.now();
    for (let i = 0; i < CALLS; i++) sum += call();
    if (round >= 2) samples.push(((performance.now() - begin) / CALLS) * 1e6);
  }
  samples.sort((a, b) => a - b);
  const median = samples[samples.length >> 1] ?? 0;
  // The sum is shown so that no call can be optimized away.
  console.log(`${title.padEnd(36)}${median.toFixed(0).padStart(6)} ns   (${sum % 1_000})`);
}

const request = new RequestHead();
const response = new ResponseHead();
const framer = new BodyFramer();
const out = new ByteBuffer(4_096);

measure("detect", () => detectProtocol(BROWSER, 0, BROWSER.length));
measure(
  `parse small request (${SMALL.length} bytes)`,
  () => parseRequestHead(SMALL, 0, SMALL.length, request),
);
measure("rewrite small request, one line added", () => {
  out.clear();
  writeRequestHead(request, ADDED, null, null, out);
  return out.length;
});
measure(
  `parse browser request (${BROWSER.length} bytes)`,
  () => parseRequestHead(BROWSER, 0, BROWSER.length, request),
);
measure("rewrite browser request", () => {
  out.clear();
  writeRequestHead(request, NO_LINES, null, null, out);
  return out.length;
});
measure(
  `parse response (${RESPONSE.length} bytes)`,
  () => parseResponseHead(RESPONSE, 0, RESPONSE.length, response),
);
measure("frame response", () => {
  frameResponse(framer, response, Method.GET);
  return framer.remaining;
});
framer.beginChunked();
measure("relay a chunk of 1 KiB", () => framer.advance(CHUNK, 0, CHUNK.length));
