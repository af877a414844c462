/** Bodies as they are written chunked, read again by the framer that reads them from the network. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteBuffer } from "../base/bytes.ts";
import { GATHER_BYTES_MAX } from "../base/limits.ts";
import type { Conn } from "../host/net.ts";
import { type FieldLines, fieldLinesOf } from "../wire/http/mod.ts";
import { BodyFramer } from "../wire/http1/mod.ts";
import { appendChunk, writeChunk, writeTrailers } from "./body-writer.ts";
import type { TransportMetrics } from "./environment.ts";
import { Gatherer } from "./gatherer.ts";
import { Outlet } from "./outlet.ts";

const UNCOUNTED: TransportMetrics = { opened() {}, read() {}, wrote() {}, closed() {} };

/** An outlet on a socket that takes what `takes` says for each write, and everything in the end. */
function outlet(takes: readonly number[]): { out: Outlet; written: () => Uint8Array } {
  const all = new ByteBuffer();
  let turn = 0;
  const conn = {
    write(bytes: Uint8Array, offset: number, length: number): number {
      const taken = Math.min(length, takes[turn++] ?? length);
      all.append(bytes, offset, offset + taken);
      return taken;
    },
  } as unknown as Conn<unknown>;
  const out = new Outlet(conn, UNCOUNTED, new Gatherer());
  return {
    out,
    written: () => {
      while (out.blocked) out.flush();
      return all.bytes.slice(all.start, all.end);
    },
  };
}

/** What a reader makes of a chunked body: its payload, and its trailers as text. */
function read(bytes: Uint8Array): { payload: number[]; trailers: FieldLines | null } {
  const framer = new BodyFramer();
  framer.beginChunked();
  const payload: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    const taken = framer.advance(bytes, at, bytes.length);
    expect(taken).toBeGreaterThan(0);
    for (let i = framer.payloadStart; i < framer.payloadEnd; i++) payload.push(bytes[i]!);
    at += taken;
  }
  expect(framer.done).toBe(true);
  return { payload, trailers: framer.trailers };
}

const sizes = [0, 1, 15, 16, 255, 256, GATHER_BYTES_MAX - 1, GATHER_BYTES_MAX, 20_000, 70_000];
const parts = fc.array(fc.constantFrom(...sizes), { maxLength: 6 });

test("parts of any size, on a socket that takes any part of them", () => {
  const takes = fc.array(fc.nat(5_000), { maxLength: 40 });
  fc.assert(
    fc.property(parts, takes, fc.boolean(), (parts, takes, endsApart) => {
      const { out, written } = outlet(takes);
      const scratch = new ByteBuffer();
      const sent: number[] = [];
      parts.forEach((length, i) => {
        const bytes = Uint8Array.from({ length: length + 2 }, (_, at) => at + i & 0xff);
        for (const byte of bytes.subarray(1, length + 1)) sent.push(byte);
        const last = !endsApart && i === parts.length - 1;
        writeChunk(out, bytes, 1, length + 1, last, scratch);
      });
      if (endsApart || parts.length === 0) writeChunk(out, new Uint8Array(0), 0, 0, true, scratch);
      const { payload, trailers } = read(written());
      expect(Buffer.compare(Buffer.from(payload), Buffer.from(sent))).toBe(0);
      expect(trailers).toBeNull();
    }),
    { seed: 4, numRuns: 60 },
  );
});

test("a part that stands behind a head is the same", () => {
  const scratch = new ByteBuffer();
  appendChunk(Uint8Array.of(0x61, 0x62), 0, 2, false, scratch);
  appendChunk(Uint8Array.of(0x63), 0, 1, true, scratch);
  appendChunk(Uint8Array.of(), 0, 0, false, scratch);
  const text = new TextDecoder().decode(scratch.bytes.subarray(scratch.start, scratch.end));
  expect(text).toBe("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
});

test("trailers go on, but not what is about a connection or speaks for the mesh", () => {
  const { out, written } = outlet([]);
  writeTrailers(
    out,
    fieldLinesOf([["x-a", "1"], ["connection", "x-a"], ["l5d-client-id", "me"], ["x-b", ""]]),
    new ByteBuffer(),
  );
  expect(new TextDecoder().decode(written())).toBe("0\r\nx-a: 1\r\nx-b: \r\n\r\n");
});
