/**
 * Generated HTTP/1 requests, valid and not: methods, targets, versions, fields, bodies in each framing,
 * what asks something of the connection, and pipelines. A seed gives the same cases anywhere.
 */

import { Prng } from "../../lib/base/prng.ts";

/** What one connection sends. */
export interface Case {
  readonly name: string;
  /** One character a byte. */
  readonly text: string;
  /** The methods of its requests, in their order. */
  readonly methods: readonly string[];
  /** Why the proxies may refuse (400, 431, 505) what a server takes; undefined: they may not. */
  readonly stricter?: string;
}

/** A part of a request, with what is special about it. */
interface Part {
  readonly name: string;
  readonly stricter?: string;
}

interface Target extends Part {
  readonly text: string;
  /** The only method for it. */
  readonly method?: string;
}

interface Field extends Part {
  /** Whole lines. */
  readonly lines: string;
}

interface Body extends Part {
  readonly lines: string;
  readonly bytes: string;
}

const LENIENT =
  "a line end of LF alone, or a blank where none may be, is read by parsers in two ways";
const EARLY = "it is malformed, whatever a server answers before it reads so far";
const AMBIGUOUS = "where the message ends could be seen in two places";

const METHODS = "GET GET GET HEAD POST POST PUT DELETE OPTIONS PATCH TRACE PURGE M-SEARCH".split(
  " ",
);

const TARGETS: readonly Target[] = [
  ...["/", "/length", "/length?a=b&c", "/empty", "/unchanged", "/trailers", "/close", "/cookies"],
  ...["/early", "/redirect", "/a%2fb?%20", "//double//", "/a;b=c/./..", "/~!$&'()*+,;=:@", "/\xe4"],
  `/${"long/".repeat(700)}`,
].map((text) => ({ name: text.slice(0, 20), text }));

/**
 * Those of them for pipelines. A connection that closes has no next request; and Node 20 writes a 103, and
 * its refusal of what it takes for no URI, in front of the answers to requests that came before.
 */
const PIPELINED = TARGETS.filter(({ text }) => !["/close", "/early", "/\xe4"].includes(text));

const RARE_TARGETS: readonly Target[] = [
  { name: "the server itself", text: "*", method: "OPTIONS" },
  { name: "absolute", text: "http://web/length?x" },
  { name: "absolute without a path", text: "http://web" },
  { name: "absolute with another host", text: "http://other:81/length" },
  { name: "https in clear text", text: "https://web/length" },
  { name: "a fragment", text: "/a#b", stricter: "servers disagree on where the path ends" },
  { name: "a blank in it", text: "/a b", stricter: LENIENT },
  { name: "no slash", text: "length", stricter: "it is no form of RFC 9112 §3.2" },
  { name: "an asterisk for GET", text: "*", method: "GET", stricter: "RFC 9112 §3.2.4" },
  { name: "a control character", text: "/a\x01b", stricter: "no URI has it" },
  { name: "user information", text: "http://me@web/", stricter: "it hides the host" },
];

const VERSIONS = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"];

const FIELDS: readonly Field[] = [
  { name: "upper case and a list", lines: "X-Mixed: A, b\r\n" },
  { name: "an empty value", lines: "X-Empty:\r\n" },
  { name: "blanks around a value", lines: "X-Blank:   a  b  \r\n" },
  { name: "a tab in a value", lines: "X-Tab: a\tb\r\n" },
  { name: "Latin letters", lines: "X-Latin: \xe4\xf6\xfc\xff\r\n" },
  { name: "a name of rare characters", lines: "!#$%&'*+-.^_`|~9: x\r\n" },
  { name: "a long value", lines: `X-Long: ${"v".repeat(6_000)}\r\n` },
  { name: "many fields", lines: manyFields(60) },
  { name: "the same name twice", lines: "X-Twice: 1\r\nX-Twice: 2\r\n" },
  { name: "cookies", lines: "Cookie: a=1; b=2\r\n" },
  { name: "two cookies", lines: "Cookie: a=1\r\nCookie: b=2\r\n" },
  { name: "usual ones", lines: "Accept: */*\r\nUser-Agent: test\r\nReferer: http://a/\r\n" },
  { name: "a range", lines: "Range: bytes=0-3\r\n" },
  { name: "a condition", lines: 'If-None-Match: "1"\r\n' },
  { name: "authorization", lines: "Authorization: Basic eDp5\r\n" },
  { name: "keep-alive", lines: "Keep-Alive: timeout=5\r\nConnection: keep-alive\r\n" },
  { name: "named by Connection", lines: "Connection: X-Hop\r\nX-Hop: 1\r\nX-Stay: 2\r\n" },
  { name: "framing named by Connection", lines: "Connection: Content-Length, Host\r\n" },
  { name: "TE for trailers", lines: "TE: trailers\r\n" },
  { name: "TE with more", lines: "TE: gzip;q=0.5, Trailers\r\n" },
  { name: "the old proxies' Connection", lines: "Proxy-Connection: keep-alive\r\n" },
  { name: "an upgrade not asked of this hop", lines: "Upgrade: websocket\r\n" },
  { name: "an upgrade to h2c", lines: "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" },
  { name: "what only the mesh may say", lines: "l5d-client-id: forged\r\n" },
];

const RARE_FIELDS: readonly Field[] = [
  { name: "a folded line", lines: "X-Fold: a\r\n b\r\n", stricter: "RFC 9112 §5.2" },
  { name: "a line end of LF", lines: "X-Lf: a\nX-B: b\r\n", stricter: LENIENT },
  { name: "a CR in a value", lines: "X-Cr: a\rb\r\n", stricter: LENIENT },
  { name: "a NUL in a value", lines: "X-Nul: a\0b\r\n", stricter: LENIENT },
  { name: "a blank before the colon", lines: "X-Blank : a\r\n", stricter: LENIENT },
  { name: "a blank before the name", lines: " X-Blank: a\r\n", stricter: LENIENT },
  { name: "no colon", lines: "X-Colon\r\n", stricter: "it is no field" },
  { name: "no name", lines: ": a\r\n", stricter: "it is no field" },
  { name: "a bracket in a name", lines: "X(a): b\r\n", stricter: "it is no token" },
  { name: "a control character in a value", lines: "X-Bell: a\x07b\r\n", stricter: LENIENT },
  { name: "two hosts", lines: "Host: web\r\n", stricter: "RFC 9112 §3.2" },
  { name: "too many fields", lines: manyFields(400), stricter: "our bound of 200 fields" },
  {
    name: "too long a field",
    lines: `X-Long: ${"v".repeat(70_000)}\r\n`,
    stricter: "our bound of 64 KiB",
  },
  { name: "an unknown expectation", lines: "Expect: miracles\r\n" },
];

const BODIES: readonly Body[] = [
  { name: "none", lines: "", bytes: "" },
  { name: "none", lines: "", bytes: "" },
  { name: "of length 0", lines: "Content-Length: 0\r\n", bytes: "" },
  { name: "of a length", lines: "Content-Length: 5\r\n", bytes: "hello" },
  { name: "of a length with zeros", lines: "Content-Length: 005\r\n", bytes: "hello" },
  { name: "large", lines: "Content-Length: 100000\r\n", bytes: "large".repeat(20_000) },
  { name: "in chunks", lines: "Transfer-Encoding: chunked\r\n", bytes: chunked(["he", "llo"]) },
  {
    name: "in large chunks",
    lines: "transfer-encoding: Chunked\r\n",
    bytes: chunked(["x".repeat(70_000)]),
  },
  { name: "in no chunks", lines: "Transfer-Encoding: chunked\r\n", bytes: chunked([]) },
  {
    name: "in chunks with trailers",
    lines: "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
    bytes: chunked(["hello"], "X-Sum: 1\r\n"),
  },
  {
    name: "in chunks with extensions",
    lines: "Transfer-Encoding: chunked\r\n",
    bytes: `5;a=b;c="d"\r\nhello\r\n00;e\r\n\r\n`,
  },
  {
    name: "announced and sent at once",
    lines: "Expect: 100-continue\r\nContent-Length: 5\r\n",
    bytes: "hello",
  },
];

const RARE_BODIES: readonly Body[] = [
  {
    name: "of a length and in chunks",
    lines: "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    bytes: chunked(["hello"]),
    stricter: AMBIGUOUS,
  },
  {
    name: "of the same length twice",
    lines: "Content-Length: 5\r\nContent-Length: 5\r\n",
    bytes: "hello",
    stricter: AMBIGUOUS,
  },
  {
    name: "of a list of lengths",
    lines: "Content-Length: 5, 5\r\n",
    bytes: "hello",
    stricter: AMBIGUOUS,
  },
  {
    name: "of two lengths",
    lines: "Content-Length: 5\r\nContent-Length: 4\r\n",
    bytes: "hello",
    stricter: EARLY,
  },
  {
    name: "of a signed length",
    lines: "Content-Length: +5\r\n",
    bytes: "hello",
    stricter: AMBIGUOUS,
  },
  { name: "of no length", lines: "Content-Length:\r\n", bytes: "", stricter: AMBIGUOUS },
  { name: "of a negative length", lines: "Content-Length: -5\r\n", bytes: "", stricter: EARLY },
  {
    name: "in another coding",
    lines: "Transfer-Encoding: gzip, chunked\r\n",
    bytes: chunked(["hello"]),
    stricter: "we could not say so by HTTP/2",
  },
  {
    name: "in no coding",
    lines: "Transfer-Encoding: identity\r\n",
    bytes: "",
    stricter: AMBIGUOUS,
  },
  {
    name: "in chunks twice",
    lines: "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    bytes: chunked(["hello"]),
    stricter: AMBIGUOUS,
  },
  {
    name: "in bad chunks",
    lines: "Transfer-Encoding: chunked\r\n",
    bytes: "zz\r\nhello\r\n0\r\n\r\n",
    stricter: EARLY,
  },
  {
    name: "in chunks that end with LF",
    lines: "Transfer-Encoding: chunked\r\n",
    bytes: "5\nhello\n0\n\n",
    stricter: LENIENT,
  },
  {
    name: "in chunks with a blank in the size",
    lines: "Transfer-Encoding: chunked\r\n",
    bytes: "5 \r\nhello\r\n0\r\n\r\n",
    stricter: AMBIGUOUS,
  },
  {
    name: "in chunks with a length as trailer",
    lines: "Transfer-Encoding: chunked\r\n",
    bytes: chunked(["hello"], "Content-Length: 1\r\n"),
    stricter: "a recipient might merge it into the head",
  },
];

const HOSTS: readonly Field[] = [
  { name: "", lines: "Host: web\r\n" },
  { name: "", lines: "Host: web\r\n" },
  { name: "", lines: "Host: web\r\n" },
  { name: "with a port", lines: "hOST: WEB:80\r\n" },
  { name: "an address", lines: "Host: [::1]:8080\r\n" },
];

const RARE_HOSTS: readonly Field[] = [
  { name: "empty Host", lines: "Host:\r\n" },
  { name: "no Host", lines: "", stricter: "RFC 9112 §3.2" },
  { name: "a Host with a slash", lines: "Host: a/b\r\n", stricter: "it is no host" },
  { name: "a Host with a blank", lines: "Host: a b\r\n", stricter: "it is no host" },
  { name: "a Host with user information", lines: "Host: me@web\r\n", stricter: "it is no host" },
];

const RARE_LINES: readonly (Part & { readonly line: string })[] = [
  { name: "HTTP/1.2", line: "GET /length HTTP/1.2", stricter: "we speak 1.0 and 1.1" },
  { name: "HTTP/2.0 by name alone", line: "GET /length HTTP/2.0", stricter: "as above" },
  { name: "no version", line: "GET /length", stricter: "HTTP/0.9 is no more" },
  { name: "two blanks", line: "GET  /length HTTP/1.1", stricter: LENIENT },
  { name: "a tab", line: "GET\t/length HTTP/1.1", stricter: LENIENT },
  { name: "a blank at the end", line: "GET /length HTTP/1.1 ", stricter: LENIENT },
  { name: "another protocol", line: "GET /length HTP/1.1", stricter: "it is no HTTP" },
  { name: "a lower-case method", line: "get /length HTTP/1.1" },
  {
    name: "a long method",
    line: `${"X".repeat(40)} /length HTTP/1.1`,
    stricter: "our bound of 16",
  },
];

/** So many cases. */
export function differentialCases(seed: number, count: number): Case[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, (_, i) => {
    if (i % 7 === 6) return pipeline(prng);
    return request(prng, i % 3 === 2);
  });
}

/** One request; a rare one has one thing in it that few send. */
function request(prng: Prng, isRare: boolean): Case {
  const rare = isRare ? prng.below(5) : -1;
  if (rare === 4) {
    const part = prng.pick(RARE_LINES);
    const text = `${part.line}\r\nHost: web\r\nConnection: close\r\n\r\n`;
    return made([part], text, [part.line.split(/[ \t]/)[0] ?? ""]);
  }
  const target = rare === 0 ? prng.pick(RARE_TARGETS) : prng.pick(TARGETS);
  const method = target.method ?? prng.pick(METHODS);
  const host = rare === 1 ? prng.pick(RARE_HOSTS) : prng.pick(HOSTS);
  const body = rare === 2 ? prng.pick(RARE_BODIES) : prng.pick(BODIES);
  const version = body.lines.toLowerCase().includes("transfer") ? "HTTP/1.1" : prng.pick(VERSIONS);
  const fields = Array.from({ length: prng.below(4) }, () => prng.pick(FIELDS));
  if (rare === 3) fields.push(prng.pick(RARE_FIELDS));
  const lines = [host, ...fields, body].map((part) => part.lines);
  // Somewhere among the others, so that no place is special.
  lines.splice(prng.below(lines.length + 1), 0, "Connection: close\r\n");
  const text = `${method} ${target.text} ${version}\r\n${lines.join("")}\r\n${body.bytes}`;
  const parts: Part[] = [{ name: `${method} ${version}` }, target, host, ...fields, body];
  return made(parts, text, [method]);
}

/** A few ordinary requests at once. */
function pipeline(prng: Prng): Case {
  const count = prng.between(2, 5);
  const methods: string[] = [];
  let text = "";
  for (let i = 0; i < count; i++) {
    const method = prng.pick(["GET", "HEAD", "POST", "PUT"]);
    const target = prng.pick(PIPELINED);
    const body = prng.pick(BODIES);
    const close = i === count - 1 ? "Connection: close\r\n" : "";
    text +=
      `${method} ${target.text} HTTP/1.1\r\nHost: web\r\n${close}${body.lines}\r\n${body.bytes}`;
    methods.push(method);
  }
  return made([{ name: `${count} at once: ${methods.join(" ")}` }], text, methods);
}

function made(parts: readonly Part[], text: string, methods: readonly string[]): Case {
  const name = parts.map((part) => part.name).filter((each) => each !== "").join(", ");
  const stricter = parts.find((part) => part.stricter !== undefined)?.stricter;
  return { name, text, methods, ...(stricter === undefined ? {} : { stricter }) };
}

function chunked(parts: readonly string[], trailers = ""): string {
  const chunks = parts.map((part) => `${part.length.toString(16).toUpperCase()}\r\n${part}\r\n`);
  return `${chunks.join("")}0\r\n${trailers}\r\n`;
}

function manyFields(count: number): string {
  return Array.from({ length: count }, (_, i) => `X-Many-${i}: ${i}\r\n`).join("");
}
