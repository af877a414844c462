/** Editing network configurations: the plugin's entry in, and out again. */

import { describe, expect, test } from "bun:test";
import {
  configurationFiles,
  listName,
  listOfOne,
  pluginEntry,
  withEntry,
  withoutEntry,
} from "./conflist.ts";

const ENTRY = pluginEntry("/etc/cni/net.d/login");
const LIST = {
  cniVersion: "0.4.0",
  name: "pods",
  disableCheck: true,
  plugins: [{ type: "bridge", ipam: { type: "host-local" } }, { type: "portmap" }],
};

test("the files that runtimes read, in their order", () => {
  const names = [
    "99-a.conflist",
    "10-b.conf",
    "00-login",
    "05-c.json",
    ".10-b.conf.x~",
    "10-B.conf",
  ];
  expect(configurationFiles(names)).toEqual([
    ...["05-c.json", "10-B.conf", "10-b.conf", "99-a.conflist"],
  ]);
  expect(["10-b.conf", "05-c.json"].map(listName)).toEqual(["10-b.conflist", "05-c.conflist"]);
});

describe("a list", () => {
  test("gets the entry at its end, once, and loses it again", () => {
    const text = withEntry(JSON.stringify(LIST), ENTRY) ?? "";
    expect(JSON.parse(text)).toEqual({ ...LIST, plugins: [...LIST.plugins, ENTRY] });
    expect(withEntry(text, ENTRY)).toBeUndefined();
    expect(JSON.parse(withoutEntry(text) ?? "")).toEqual(LIST);
    expect(withoutEntry(JSON.stringify(LIST))).toBeUndefined();
  });

  test("has an old or misplaced entry put right", () => {
    const [first, second] = LIST.plugins;
    const old = { type: "malla-cni", kubeconfig: "/elsewhere" };
    const right = { ...LIST, plugins: [...LIST.plugins, ENTRY] };
    for (
      const plugins of [[first, second, old], [first, ENTRY, second], [ENTRY, first, second, old]]
    ) {
      const text = withEntry(JSON.stringify({ ...LIST, plugins }), ENTRY);
      expect(JSON.parse(text ?? "")).toEqual(right);
    }
  });

  const rows: [string, string, RegExp][] = [
    ["no JSON", "{", /^it is no JSON$/],
    ["an empty file", "", /^it is no JSON$/],
    ["no object", "[]", /^it is no object$/],
    ["no plugins", JSON.stringify({ ...LIST, plugins: {} }), /no list of plugins/],
    ["nobody else", JSON.stringify({ ...LIST, plugins: [ENTRY] }), /no plugin that could make/],
    ["an old version", JSON.stringify({ ...LIST, cniVersion: "0.2.0" }), /"0\.2\.0".*0\.3\.1/],
    ["no version", JSON.stringify({ ...LIST, cniVersion: undefined }), /undefined/],
  ];
  test.each(rows)("with %s is refused", (_title, text, message) => {
    expect(() => withEntry(text, ENTRY)).toThrow(message);
  });
});

test("a single plugin becomes a list of one", () => {
  const one = { cniVersion: "0.3.1", name: "pods", type: "ptp", mtu: 1400 };
  expect(JSON.parse(listOfOne(JSON.stringify(one)))).toEqual({
    cniVersion: "0.3.1",
    name: "pods",
    plugins: [{ type: "ptp", mtu: 1400 }],
  });
  expect(() => listOfOne("{}")).toThrow("it names no plugin by its type");
});
