/** Reading expositions: the format's corners, odd lines, and that no text whatever breaks it. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { SCRAPE_SAMPLES_MAX } from "../base/limits.ts";
import { parseExposition } from "./prometheus-text.ts";

const all = () => true;

test.each([
  ["up 1", "up", {}, 1],
  ['a_total{x="1",y="two"} 3.5e2', "a_total", { x: "1", y: "two" }, 350],
  ['a{x="quote \\" slash \\\\ line \\n end"} 1', "a", { x: 'quote " slash \\ line \n end' }, 1],
  ['  a { x = "1" , } 2 1700000000000', "a", { x: "1" }, 2],
  ['a{x="}"} +Inf', "a", { x: "}" }, Infinity],
  ["a{} -Inf", "a", {}, -Infinity],
  ["a:b 0x", null, {}, 0],
  ['a{x="1" 2', null, {}, 0],
  ["a{x=1} 2", null, {}, 0],
  ['a{="1"} 2', null, {}, 0],
  ['a{x="1"}', null, {}, 0],
  ["{} 1", null, {}, 0],
  ['a{__proto__="1"} 1', "a", { ["__proto__"]: "1" }, 1],
])("line %p", (line, name, labels, value) => {
  const { samples, skipped } = parseExposition(line, all);
  if (name === null) expect([samples.length, skipped]).toEqual([0, 1]);
  else {
    expect(samples).toHaveLength(1);
    expect(samples[0]?.name).toBe(name);
    expect(Object.entries(samples[0]?.labels ?? {})).toEqual(Object.entries(labels));
    expect(samples[0]?.value).toBe(value);
  }
});

test("NaN is a value; comments, blank lines and unwanted names are not looked at", () => {
  const text = "# HELP a b\r\n# TYPE a counter\n\n\r\nb{broken 1\na NaN\n# EOF\n";
  const { samples, skipped } = parseExposition(text, (name) => name === "a");
  expect(samples.map(({ value }) => value)).toEqual([NaN]);
  expect(skipped).toBe(0);
});

test("one odd line does not hide the others", () => {
  const { samples, skipped } = parseExposition("a 1\n<html>\nb 2", all);
  expect(samples.map(({ name }) => name)).toEqual(["a", "b"]);
  expect(skipped).toBe(1);
});

test("a runaway exposition is cut", () => {
  const { samples, skipped } = parseExposition("a 1\n".repeat(SCRAPE_SAMPLES_MAX + 5), all);
  expect([samples.length, skipped]).toEqual([SCRAPE_SAMPLES_MAX, 5]);
});

test("what is written by the rules is read back", () => {
  const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/);
  const labels = fc.dictionary(name, fc.string({ unit: "binary", maxLength: 12 }), { maxKeys: 6 });
  fc.assert(fc.property(name, labels, fc.double({ noNaN: true }), (metric, pairs, value) => {
    const escape = (text: string) =>
      text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    const inner = Object.entries(pairs).map(([key, text]) => `${key}="${escape(text)}"`).join(",");
    const written = value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value);
    const { samples } = parseExposition(`${metric}{${inner}} ${written}\n`, all);
    expect(samples).toHaveLength(1);
    expect(Object.entries(samples[0]?.labels ?? {})).toEqual(Object.entries(pairs));
    expect(samples[0]?.value === value).toBe(true);
  }));
});

test("no text breaks it: every line is a sample, skipped, or nothing", () => {
  const piece = fc.constantFrom(
    "a",
    "{",
    "}",
    '"',
    "\\",
    ",",
    "=",
    " ",
    "\n",
    "1",
    "#",
    "le",
    "Inf",
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
    const text = pieces.join("");
    const { samples, skipped } = parseExposition(text, all);
    expect(samples.length + skipped).toBeLessThanOrEqual(text.split("\n").length);
  }));
});
