/**
 * A bounded fuzz run: mutations of a small corpus, seeded, so that a failure is repeated by its seed.
 * Nothing may throw, no split may change the outcome, and whatever is taken must be harmless.
 */

import { expect, test } from "bun:test";
import { seedOf } from "../../../test/support/fuzz.ts";
import { asciiBytes, ByteBuffer } from "../../base/bytes.ts";
import { Prng } from "../../base/prng.ts";
import { type Head, RequestHead, ResponseHead } from "../http/mod.ts";
import {
  BodyFramer,
  Detected,
  detectProtocol,
  http1ReasonName,
  NO_LINES,
  parseRequestHead,
  parseResponseHead,
  writeRequestHead,
  writeResponseHead,
} from "./mod.ts";

const REQUESTS = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST /x HTTP/1.1\r\nHost: a:80\r\nContent-Length: 10\r\nConnection: close, x\r\nX: y\r\n\r\n",
  "PUT http://h/p HTTP/1.0\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
  "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nl5d-x: y\r\n\r\n",
  "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nKeep-Alive: 5\r\n\r\n",
].map(asciiBytes);

const RESPONSES = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
  "HTTP/1.0 404\r\nTransfer-Encoding: gzip, chunked\r\nKeep-Alive: timeout=5\r\n\r\n",
  "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
].map(asciiBytes);

const BODIES = [
  "5\r\nhello\r\n0\r\n\r\n",
  "a;ext=1\r\n0123456789\r\n00\r\nTrailer: x\r\n\r\n",
].map(asciiBytes);

/** Bytes and words that parsers trip over. */
const SPICE = [
  ..."\r\n :,;\t0\x00\x7f\xff#/".split(""),
  "\r\n",
  "\r\n\r\n",
  "Content-Length: 1\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: te\r\n",
  "Host: b\r\n",
  " HTTP/1.1",
  "chunked",
].map(asciiBytes);

const ROUNDS = 4_000;

/** One to four random edits: a byte changed, a piece removed, repeated, or put in. */
function mutate(prng: Prng, original: Uint8Array): Uint8Array {
  let bytes = original;
  for (let edits = prng.between(1, 4); edits > 0; edits--) {
    const at = prng.below(bytes.length + 1);
    const stop = Math.min(bytes.length, at + prng.below(8));
    const spice = prng.pick(SPICE);
    switch (prng.below(4)) {
      case 0:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...spice, ...bytes.subarray(at)]);
        break;
      case 1:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(stop)]);
        break;
      case 2:
        bytes = Uint8Array.from([...bytes.subarray(0, stop), ...bytes.subarray(at)]);
        break;
      default:
        bytes = Uint8Array.from(bytes);
        if (at < bytes.length) bytes[at] = prng.below(256);
    }
  }
  return bytes;
}

type ParseHead<H extends Head> = (
  bytes: Uint8Array,
  start: number,
  end: number,
  head: H,
  scanned: number,
) => number;

/** Parses whole and in random pieces; both must agree. Returns the result. */
function parseBoth<H extends Head>(
  prng: Prng,
  bytes: Uint8Array,
  parse: ParseHead<H>,
  head: H,
): number {
  let pieces = 0;
  for (let end = 0; end < bytes.length && pieces === 0;) {
    end = Math.min(bytes.length, end + prng.between(1, 40));
    pieces = parse(bytes, 0, end, head, head.scanned);
  }
  const count = head.count;
  head.reset();
  const whole = parse(bytes, 0, bytes.length, head, 0);
  // A mistake in an unfinished last line may not have been told yet.
  if (!(whole < 0 && pieces === 0)) {
    expect([pieces, pieces > 0 ? count : 0]).toEqual([whole, whole > 0 ? head.count : 0]);
  }
  return whole;
}

/** What must hold for a head that was taken, whatever the input. */
function checkTaken(bytes: Uint8Array, length: number, head: Head): void {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(bytes[i]!);
  expect(text.endsWith("\r\n\r\n")).toBe(true);
  expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
  expect(text).not.toMatch(/\r\n[ \t]/);
  const lengths = text.match(/^content-length[ \t]*:/gim)?.length ?? 0;
  const encodings = text.match(/^transfer-encoding[ \t]*:/gim)?.length ?? 0;
  expect(lengths + encodings).toBeLessThanOrEqual(1);
  expect(head.contentLength >= 0).toBe(lengths === 1);
  expect(head.chunked).toBe(encodings === 1);
}

function fuzzHeads<H extends Head>(
  seed: number,
  corpus: readonly Uint8Array[],
  parse: ParseHead<H>,
  head: H,
): Set<string> {
  const prng = new Prng(seedOf(seed));
  const outcomes = new Set<string>();
  const out = new ByteBuffer();
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(prng, prng.pick(corpus));
    head.reset();
    const length = parseBoth(prng, bytes, parse, head);
    outcomes.add(length > 0 ? "taken" : length === 0 ? "more" : http1ReasonName(length));
    if (length <= 0) continue;
    checkTaken(bytes, length, head);
    out.clear();
    if (head instanceof RequestHead) writeRequestHead(head, NO_LINES, null, null, out);
    else if (head instanceof ResponseHead) writeResponseHead(head, false, NO_LINES, null, out);
    const { contentLength, chunked } = head;
    expect(parse(out.bytes, out.start, out.end, head, 0)).toBe(out.length);
    expect([head.contentLength, head.chunked]).toEqual([contentLength, chunked]);
    expect(head.hasMeshHeaders).toBe(false);
  }
  return outcomes;
}

test("mutated request heads are taken or refused the same in any pieces, and harmless", () => {
  const outcomes = fuzzHeads(1, REQUESTS, parseRequestHead, new RequestHead());
  // The run must reach both ends, else it proves nothing.
  for (const outcome of ["taken", "more", "bare lf", "bad host", "conflicting length"]) {
    expect(outcomes).toContain(outcome);
  }
});

test("mutated response heads are taken or refused the same in any pieces, and harmless", () => {
  const outcomes = fuzzHeads(2, RESPONSES, parseResponseHead, new ResponseHead());
  for (const outcome of ["taken", "more", "bad status line", "bad transfer encoding"]) {
    expect(outcomes).toContain(outcome);
  }
});

test("mutated chunked bodies end or fail at the same byte in any pieces", () => {
  const prng = new Prng(seedOf(3));
  let ended = 0;
  let failed = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(prng, prng.pick(BODIES));
    const whole = new BodyFramer();
    whole.beginChunked();
    let expected = 0;
    for (let step = 1; step > 0 && expected < bytes.length && !whole.done; expected += step) {
      step = whole.advance(bytes, expected, bytes.length);
      if (step < 0) expected = 0;
    }
    const pieces = new BodyFramer();
    pieces.beginChunked();
    let at = 0;
    let taken = 0;
    while (at < bytes.length && taken >= 0 && !pieces.done) {
      taken = pieces.advance(bytes, at, Math.min(bytes.length, at + prng.between(1, 5)));
      at += taken;
    }
    expect(taken < 0 ? taken : at).toBe(expected);
    expect([pieces.done, pieces.bytes]).toEqual([whole.done, whole.bytes]);
    if (whole.done) ended++;
    else if (expected < 0) failed++;
  }
  expect(ended).toBeGreaterThan(100);
  expect(failed).toBeGreaterThan(100);
});

test("whatever the parser takes, detection calls HTTP/1, and a verdict never changes", () => {
  const prng = new Prng(seedOf(4));
  const head = new RequestHead();
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(prng, prng.pick(REQUESTS));
    let verdict: Detected = Detected.MORE;
    for (let end = 0; end <= bytes.length; end++) {
      const now = detectProtocol(bytes, 0, end);
      if (verdict !== Detected.MORE) expect(now).toBe(verdict);
      verdict = now;
    }
    if (parseRequestHead(bytes, 0, bytes.length, head) <= 0) continue;
    const letters = /^[A-Za-z_-]+ /.test(String.fromCharCode(...bytes));
    if (letters) expect(verdict).toBe(Detected.HTTP1);
  }
});
