import { describe, expect, test } from "bun:test";
import { seedOf } from "../../test/support/fuzz.ts";
import { Prng } from "../base/prng.ts";
import { certificateDnsNames } from "./x509-san.ts";

/** Builds DER from a tag and its content. */
function der(tag: number, ...content: (number[] | Uint8Array)[]): number[] {
  const body = content.flatMap((part) => [...part]);
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return [tag, ...length, ...body];
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function extension(id: number[], value: number[], critical = false): number[] {
  const flag = critical ? der(0x01, [0xff]) : [];
  return der(0x30, der(0x06, id), flag, der(0x04, value));
}

function certificate(...extensions: number[][]): Uint8Array {
  const tbs = der(
    0x30,
    der(0xa0, der(0x02, [2])),
    der(0x02, [1]),
    der(0x30, der(0x06, [0x2a])),
    der(0x30),
    der(0x30),
    der(0x30),
    der(0x30),
    der(0xa3, der(0x30, ...extensions)),
  );
  return new Uint8Array(der(0x30, tbs, der(0x30), der(0x03, [0, 1])));
}

const SAN = [0x55, 0x1d, 0x11];
const USAGE = extension([0x55, 0x1d, 0x0f], [3, 2, 7, 0x80], true);

function names(...list: number[][]): number[] {
  return extension(SAN, der(0x30, ...list), true);
}

describe("DNS names of a certificate", () => {
  test("in their order, other kinds of names aside", () => {
    const made = certificate(
      USAGE,
      names(
        der(0x86, text("spiffe://cluster.local/ns/a/sa/b")),
        der(0x82, text("B.default.serviceaccount")),
        der(0x82, text("second.example")),
        der(0x87, [10, 0, 0, 1]),
      ),
    );
    expect(certificateDnsNames(made)).toEqual(["b.default.serviceaccount", "second.example"]);
  });

  test("none without the extension, and a long list is read", () => {
    expect(certificateDnsNames(certificate(USAGE))).toEqual([]);
    const many = Array.from({ length: 40 }, (_, i) => der(0x82, text(`name-${i}.example`)));
    expect(certificateDnsNames(certificate(names(...many)))).toHaveLength(40);
  });

  test("a name that could be read in two ways makes none", () => {
    for (const bad of ["a.example, DNS:b.example", "a.example\0.b", "", "a..b", "a b"]) {
      const made = certificate(names(der(0x82, text(bad)), der(0x82, text("good.example"))));
      expect(certificateDnsNames(made)).toEqual([]);
    }
  });

  test("cut or damaged at any byte, it neither throws nor invents", () => {
    const whole = certificate(USAGE, names(der(0x82, text("a.example"))));
    expect(certificateDnsNames(whole)).toEqual(["a.example"]);
    for (let length = 0; length < whole.length; length++) {
      expect(certificateDnsNames(whole.slice(0, length))).toEqual([]);
    }
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0, 0x7f, 0x80, 0x84, 0xff]) {
        const damaged = whole.slice();
        damaged[at] = value;
        for (const name of certificateDnsNames(damaged)) expect(name.length).toBeLessThan(10);
      }
    }
  });

  test("mutated, it gives names or none, and never throws", () => {
    const prng = new Prng(seedOf(1));
    const good = ["a.example", "b-c.default"].map((name) => der(0x82, text(name)));
    const whole = certificate(USAGE, names(...good, der(0x87, [10, 0, 0, 1])));
    let taken = 0;
    for (let round = 0; round < 3_000; round++) {
      const bytes = [...whole];
      for (let edits = prng.between(1, 4); edits > 0; edits--) {
        const value = prng.pick([0, 1, 0x30, 0x7f, 0x80, 0x82, 0x84, 0xff, prng.below(256)]);
        bytes.splice(prng.below(bytes.length), prng.below(3), ...(prng.chance(0.8) ? [value] : []));
      }
      const found = certificateDnsNames(Uint8Array.from(bytes));
      if (found.length > 0) taken++;
      for (const name of found) expect(name).toMatch(/^[^\s,]+$/);
    }
    expect(taken).toBeGreaterThan(100);
  });
});
