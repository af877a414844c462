import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compilePattern } from "./pattern.ts";

function matches(pattern: string, text: string): boolean {
  const bytes = new TextEncoder().encode(`<${text}>`);
  return compilePattern(pattern).matches(bytes, 1, bytes.length - 1);
}

describe("paths of routes", () => {
  test.each([
    ["/", ["/"], ["", "//", "/a"]],
    ["/books/\\d+", ["/books/1", "/books/0815"], [
      "/books/",
      "/books/1a",
      "/books/1/",
      "x/books/1",
    ]],
    ["^/a$", ["/a"], ["/ab", "b/a"]],
    ["/books/[^/]*\\.json", ["/books/.json", "/books/a.json"], ["/books/a/b.json", "/books/ajson"]],
    ["/(a|bc)*/x?", ["//", "/abca/x", "/bc/"], ["/b/", "/a"]],
    ["/v[12]/[a-c-]{2,3}", ["/v1/a-", "/v2/abc"], ["/v3/aa", "/v1/a", "/v1/abca"]],
    ["/x{2,}", ["/xx", "/xxxxx"], ["/x"]],
    ["^/a$|^/b$", ["/a", "/b"], ["/ab"]],
    ["/a|/b", ["/a", "/b"], ["/a/b"]],
    ["(?i)/Ab[c]", ["/ab" + "C", "/ABc"], ["/abd"]],
    ["/(?P<id>\\w+)/(?:x|y)", ["/a_1/x"], ["/a-1/x"]],
    ["/\\x41\\.\\S\\D", ["/A.ab"], ["/A.a1", "/A. b"]],
    ["/grüße", ["/grüße"], ["/gruße"]],
    [".*", ["", "/", "/ä?"], ["a\nb"]],
    ["/a*?b+?", ["/b", "/aabb"], ["/a"]],
    ["[]a]", ["]", "a"], ["b"]],
    ["[^]a]", ["b"], ["]", "a"]],
  ])("%s", (pattern, good, bad) => {
    for (const text of good) expect(`${text} ${matches(pattern, text)}`).toBe(`${text} true`);
    for (const text of bad) expect(`${text} ${matches(pattern, text)}`).toBe(`${text} false`);
  });
});

describe("what is refused, and where", () => {
  test.each([
    ["/a(b", '"(" without ")" at character 5'],
    ["/a)b", 'unmatched ")" at character 3'],
    ["[a-", "at character 4"],
    ["*a", "nothing to repeat"],
    ["a**", "nothing to repeat"],
    ["a{2", "no number of repetitions"],
    ["a{5,2}", "repetitions that are not rising"],
    ["a{2000}", "repetitions that are not rising or above 1000"],
    ["(?=a)", "a group of a kind that is not known"],
    ["(a)\\1", '"\\1", which is not known,'],
    ["a\\bc", '"\\b", which is not known,'],
    ["a^b", '"^" in the middle'],
    ["^/a|/b$", "alternatives with different anchors"],
    ["[ä]", "beyond ASCII"],
    ["[z-a]", "a range that does not rise"],
    ["\\", "an end in the middle"],
    ["(".repeat(60) + ")".repeat(60), "more than 50 groups in each other"],
    ["a".repeat(1_001), "at most 1000"],
    ["(a{100}){100}", "too many possibilities"],
    ["(a|b)*a(a|b){12}", "too many possibilities"],
    ["((((){1000}){1000}){1000}){1000}", "too many possibilities"],
  ])("%s", (pattern, reason) => {
    expect(() => compilePattern(pattern)).toThrow(reason);
  });
});

test("patterns that take other engines forever cost a look-up per byte", () => {
  const table = compilePattern("(a+)+b|(a*)*c|((a|aa)+)+d");
  expect(table.size).toBeLessThan(10);
  const bytes = new TextEncoder().encode("a".repeat(1_000_000));
  expect(table.matches(bytes, 0, bytes.length)).toBe(false);
});

/** Patterns of two letters in which everything of the syntax may come. */
const PATTERN = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w", "\\W", ""),
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => a + b),
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(${a}|${b})`),
    fc.tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{2}", "{1,}", "{0,2}"))
      .map(([a, times]) => `(?:${a})${times}`),
  ),
})).pattern;

test("it says what the runtime's own engine says", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 12 });
  fc.assert(
    fc.property(PATTERN, fc.array(text, { minLength: 1, maxLength: 8 }), (pattern, texts) => {
      const own = texts.map((each) => matches(pattern, each));
      expect(own).toEqual(texts.map((each) => new RegExp(`^(?:${pattern})$`).test(each)));
    }),
    { numRuns: 500 },
  );
});
