/** Heads of HTTP/1 carried by HTTP/2 and written as HTTP/1 again say what they said before. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { asciiBytes, asciiText, ByteBuffer } from "../../base/bytes.ts";
import { FieldLines, fieldLinesOf, type Head, RequestHead, ResponseHead } from "../http/mod.ts";
import {
  NO_LINES,
  parseRequestHead,
  parseResponseHead,
  writeRequestHead,
  writeResponseHead,
} from "../http1/mod.ts";
import { MemoryPeer, requestHead, responseHead } from "../../../test/support/http2-peers.ts";
import { framesOf } from "../../../test/support/raw-http2.ts";
import { PREFACE } from "./frame.ts";
import { HpackDecoder } from "./hpack/mod.ts";
import { readOriginalProtocol, readRequestHead, readResponseHead } from "./read-head.ts";
import { encodeRequest, encodeResponse } from "./write-head.ts";

type Field = readonly [name: string, value: string];

/** What a proxy takes out of a head on its way: what is about the connection, or the mesh's word. */
const DROPPED = /^(connection|keep-alive|proxy-connection|upgrade|transfer-encoding|l5d-.+)$/;
const NEVER_DROPPED = /^(host|content-length)$/;

/** Both directions of header tables, kept for many heads as on a connection. */
class Carrier {
  readonly #peer = new MemoryPeer(false);
  readonly #decoder = new HpackDecoder();

  request(head: RequestHead, added: FieldLines | null): RequestHead {
    const carried = new RequestHead();
    this.#carry((sender) => encodeRequest(sender, head, added, null), carried);
    expect(readRequestHead(carried)).toBe(true);
    readOriginalProtocol(carried);
    return carried;
  }

  response(head: ResponseHead): ResponseHead {
    const carried = new ResponseHead();
    this.#carry((sender) => encodeResponse(sender, head, null), carried);
    expect(readResponseHead(carried)).toBe(true);
    return carried;
  }

  #carry(encode: (sender: MemoryPeer["session"]["sender"]) => void, carried: Head): void {
    const { sender } = this.#peer.session;
    sender.out.clear();
    sender.beginHeaders();
    encode(sender);
    sender.endHeaders(sender.open(false), true);
    const { bytes, start, end } = sender.out;
    const blocks = framesOf(bytes.slice(start, end)).map(({ payload }) => payload);
    const out = new ByteBuffer();
    for (const block of blocks) out.append(block, 0, block.length);
    expect(this.#decoder.decode(out.bytes, out.start, out.end, carried)).toBe(0);
    expect([carried.malformed, carried.tooLarge]).toEqual([false, false]);
  }
}

function requestText(head: RequestHead): string {
  const out = new ByteBuffer();
  writeRequestHead(head, NO_LINES, null, null, out);
  return asciiText(out.bytes, out.start, out.end);
}

function responseText(head: ResponseHead): string {
  const out = new ByteBuffer();
  writeResponseHead(head, true, NO_LINES, null, out);
  return asciiText(out.bytes, out.start, out.end);
}

/** The fields as they must come out, in their order; Host, which moves to the front, apart. */
function expectedFields(fields: readonly Field[]): Field[] {
  const named = fields.filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(",").map(trimmed));
  return fields.map(([name, value]): Field => [name.toLowerCase(), trimmed(value)])
    .filter(([name]) => NEVER_DROPPED.test(name) || !(DROPPED.test(name) || named.includes(name)))
    .flatMap(([name, value]): Field[] => {
      if (name !== "te") return [[name, value]];
      return value.toLowerCase().split(",").map(trimmed).includes("trailers")
        ? [[name, "trailers"]]
        : [];
    });
}

const trimmed = (text: string) => text.replace(/^[ \t]+|[ \t]+$/g, "");

function fieldsOf(head: Head): Field[] {
  return Array.from({ length: head.count }, (_, i) => [head.headerName(i), head.headerText(i)]);
}

const TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const token = fc.string({ unit: fc.constantFrom(...TCHAR), minLength: 1, maxLength: 16 });
const name = fc.oneof(
  { weight: 3, arbitrary: token },
  fc.constantFrom(
    ..."Connection,Keep-Alive,Proxy-Connection,TE,Upgrade,Cookie,X-A,x-a,Accept,l5d-client-id"
      .split(","),
    ..."Authorization,Expect,grpc-status,content-type,L5D-X,l5d,Set-Cookie,Trailer,Via".split(","),
  ),
).filter((each) => !/^(host|content-length|transfer-encoding)$/i.test(each));
const latin = fc.integer({ min: 0x21, max: 0xff }).filter((code) => code !== 0x7f)
  .map((code) => String.fromCharCode(code));
const value = fc.oneof(
  fc.constantFrom(
    "",
    "trailers",
    "gzip, Trailers",
    "close",
    "x-a, TE",
    "keep-alive,Cookie",
    "h2c",
    "a",
  ),
  fc.string({ unit: latin, maxLength: 40 }),
  fc.array(fc.string({ unit: latin, minLength: 1, maxLength: 5 }), { maxLength: 4 })
    .map((parts) => parts.join(" ")),
  fc.integer({ min: 0, max: 6_000 }).map((length) => "v".repeat(length)),
);
const fields = fc.array(fc.tuple(name, value), { maxLength: 12 });
const host = fc.constantFrom("web", "WEB:80", "[::1]:8080", "a-b.c", "");
const path = fc.string({ unit: latin.filter((c) => c !== "#"), maxLength: 30 })
  .map((rest) => `/${rest}`);
const method = fc.oneof(
  fc.constantFrom(
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "get",
    "M-SEARCH",
  ),
  token.filter((each) => each !== "CONNECT"),
);
const target = fc.oneof(
  { weight: 3, arbitrary: path },
  fc.tuple(fc.constantFrom("http", "https", "ws"), fc.constantFrom("", "/", "/p?q", "?q"))
    .map(([scheme, rest]) => `${scheme}://b.c:81${rest}`),
);

const text = (start: string, all: readonly Field[]) =>
  [start, ...all.map(([name, value]) => `${name}: ${value}`)].join("\r\n");

describe("a request", () => {
  const carrier = new Carrier();

  test("is the same behind HTTP/2", () => {
    fc.assert(
      fc.property(method, target, fc.constantFrom(0, 1), host, fields, fc.nat(3), (...made) => {
        const [method, target, minor, host, others, place] = made;
        const all: Field[] = [...others];
        all.splice(Math.min(place, all.length), 0, ["Host", host]);
        const sent = requestHead(text(`${method} ${target} HTTP/1.${minor}`, all));
        const carried = carrier.request(sent, null);
        const got = new RequestHead();
        const bytes = asciiBytes(requestText(carried));
        expect(parseRequestHead(bytes, 0, bytes.length, got)).toBe(bytes.length);
        const isAbsolute = !target.startsWith("/");
        expect([got.methodText(), got.versionMinor]).toEqual([method, minor]);
        expect(got.targetText()).toBe(wantedTarget(method, target));
        // RFC 9112 §3.2.2: the target's authority is the host, whatever Host says.
        expect(fieldsOf(got).filter(([name]) => name === "host")).toEqual([
          ["host", isAbsolute ? "b.c:81" : host],
        ]);
        expect(fieldsOf(got).filter(([name]) => name !== "host")).toEqual(
          expectedFields(others),
        );
      }),
      { seed: 1, numRuns: 1_000 },
    );
  });

  test("of HTTP/1.0 needs no Host", () => {
    const carried = carrier.request(requestHead("GET /a HTTP/1.0\r\nX: y"), null);
    expect(requestText(carried)).toBe("GET /a HTTP/1.0\r\nx: y\r\n\r\n");
  });

  test("asks for the whole server, or one behind a proxy", () => {
    for (const target of ["*", "http://web"]) {
      const head = requestHead(`OPTIONS ${target} HTTP/1.1\r\nHost: web`);
      const text = requestText(carrier.request(head, null));
      expect(text).toBe(`OPTIONS ${target} HTTP/1.1\r\nhost: web\r\n\r\n`);
    }
  });

  test("takes what is added, and its body's length", () => {
    const added = fieldLinesOf([["l5d-dst-canonical", "web"]]);
    const head = requestHead("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nl5d-x: forged");
    const carried = carrier.request(head, added);
    expect(carried.contentLength).toBe(5);
    expect(fieldsOf(carried).filter(([name]) => name.startsWith("l5d-"))).toEqual([
      ["l5d-orig-proto", "HTTP/1.1"],
      ["l5d-dst-canonical", "web"],
    ]);
  });

  test("keeps a field that must never be indexed so", () => {
    const server = new MemoryPeer(true);
    server.session.start();
    const secret = [0x10, 0x0d, ...asciiBytes("authorization"), 1, 0x78];
    const block = Uint8Array.of(0x82, 0x86, 0x84, 0x41, 1, 0x61, ...secret);
    const head = Uint8Array.of(0, 0, block.length, 1, 5, 0, 0, 0, 1);
    server.receive(Uint8Array.of(...PREFACE, 0, 0, 0, 4, 0, 0, 0, 0, 0, ...head, ...block));
    const carried = carrier.request(server.streams[0]!.request!, null);
    const i = carried.find(asciiBytes("authorization"));
    expect([carried.headerText(i), carried.isNeverIndexed(i)]).toEqual(["x", true]);
  });
});

describe("a response", () => {
  const carrier = new Carrier();
  const status = fc.integer({ min: 200, max: 999 });
  const length = fc.option(fc.nat());

  test("is the same behind HTTP/2, but for its reason", () => {
    fc.assert(
      fc.property(status, length, fields, (status, length, others) => {
        const all: Field[] = [...others];
        if (length !== null) all.push(["Content-Length", String(length)]);
        const head = responseHead(text(`HTTP/1.1 ${status} any`, all));
        const carried = carrier.response(head);
        expect([carried.status, carried.contentLength]).toEqual([status, length ?? -1]);
        const bytes = asciiBytes(responseText(carried));
        const got = new ResponseHead();
        expect(parseResponseHead(bytes, 0, bytes.length, got)).toBe(bytes.length);
        expect(got.status).toBe(status);
        expect(fieldsOf(got)).toEqual(expectedFields(all));
      }),
      { seed: 2, numRuns: 1_000 },
    );
  });

  test("of 1xx goes on", () => {
    const carried = carrier.response(responseHead("HTTP/1.1 103 Early Hints\r\nLink: </a>"));
    expect(responseText(carried)).toBe("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  });
});

/** Without a path, OPTIONS asks for the server, and other methods for its root (RFC 9113 §8.3.1). */
function wantedTarget(method: string, target: string): string {
  if (target.startsWith("/")) return target;
  const rest = target.slice(target.indexOf("b.c:81") + 6);
  if (rest.startsWith("/") || (rest === "" && method === "OPTIONS")) return target;
  const path = rest === "" ? "/" : `/${rest}`;
  return `${target.slice(0, target.length - rest.length)}${path}`;
}
