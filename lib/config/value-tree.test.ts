/** Trees of values: layers, kinds, and what is said of wrong ones. */

import { describe, expect, test } from "bun:test";
import { integer, oneOf } from "./type.ts";
import { readSets, setPath } from "./value-set.ts";
import { readValues, type ValueLayer, type ValueTree } from "./value-tree.ts";

const TREE = {
  name: { kind: "text", default: "a", help: "Who." },
  replicas: { kind: "integer", type: integer(1, 9), default: 1, help: "How many." },
  labels: { kind: "map", default: { os: "linux" }, help: "Which." },
  proxy: {
    level: { kind: "text", type: oneOf(["info", "debug"]), default: "info", help: "How much." },
    native: { kind: "boolean", default: true, help: "Whether." },
    env: { kind: "list", default: [], help: "What." },
    key: { kind: "text", type: oneOf(["k"]), default: "", help: "Key.", secret: true },
  },
} as const satisfies ValueTree;

const DEFAULTS = {
  name: "a",
  replicas: 1,
  labels: { os: "linux" },
  proxy: { level: "info", native: true, env: [], key: "" },
};

function read(...trees: ValueLayer["tree"][]) {
  return readValues("install", TREE, trees.map((tree, index) => ({ name: `${index}.yaml`, tree })));
}

function problemsOf(tree: ValueLayer["tree"]): readonly string[] {
  try {
    read(tree);
    return [];
  } catch (thrown) {
    return (thrown as { problems: readonly string[] }).problems;
  }
}

describe("layers", () => {
  test("later ones win; maps are merged, empty ones change nothing", () => {
    const values = read(
      { name: "b", proxy: { level: "debug", env: ["x"] }, labels: { a: "1" } },
      { proxy: { level: "info", env: ["y"] }, labels: { b: "2" } },
      {},
    );
    expect(values).toEqual({
      ...DEFAULTS,
      name: "b",
      labels: { os: "linux", a: "1", b: "2" },
      proxy: { ...DEFAULTS.proxy, env: ["y"] },
    });
    const level: string = values.proxy.level;
    expect(level).toBe("info");
  });

  test("what YAML reads otherwise is taken as meant", () => {
    expect(read({ name: 25, replicas: "3", proxy: { native: "false" } })).toMatchObject({
      name: "25",
      replicas: 3,
      proxy: { native: false },
    });
    expect(read({ name: null, proxy: { key: "" } })).toEqual(DEFAULTS);
    expect(problemsOf({ proxy: { level: "" } })).toHaveLength(1);
  });

  test("every problem is named with its place", () => {
    expect(problemsOf({
      nmae: "x",
      replicas: 12,
      labels: "none",
      proxy: { level: "loud", native: "perhaps", env: {}, key: "hunter2", other: 1 },
    })).toEqual([
      'Unknown value "nmae" of 0.yaml: did you mean "name"?',
      'Cannot use "12" for replicas of 0.yaml: expected a whole number from 1 to 9',
      'Cannot use "none" for labels of 0.yaml: expected a map',
      'Unknown value "proxy.other" of 0.yaml',
      'Cannot use "loud" for proxy.level of 0.yaml: expected one of info, debug',
      'Cannot use "perhaps" for proxy.native of 0.yaml: expected true or false',
      'Cannot use "{}" for proxy.env of 0.yaml: expected a list',
      "Cannot use the secret value for proxy.key of 0.yaml: expected one of k",
    ]);
    expect(problemsOf({ proxy: 3 })[0]).toStartWith(
      'Cannot use "3" for proxy of 0.yaml: expected a map',
    );
  });
});

describe("--set", () => {
  const rows: [string, object][] = [
    ["a.b=c", { a: { b: "c" } }],
    ["a=1,b.c=true,d=x", { a: 1, b: { c: true }, d: "x" }],
    ["a=1\\,2", { a: "1,2" }],
    ["labels.kubernetes\\.io/os=linux", { labels: { "kubernetes.io/os": "linux" } }],
    ["a={x,y}", { a: ["x", "y"] }],
    ["a[1].b=z", { a: [null, { b: "z" }] }],
    ["a=", { a: "" }],
    ["a=b=c", { a: "b=c" }],
    ["a=007", { a: "007" }],
    ["a=null", { a: null }],
  ];
  test.each(rows)("%s", (word, tree) => {
    expect(readSets("install", [word], "typed")).toEqual(tree as never);
  });

  test("later words win, and text stays text", () => {
    expect(readSets("install", ["a.b=1,a.c=2", "a.b=3"], "typed")).toEqual({ a: { b: 3, c: 2 } });
    expect(readSets("install", ["a=1"], "text")).toEqual({ a: "1" });
    expect(setPath("install", "a.b", "x=1,y")).toEqual({ a: { b: "x=1,y" } });
  });

  test.each(["a", "=x", "a[=1", "a[99999]=1", ".=1"])("%s is refused", (word) => {
    expect(() => readSets("install", [word], "typed")).toThrow("Cannot use");
  });
});
