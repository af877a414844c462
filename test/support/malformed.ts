/**
 * Requests and responses that a proxy must refuse: no HTTP, or HTTP whose end two programs could see in
 * two places. `MARK` is replaced by a mark of its own for each; nobody beyond the proxy may ever see it.
 */

/** What a client sends on one connection, and how it is refused. */
export interface Malformed {
  readonly name: string;
  readonly text: string;
  /** Default 400. */
  readonly status?: number;
  /** Answers that come before the refusal: of the requests before the one that is malformed. */
  readonly before?: 1;
}

const POST = "POST / HTTP/1.1\r\nHost: rude\r\n";
const SMUGGLED = "GET /MARK HTTP/1.1\r\nHost: rude\r\n\r\n";
const GOOD = "GET /good HTTP/1.1\r\nHost: rude\r\n\r\n";
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;

/** Requests. */
export const MALFORMED_REQUESTS: readonly Malformed[] = [
  {
    name: "both lengths",
    text:
      `${POST}X: MARK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "both lengths, the other way round",
    text:
      `${POST}X: MARK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "two differing lengths",
    text: `${POST}X: MARK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd${SMUGGLED}`,
  },
  {
    name: "two differing lengths in one field",
    text: `${POST}X: MARK\r\nContent-Length: 4, 5\r\n\r\nabcd${SMUGGLED}`,
  },
  { name: "a signed length", text: `${POST}X: MARK\r\nContent-Length: +4\r\n\r\nabcd${SMUGGLED}` },
  { name: "a negative length", text: `${POST}X: MARK\r\nContent-Length: -1\r\n\r\n${SMUGGLED}` },
  {
    name: "a hexadecimal length",
    text: `${POST}X: MARK\r\nContent-Length: 0x4\r\n\r\nabcd${SMUGGLED}`,
  },
  {
    name: "a length beyond all numbers",
    text: `${POST}X: MARK\r\nContent-Length: 99999999999999999999999\r\n\r\n${SMUGGLED}`,
  },
  { name: "a folded line", text: `${POST}X: MARK\r\n\tfolded\r\n\r\n` },
  {
    name: "a folded length",
    text: `${POST}X: MARK\r\nContent-Length:\r\n 4\r\n\r\nabcd${SMUGGLED}`,
  },
  {
    name: "a blank before the colon",
    text: `${POST}X: MARK\r\nContent-Length : 4\r\n\r\nabcd${SMUGGLED}`,
  },
  {
    name: "chunked, but not as the last coding",
    text: `${POST}X: MARK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "chunked twice",
    text: `${POST}X: MARK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a coding that is nearly chunked",
    text: `${POST}X: MARK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "chunked with a vertical tab",
    text: `${POST}X: MARK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "chunked in HTTP/1.0",
    text:
      `POST / HTTP/1.0\r\nHost: rude\r\nX: MARK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  },
  { name: "a bare LF between fields", text: `${POST}X: MARK\nY: y\r\n\r\n` },
  { name: "a bare CR in a value", text: `${POST}X: MARK\rContent-Length: 4\r\n\r\n` },
  { name: "a NUL in a value", text: `${POST}X: MARK\0\r\n\r\n` },
  { name: "a field without a colon", text: `${POST}X MARK\r\n\r\n` },
  { name: "a field without a name", text: `${POST}: MARK\r\n\r\n` },
  { name: "a name with a bracket", text: `${POST}X[MARK]: x\r\n\r\n` },
  { name: "no Host", text: "GET /MARK HTTP/1.1\r\nX: y\r\n\r\n" },
  { name: "two Hosts", text: "GET /MARK HTTP/1.1\r\nHost: rude\r\nHost: other\r\n\r\n" },
  { name: "too long a head", text: `${POST}X: MARK${"x".repeat(200_000)}\r\n\r\n`, status: 431 },
  {
    name: "a chunk size that is no number",
    text: `${CHUNKED}zz\r\nMARK\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a chunk size beyond all numbers",
    text: `${CHUNKED}fffffffffffffffff\r\nMARK\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a negative chunk size",
    text: `${CHUNKED}-4\r\nMARK\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a chunk longer than its size",
    text: `${CHUNKED}1\r\nxMARK\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a chunk size ended by a bare LF",
    text: `${CHUNKED}2\nxMARK\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a chunk extension with a bare LF",
    text: `${CHUNKED}2;a\nxx\r\nMARK\r\n0\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a folded trailer",
    text: `${CHUNKED}0\r\nX: y\r\n MARK\r\n\r\n${SMUGGLED}`,
  },
  {
    name: "a second request with both lengths",
    text:
      `${GOOD}${POST}X: MARK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    before: 1,
  },
  { name: "a second request that is none", text: `${GOOD}MARK\r\n\r\n${SMUGGLED}`, before: 1 },
  {
    name: "a second request of another version",
    text: `${GOOD}GET /MARK HTTP/1.7\r\nHost: rude\r\n\r\n`,
    status: 505,
    before: 1,
  },
];

const OK = "HTTP/1.1 200 OK\r\n";

/** Whole responses, by name; each is answered by 502. */
export const MALFORMED_RESPONSES: Readonly<Record<string, string>> = {
  "both lengths":
    `${OK}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nMARK\r\n0\r\n\r\n`,
  "two differing lengths": `${OK}Content-Length: 4\r\nContent-Length: 5\r\n\r\nMARK`,
  "a signed length": `${OK}Content-Length: +4\r\n\r\nMARK`,
  "a folded line": `${OK}X: y\r\n MARK\r\nContent-Length: 0\r\n\r\n`,
  "a bare LF between fields": `${OK}X: y\nMARK: z\r\nContent-Length: 0\r\n\r\n`,
  "a bare CR in a value": `${OK}X: y\rMARK\r\nContent-Length: 0\r\n\r\n`,
  "a NUL in a value": `${OK}X: MARK\0\r\nContent-Length: 0\r\n\r\n`,
  "no number for a status": "HTTP/1.1 abc MARK\r\nContent-Length: 0\r\n\r\n",
  "another protocol": "SSH-2.0-MARK\r\n",
  "an upgrade that nobody asked for":
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: MARK\r\nConnection: Upgrade\r\n\r\nMARK",
  "too long a head": `${OK}X: MARK${"x".repeat(200_000)}\r\n\r\n`,
  "nothing at all": "",
};
