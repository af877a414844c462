/** The smuggling table: what is refused, and why. Each reason must be provoked here. */

import { describe, expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import {
  CHUNK_EXTENSION_BYTES_MAX,
  CHUNK_EXTENSION_TOTAL_BYTES_MAX,
  HEADER_BYTES_MAX,
  HEADER_COUNT_MAX,
  LEADING_CRLF_MAX,
  TRAILER_BYTES_MAX,
} from "../../base/limits.ts";
import { RequestHead, ResponseHead } from "../http/mod.ts";
import {
  BodyFramer,
  Http1Reason,
  http1ReasonName,
  parseRequestHead,
  parseResponseHead,
} from "./mod.ts";

type Row = readonly [text: string, reason: Http1Reason];

const R = Http1Reason;
const H = "Host: a\r\n";

const REQUESTS: readonly Row[] = [
  // Two lengths, or none that both sides agree on.
  [
    `POST / HTTP/1.1\r\n${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
    R.LENGTH_AND_CHUNKED,
  ],
  [
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n`,
    R.LENGTH_AND_CHUNKED,
  ],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`, R.CONFLICTING_LENGTH],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 5\r\nContent-Length: 5\r\n\r\n`, R.CONFLICTING_LENGTH],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 5, 5\r\n\r\n`, R.CONFLICTING_LENGTH],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 5, 6\r\n\r\n`, R.CONFLICTING_LENGTH],
  [`POST / HTTP/1.1\r\n${H}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`, R.CONFLICTING_LENGTH],
  [
    `POST / HTTP/1.1\r\n${H}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n`,
    R.LENGTH_AND_CHUNKED,
  ],
  ...["", "+5", "-5", "0x5", "5 5", "5.0", "five", "5\t", "\t5", "9007199254740992", "5;"].map((
    value,
  ): Row => [
    `POST / HTTP/1.1\r\n${H}Content-Length: ${value}\r\n\r\n`,
    R.BAD_CONTENT_LENGTH,
  ]),
  ...[
    "gzip, chunked",
    "chunked, chunked",
    "chunked,",
    "chunked\t",
    "\tchunked",
    "identity",
    "",
    "xchunked",
    "chunked\x80",
  ]
    .map((value): Row => [
      `POST / HTTP/1.1\r\n${H}Transfer-Encoding: ${value}\r\n\r\n`,
      R.BAD_TRANSFER_ENCODING,
    ]),
  [
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
    R.BAD_TRANSFER_ENCODING,
  ],
  [`POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n`, R.BAD_TRANSFER_ENCODING],
  // Header lines that parsers read in different ways.
  [`POST / HTTP/1.1\r\n${H}Content-Length : 5\r\n\r\n`, R.BAD_HEADER_NAME],
  [`POST / HTTP/1.1\r\n${H}Transfer-Encoding\t: chunked\r\n\r\n`, R.BAD_HEADER_NAME],
  [`POST / HTTP/1.1\r\n${H}Content\x00-Length: 5\r\n\r\n`, R.BAD_HEADER_NAME],
  [`GET / HTTP/1.1\r\n${H}no colon\r\n\r\n`, R.BAD_HEADER_NAME],
  [`GET / HTTP/1.1\r\n${H}: empty\r\n\r\n`, R.BAD_HEADER_NAME],
  [`GET / HTTP/1.1\r\n${H}n\xe9: x\r\n\r\n`, R.BAD_HEADER_NAME],
  [`GET / HTTP/1.1\r\n${H}X: a\x00b\r\n\r\n`, R.BAD_HEADER_VALUE],
  [`GET / HTTP/1.1\r\n${H}X: a\x0bb\r\n\r\n`, R.BAD_HEADER_VALUE],
  [`GET / HTTP/1.1\r\n${H}X: a\x7fb\r\n\r\n`, R.BAD_HEADER_VALUE],
  [`GET / HTTP/1.1\r\n${H}X: a\r\n folded\r\n\r\n`, R.OBS_FOLD],
  [`GET / HTTP/1.1\r\n${H}X: a\r\n\tfolded\r\n\r\n`, R.OBS_FOLD],
  [`GET / HTTP/1.1\r\n Host: a\r\n\r\n`, R.OBS_FOLD],
  [`GET / HTTP/1.1\r\n${H}X: a\nY: b\r\n\r\n`, R.BARE_LF],
  [`GET / HTTP/1.1\r\n${H}\n`, R.BARE_LF],
  [`GET / HTTP/1.1\n${H}\r\n`, R.BARE_LF],
  [`\nGET / HTTP/1.1\r\n${H}\r\n`, R.BARE_LF],
  [`GET / HTTP/1.1\r\n${H}X: a\rY: b\r\n\r\n`, R.BARE_CR],
  [`GET / HTTP/1.1\r\n${H}X: a\r\r\n\r\n`, R.BARE_CR],
  [`GET / HTTP/1.1\r\n${H}\rX`, R.BARE_CR],
  [`\rGET / HTTP/1.1\r\n${H}\r\n`, R.BARE_CR],
  // Whom it is for.
  ["GET / HTTP/1.1\r\n\r\n", R.BAD_HOST],
  ["GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", R.BAD_HOST],
  ["GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", R.BAD_HOST],
  ...["a b", "a/b", "a@b", "a, b", "a#", "a\\b", "\xe9"].map((host): Row => [
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    R.BAD_HOST,
  ]),
  // The request line.
  [`GET  / HTTP/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`GET / HTTP/1.1 \r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`GET / x HTTP/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`GET\t/ HTTP/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [` GET / HTTP/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  ["GET /\r\n\r\n", R.BAD_REQUEST_LINE],
  [`GET /a\x00b HTTP/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`GET / http/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`GET / HTTP/1.10\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`GET / H\r\n\r\n`, R.BAD_REQUEST_LINE],
  [`${"\r\n".repeat(LEADING_CRLF_MAX + 1)}GET / HTTP/1.1\r\n${H}\r\n`, R.BAD_REQUEST_LINE],
  [`ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n${H}\r\n`, R.BAD_METHOD],
  [`GET / HTTP/2.0\r\n${H}\r\n`, R.BAD_VERSION],
  [`GET / HTTP/1.2\r\n${H}\r\n`, R.BAD_VERSION],
  [`GET / HTTP/0.9\r\n${H}\r\n`, R.BAD_VERSION],
  ...[
    "path",
    "*",
    "http:/a",
    "http://",
    "http:///a",
    "http:x/a",
    "httpx//a",
    "http://u@h/",
    "://a",
    "/x#f",
  ]
    .map((target): Row => [
      `GET ${target} HTTP/1.1\r\n${H}\r\n`,
      target.includes("#") ? R.BAD_REQUEST_LINE : R.BAD_TARGET,
    ]),
  ...["/", "a", ":80", "a:", "a/b:80"].map((target): Row => [
    `CONNECT ${target} HTTP/1.1\r\n${H}\r\n`,
    R.BAD_TARGET,
  ]),
  [`OPTIONS *x HTTP/1.1\r\n${H}\r\n`, R.BAD_TARGET],
  [`OPTIONS x HTTP/1.1\r\n${H}\r\n`, R.BAD_TARGET],
  // Too much of it.
  [`GET / HTTP/1.1\r\n${H}${"a: b\r\n".repeat(HEADER_COUNT_MAX)}\r\n`, R.TOO_MANY_HEADERS],
  [`GET / HTTP/1.1\r\n${H}X: ${"y".repeat(HEADER_BYTES_MAX)}\r\n\r\n`, R.TOO_LARGE],
  [`GET /${"y".repeat(HEADER_BYTES_MAX)}`, R.TOO_LARGE],
];

const RESPONSES: readonly Row[] = [
  ["HTTP/2 200\r\n\r\n", R.BAD_STATUS_LINE],
  ["SSH-2.0-OpenSSH\r\n", R.BAD_STATUS_LINE],
  ["HTTP/1.1  200 OK\r\n\r\n", R.BAD_STATUS_LINE],
  ["HTTP/1.1 2000 OK\r\n\r\n", R.BAD_STATUS_LINE],
  ["HTTP/1.1 099 OK\r\n\r\n", R.BAD_STATUS_LINE],
  ...["2x0", "20x", "x00", "2/0", "20/", "/00", "2:0", "20:", ":00", "-10", "1 0"].map(
    (status): Row => [`HTTP/1.1 ${status} OK\r\n\r\n`, R.BAD_STATUS_LINE],
  ),
  ["HTTP/1.3 200 OK\r\n\r\n", R.BAD_VERSION],
  ["HTTP/1.1 200 OK\n\r\n", R.BARE_LF],
  ["HTTP/1.1 200\n\r\n\r\n", R.BARE_LF],
  ["HTTP/1.1 200 O\x00K\r\n\r\n", R.BAD_HEADER_VALUE],
  ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", R.CONFLICTING_LENGTH],
  [
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    R.LENGTH_AND_CHUNKED,
  ],
  ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", R.BAD_TRANSFER_ENCODING],
  ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", R.BAD_TRANSFER_ENCODING],
  ["HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", R.BAD_CONTENT_LENGTH],
  ["HTTP/1.1 101 x\r\nTransfer-Encoding: chunked\r\n\r\n", R.BAD_TRANSFER_ENCODING],
  ["HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", R.OBS_FOLD],
];

const extension = `;${"e".repeat(CHUNK_EXTENSION_BYTES_MAX)}`;
const chunkWithExtension = `1${extension}\r\nx\r\n`;

const CHUNKED: readonly Row[] = [
  ...["\r\n", "g\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "1 \r\n", ";a\r\n", "1,\r\n"].map(
    (text): Row => [text, R.BAD_CHUNK_SIZE],
  ),
  ["00000000000000001\r\n", R.BAD_CHUNK_SIZE],
  ["ffffffffffffffff\r\n", R.BAD_CHUNK_SIZE],
  ["20000000000000\r\n", R.BAD_CHUNK_SIZE],
  ["1\nx\r\n", R.BARE_LF],
  ["1;a\nx\r\n", R.BAD_CHUNK_EXTENSION],
  ["1;a\x00\r\n", R.BAD_CHUNK_EXTENSION],
  [`1${extension}e\r\n`, R.BAD_CHUNK_EXTENSION],
  [
    chunkWithExtension.repeat(
      Math.floor(CHUNK_EXTENSION_TOTAL_BYTES_MAX / CHUNK_EXTENSION_BYTES_MAX) + 1,
    ),
    R.BAD_CHUNK_EXTENSION,
  ],
  ["1\rx", R.BARE_CR],
  ["1\r\nxy\r\n", R.BAD_CHUNK_END],
  ["1\r\nx\n", R.BAD_CHUNK_END],
  ["1\r\nx\rx", R.BAD_CHUNK_END],
  ["0\r\n\n", R.BARE_LF],
  ["0\r\n\rx", R.BARE_CR],
  ["0\r\nGET / HTTP/1.1\r\n", R.BAD_TRAILER],
  ["0\r\nA : b\r\n\r\n", R.BAD_TRAILER],
  ["0\r\n folded\r\n", R.BAD_TRAILER],
  ["0\r\nContent-Length: 5\r\n\r\n", R.BAD_TRAILER],
  ["0\r\nTRANSFER-ENCODING: chunked\r\n\r\n", R.BAD_TRAILER],
  ["0\r\nHost: b\r\n\r\n", R.BAD_TRAILER],
  ["0\r\nL5d-Client-Id: admin\r\n\r\n", R.BAD_TRAILER],
  [`0\r\n${"a:\r\n".repeat(HEADER_COUNT_MAX + 1)}\r\n`, R.BAD_TRAILER],
  ["0\r\nA: b\nC: d\r\n\r\n", R.BARE_LF],
  ["0\r\nA: b\rC: d\r\n\r\n", R.BARE_CR],
  ["0\r\nA: \x00\r\n\r\n", R.BAD_HEADER_VALUE],
  [`0\r\nA: ${"b".repeat(TRAILER_BYTES_MAX)}\r\n\r\n`, R.TOO_LARGE],
];

function refuseRequest(bytes: Uint8Array, end: number): number {
  return parseRequestHead(bytes, 0, end, new RequestHead());
}

function refuseResponse(bytes: Uint8Array, end: number): number {
  return parseResponseHead(bytes, 0, end, new ResponseHead());
}

function refuseChunked(bytes: Uint8Array, end: number): number {
  const framer = new BodyFramer();
  framer.beginChunked();
  let at = 0;
  for (let taken = 1; taken > 0 && at < end; at += taken) {
    taken = framer.advance(bytes, at, end);
    if (taken < 0) return taken;
  }
  return at;
}

/** The first result that is not "more", when the bytes come one by one. */
function stepwise(bytes: Uint8Array, head: RequestHead | ResponseHead): number {
  for (let end = 1; end <= bytes.length; end++) {
    const result = head instanceof RequestHead
      ? parseRequestHead(bytes, 0, end, head, head.scanned)
      : parseResponseHead(bytes, 0, end, head, head.scanned);
    if (result !== 0) return result;
  }
  return 0;
}

function stepwiseChunked(bytes: Uint8Array): number {
  const framer = new BodyFramer();
  framer.beginChunked();
  for (let at = 0; at < bytes.length; at++) {
    const result = framer.advance(bytes, at, at + 1);
    if (result < 0) return result;
  }
  return 0;
}

function title([text, reason]: Row): string {
  const shown = text.length > 80 ? `${text.slice(0, 60)}… (${text.length} bytes)` : text;
  return `${http1ReasonName(reason)}: ${JSON.stringify(shown)}`;
}

describe("requests", () => {
  for (const row of REQUESTS) {
    test(title(row), () => {
      const bytes = asciiBytes(row[0]);
      expect(http1ReasonName(refuseRequest(bytes, bytes.length))).toBe(http1ReasonName(row[1]));
    });
  }
});

describe("responses", () => {
  for (const row of RESPONSES) {
    test(title(row), () => {
      const bytes = asciiBytes(row[0]);
      expect(http1ReasonName(refuseResponse(bytes, bytes.length))).toBe(http1ReasonName(row[1]));
    });
  }
});

describe("chunked bodies", () => {
  for (const row of CHUNKED) {
    test(title(row), () => {
      const bytes = asciiBytes(row[0]);
      const reason = http1ReasonName(row[1]);
      expect(http1ReasonName(refuseChunked(bytes, bytes.length))).toBe(reason);
      expect(http1ReasonName(stepwiseChunked(bytes))).toBe(reason);
    });
  }
});

test("delivery byte by byte gives the same reason, once the line is complete", () => {
  for (const [rows, head] of [[REQUESTS, RequestHead], [RESPONSES, ResponseHead]] as const) {
    for (const row of rows) {
      const bytes = asciiBytes(`${row[0]}\n`);
      const actual = stepwise(bytes, new head());
      expect(`${http1ReasonName(actual)}: ${JSON.stringify(row[0].slice(0, 80))}`)
        .toBe(`${http1ReasonName(row[1])}: ${JSON.stringify(row[0].slice(0, 80))}`);
    }
  }
});

test("every reason is provoked above", () => {
  const provoked = new Set([...REQUESTS, ...RESPONSES, ...CHUNKED].map(([, reason]) => reason));
  const missing = Object.values(Http1Reason).filter((reason) => !provoked.has(reason));
  expect(missing.map(http1ReasonName)).toEqual([]);
});
