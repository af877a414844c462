/**
 * Nanoseconds per header block and per field of HPACK: `bun test/bench/micro/hpack.ts`. For comparing
 * two versions on one quiet machine, not for promises.
 *
 * Steady: every field is in a table. First seen: each value differs from all before, so all are plain
 * literals. Learning: blocks of another encoder that put every field into the table with Huffman code.
 */

import { asciiBytes, ByteBuffer } from "../../../lib/base/bytes.ts";
import { FieldLines, RANGES_PER_HEADER } from "../../../lib/wire/http/mod.ts";
import { HpackDecoder, HpackEncoder } from "../../../lib/wire/http2/hpack/mod.ts";

const CALLS = 50_000;
const ROUNDS = 15;
/** Variants of a message whose values all differ; more than the encoder remembers. */
const VARIANTS = 512;

type Fields = readonly (readonly [name: string, value: string])[];

const SMALL: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "10.43.0.10"],
  [":path", "/"],
];

const BROWSER: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "web.shop.svc.cluster.local:8080"],
  [":path", "/api/v1/items?id=42&sort=asc"],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"],
  ["accept", "text/html,application/json;q=0.9"],
  ["accept-encoding", "gzip, deflate, br"],
  ["accept-language", "en-US,en;q=0.5"],
  ["content-type", "application/json"],
  ["x-request-id", "7c2d9a34-6e2f-4c51-9b52-8c3b4a9d2e11"],
  ["cookie", "session=abcdef0123456789"],
  ["cache-control", "no-cache"],
];

const RESPONSE: Fields = [
  [":status", "200"],
  ["server", "nginx/1.22.1"],
  ["date", "Mon, 23 Nov 2026 09:22:11 GMT"],
  ["content-type", "text/html"],
  ["content-length", "615"],
  ["last-modified", "Mon, 23 Nov 2026 09:22:11 GMT"],
  ["accept-ranges", "bytes"],
];

/** `BROWSER` by the encoder of Python's hpack 4.2.0: everything indexed, Huffman code throughout. */
const BROWSER_HUFFMAN =
  "82864196f058d744e7ad747722e4a2d424b62f41c83a2e3c078144946075998ee160c92d28ff0d240d0b" +
  "e107b1300d047aa7d07f66a281b0dae053fafc087ed4ce6aadf2a7979c89c6bfb521aeba0bc8b1e63258" +
  "6d975765cf5398497ca589d34d1f43aeba0c41a4c7a98e883d5f7da002efff508d9bd9abfa5242cb40d2" +
  "5fa523b3518b2d4b70ddf45abefb4005db5f8b1d75d0620d263d4c7441ea4089f2b585ed6950958d279a" +
  "748291f1b2d2ce1452acd11b0acfc6d896788cc6d0df9045087f60914150831ea80719242ca0089969b7" +
  "1d79ff5886a8eb10649cbf";

/** Fields as an HTTP/1 head has them: bytes and ranges. */
interface Message {
  readonly bytes: Uint8Array;
  readonly ranges: Int32Array;
  readonly count: number;
}

function messageOf(fields: Fields): Message {
  let text = "";
  const ranges: number[] = [];
  for (const [name, value] of fields) {
    const valueStart = text.length + name.length + 2;
    ranges.push(text.length, text.length + name.length, valueStart, valueStart + value.length);
    text += `${name}: ${value}\r\n`;
  }
  return { bytes: asciiBytes(text), ranges: Int32Array.from(ranges), count: fields.length };
}

/** The message with other values of the same length. */
function variantOf(fields: Fields, number: number): Message {
  const tail = number.toString(36).padStart(3, "0");
  return messageOf(
    fields.map(([name, value]) => [name, (value + tail).slice(-Math.max(3, value.length))]),
  );
}

function encode(encoder: HpackEncoder, message: Message, out: ByteBuffer): void {
  out.clear();
  encoder.begin(out);
  for (let i = 0; i < message.count; i++) {
    const at = i * RANGES_PER_HEADER;
    encoder.field(
      message.bytes,
      message.ranges[at]!,
      message.ranges[at + 1]!,
      message.ranges[at + 2]!,
      message.ranges[at + 3]!,
      false,
      out,
    );
  }
}

/** Median and least of some rounds, the first two of which warm up and do not count. */
function measure(title: string, fields: number, call: (i: number) => number): void {
  const samples: number[] = [];
  let sum = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const begin = performance.now();
    for (let i = 0; i < CALLS; i++) sum += call(i);
    if (round >= 2) samples.push(((performance.now() - begin) / CALLS) * 1e6);
  }
  samples.sort((a, b) => a - b);
  const median = samples[samples.length >> 1] ?? 0;
  const least = samples[0] ?? 0;
  // The sum is shown so that no call can be optimized away.
  console.log(
    `${title.padEnd(44)}${median.toFixed(0).padStart(6)} ns, least ${
      least.toFixed(0).padStart(5)
    }: ${(least / fields).toFixed(1).padStart(5)} ns a field   (${sum % 1_000})`,
  );
}

function measureMessage(title: string, fields: Fields): void {
  const out = new ByteBuffer(4_096);
  const lines = new FieldLines();
  const message = messageOf(fields);
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const blocks: Uint8Array[] = [];
  // The first block is plain, the second fills the tables, the third is what all others are.
  for (let i = 0; i < 3; i++) {
    encode(encoder, message, out);
    blocks.push(Uint8Array.from(out.bytes.subarray(out.start, out.end)));
    lines.resetFields();
    decoder.decode(blocks[i]!, 0, blocks[i]!.length, lines);
  }
  measure(`encode ${title}, steady`, fields.length, () => {
    encode(encoder, message, out);
    return out.length;
  });
  const variants = Array.from({ length: VARIANTS }, (_, i) => variantOf(fields, i));
  const changing = new HpackEncoder();
  measure(`encode ${title}, first seen`, fields.length, (i) => {
    encode(changing, variants[i & (VARIANTS - 1)]!, out);
    return out.length;
  });
  for (const [what, block] of [["steady", blocks[2]!], ["first seen", blocks[0]!]] as const) {
    measure(`decode ${title}, ${what} (${block.length} bytes)`, fields.length, () => {
      lines.resetFields();
      decoder.decode(block, 0, block.length, lines);
      return lines.fieldsEnd;
    });
  }
}

measureMessage("small request", SMALL);
measureMessage("browser request", BROWSER);
measureMessage("nginx response", RESPONSE);

// As names come from HTTP/1, whose first letters are mostly in upper case.
const capital = messageOf(BROWSER.map(([name, value]) => [name.toUpperCase(), value]));
const capitalEncoder = new HpackEncoder();
const capitalOut = new ByteBuffer(4_096);
measure("encode browser request in capitals, steady", BROWSER.length, () => {
  encode(capitalEncoder, capital, capitalOut);
  return capitalOut.length;
});

const learned = Uint8Array.from(BROWSER_HUFFMAN.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const learner = new HpackDecoder();
const learnedLines = new FieldLines();
measure(`decode browser request, learning`, BROWSER.length, () => {
  learnedLines.resetFields();
  learner.decode(learned, 0, learned.length, learnedLines);
  return learnedLines.fieldsEnd;
});
