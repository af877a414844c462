/** What is written is read back as it was, by this program and by readers of either YAML version. */

import { expect, test } from "bun:test";
import { parse } from "yaml";
import { parseManifests } from "./manifest.ts";
import { formatManifests } from "./manifest-text.ts";

const DATA = {
  yes: "yes",
  on: "on",
  octal: "0755",
  modern: "0o755",
  time: "12:30:45",
  exponent: "1e3",
  nothing: "null",
  tilde: "~",
  empty: "",
  lines: "first\nsecond\n",
  colon: "a: b # c",
  number: "80",
  long: "x ".repeat(200),
};

const OBJECT = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: DATA };

test("both YAML versions read the same texts", () => {
  const text = formatManifests([OBJECT]);
  expect(parse(text, { version: "1.1" })).toEqual(OBJECT);
  expect(parse(text, { version: "1.2" })).toEqual(OBJECT);
  expect(parseManifests(text, "x.yaml").manifests[0]?.raw).toEqual(OBJECT);
});

test("objects that are used twice are written twice", () => {
  const shared = { name: "c" };
  const text = formatManifests([{ a: shared, b: shared }]);
  expect(text).not.toContain("&");
});

test("each object is a document", () => {
  const text = formatManifests([OBJECT, { ...OBJECT, metadata: { name: "d" } }]);
  expect(parseManifests(text, "x.yaml").objects.map(({ metadata }) => metadata.name)).toEqual([
    "c",
    "d",
  ]);
});
