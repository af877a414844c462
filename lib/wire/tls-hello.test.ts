import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seedOf } from "../../test/support/fuzz.ts";
import { CLIENT_HELLO_BYTES_MAX } from "../base/limits.ts";
import { Prng } from "../base/prng.ts";
import { type ClientHello, parseClientHello } from "./tls-hello.ts";

/** What OpenSSL 3 sends for `s_client -servername Web.default.example -alpn …,h2`. */
const WITH_NAME =
  "FgMBAUsBAAFHAwMbYyty/0iaiNz72QfKIRVqR5Xr3Mz7pTVeGuwHkCAG2CDqVm0ZhaSnWYwFBthlhfuYX7s2RJZQ" +
  "6rQ4C1onTFuKmAA+EwITAxMBwCzAMACfzKnMqMyqwCvALwCewCTAKABrwCPAJwBnwArAFAA5wAnAEwAzAJ0AnAA9" +
  "ADwANQAvAP8BAADAAAAAGAAWAAATV2ViLmRlZmF1bHQuZXhhbXBsZQALAAQDAAECAAoABAACAB0AIwAAABAAGQAX" +
  "E3RyYW5zcG9ydC5sNWQuaW8vdjECaDIAFgAAABcAAAANACoAKAQDBQMGAwgHCAgICQgKCAsIBAgFCAYEAQUBBgED" +
  "AwMBAwIEAgUCBgIAKwAJCAMEAwMDAgMBAC0AAgEBADMAJgAkAB0AIKqzhGWTjwkAqwUmu584BK7Fva+sip/qggFd" +
  "pDl70ZZh";

/** What OpenSSL 3 sends for `s_client -noservername -tls1_2`. */
const WITHOUT_NAME =
  "FgMBAK8BAACrAwPVBjOYZypTnGPwVLjDP3dEr/bCtrIOPQHpn5zcmYiv7gAAOMAswDAAn8ypzKjMqsArwC8AnsAk" +
  "wCgAa8AjwCcAZ8AKwBQAOcAJwBMAMwCdAJwAPQA8ADUALwD/AQAASgALAAQDAAECAAoABAACAB0AIwAAABYAAAAX" +
  "AAAADQAqACgEAwUDBgMIBwgICAkICggLCAQIBQgGBAEFAQYBAwMDAQMCBAIFAgYC";

function decode(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function hello(serverName: string | null, alpn: readonly string[]): ClientHello {
  return { kind: "hello", serverName, alpn };
}

function parse(bytes: Uint8Array): ClientHello {
  return parseClientHello(bytes, 0, bytes.length);
}

/** Two bytes of length, then the content. */
function sized(content: readonly number[]): number[] {
  return [content.length >> 8, content.length & 255, ...content];
}

function text(characters: string): number[] {
  return [...characters].map((character) => character.charCodeAt(0));
}

function extension(type: number, content: readonly number[]): number[] {
  return [type >> 8, type & 255, ...sized(content)];
}

function serverName(name: string): number[] {
  return extension(0, sized([0, ...sized(text(name))]));
}

function alpn(...protocols: readonly string[]): number[] {
  return extension(16, sized(protocols.flatMap((name) => [name.length, ...text(name)])));
}

/** A key share of X25519MLKEM768, which makes the hello longer than one packet. */
const KEY_SHARE = extension(51, sized([0x11, 0xec, ...sized(new Array<number>(1_216).fill(7))]));

/** The handshake message; without extensions when there are none. */
function message(...extensions: readonly (readonly number[])[]): number[] {
  const random = new Array<number>(32).fill(9);
  const body = [3, 3, ...random, 2, 1, 1, 0, 2, 0x13, 1, 1, 0];
  if (extensions.length > 0) body.push(...sized(extensions.flat()));
  return [1, body.length >> 16, (body.length >> 8) & 255, body.length & 255, ...body];
}

/** Records of at most `size` bytes of the message each. */
function records(message: readonly number[], size = 16_384): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < message.length; at += size) {
    bytes.push(22, 3, 1, ...sized(message.slice(at, at + size)));
  }
  return Uint8Array.from(bytes);
}

test("what OpenSSL sends is read", () => {
  expect(parse(decode(WITH_NAME)))
    .toEqual(hello("web.default.example", ["transport.l5d.io/v1", "h2"]));
  expect(parse(decode(WITHOUT_NAME))).toEqual(hello(null, []));
});

test("every shorter piece asks for more, and what follows a hello is not looked at", () => {
  const bytes = decode(WITH_NAME);
  for (let end = 0; end < bytes.length; end++) {
    expect(parseClientHello(bytes, 0, end)).toEqual({ kind: "more" });
  }
  const followed = Uint8Array.from([1, 2, ...bytes, 255, 255]);
  expect(parseClientHello(followed, 2, followed.length)).toEqual(parse(bytes));
});

test("a hello may be spread over records of any size", () => {
  const whole = message(KEY_SHARE, serverName("a.example"), alpn("h2", "http/1.1"));
  for (const size of [1, 2, 3, 5, 100, 1_000, 16_384]) {
    const bytes = records(whole, size);
    const expected: ClientHello = bytes.length <= CLIENT_HELLO_BYTES_MAX
      ? hello("a.example", ["h2", "http/1.1"])
      : { kind: "not-tls" };
    expect([size, parse(bytes)]).toEqual([size, expected]);
    for (let end = 0; end < Math.min(bytes.length, CLIENT_HELLO_BYTES_MAX); end += 37) {
      expect(parseClientHello(bytes, 0, end)).toEqual({ kind: "more" });
    }
  }
});

test("extensions are optional, and their order does not matter", () => {
  expect(parse(records(message()))).toEqual(hello(null, []));
  expect(parse(records(message(alpn("x"), KEY_SHARE, serverName("b")))))
    .toEqual(hello("b", ["x"]));
  const otherType = extension(0, sized([9, ...sized(text("x")), 0, ...sized(text("y"))]));
  expect(parse(records(message(otherType)))).toEqual(hello("y", []));
  expect(parse(records(message(extension(0, sized([])))))).toEqual(hello(null, []));
  expect(parse(records(message(serverName("10.0.0.1 or worse"))))).toEqual(hello(null, []));
});

describe("what is no ClientHello is told at once", () => {
  const good = message(serverName("a"));
  const cases: readonly [string, Uint8Array][] = [
    ["another protocol", Uint8Array.from(text("GET / HTTP/1.1"))],
    ["one byte of it", Uint8Array.from(text("G"))],
    ["an alert record", Uint8Array.from([21, 3, 1, 0, 2, 1, 0])],
    ["SSL 2 or another version", Uint8Array.from([22, 2])],
    ["an empty record", Uint8Array.from([22, 3, 1, 0, 0])],
    ["a record beyond the limit", Uint8Array.from([22, 3, 1, 0x40, 1])],
    ["a ServerHello", records([2, ...good.slice(1)])],
    ["another record in between", Uint8Array.from([...records(good.slice(0, 9)), 23, 3, 3])],
    ["a hello beyond the bound", records([1, 0, 0x20, 0, 3, 3])],
    ["a session id beyond the end", records([1, 0, 0, 35, 3, 3, ...new Array<number>(32), 9])],
    ["bytes behind the extensions", records([1, 0, 0, 46, ...message([]).slice(4), 0])],
    ["an extension beyond the end", records(message([0, 0, 0, 200, 1]))],
    ["a name beyond its list", records(message(extension(0, [0, 9, 0, 0, 9, 97])))],
    ["a name beyond the end of its list", records(message(extension(0, [0, 4, 0, 0, 9, 97])))],
    ["a protocol beyond its list", records(message(extension(16, sized([9, 97]))))],
  ];
  for (const [title, bytes] of cases) {
    test(title, () => expect(parse(bytes)).toEqual({ kind: "not-tls" }));
  }
});

test("a sender that never comes to the end is given up at the bound", () => {
  const bytes = records([1, 0, 0x1f, 0, ...new Array<number>(9_000).fill(0)], 1);
  expect(parseClientHello(bytes, 0, CLIENT_HELLO_BYTES_MAX - 1)).toEqual({ kind: "more" });
  expect(parseClientHello(bytes, 0, CLIENT_HELLO_BYTES_MAX)).toEqual({ kind: "not-tls" });
  expect(parse(bytes)).toEqual({ kind: "not-tls" });
});

test("any names and protocols are read back, from any record sizes", () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?$/);
  const protocols = fc.array(fc.stringMatching(/^[!-~]{1,30}$/), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(name, protocols, fc.integer({ min: 1, max: 300 }), (name, protocols, size) => {
      const bytes = records(message(serverName(name), alpn(...protocols)), size);
      expect(parse(bytes)).toEqual(hello(name, protocols));
    }),
    { seed: 1, numRuns: 200 },
  );
});

test("mutated hellos never throw, and a verdict never changes with more bytes", () => {
  const prng = new Prng(seedOf(1));
  const original = decode(WITH_NAME);
  for (let round = 0; round < 2_000; round++) {
    const bytes = Uint8Array.from(original);
    for (let edits = prng.between(1, 5); edits > 0; edits--) {
      bytes[prng.below(bytes.length)] = prng.below(256);
    }
    let verdict: ClientHello = { kind: "more" };
    for (let end = 0; end <= bytes.length; end += prng.between(1, 60)) {
      const now = parseClientHello(bytes, 0, end);
      if (verdict.kind !== "more") expect(now).toEqual(verdict);
      verdict = now;
    }
  }
});
