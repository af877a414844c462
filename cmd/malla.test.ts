/** The executable's first word and each mode's help and refusals, from the source. */

import { expect, test } from "bun:test";
import { Mode, SOURCE } from "../test/support/malla.ts";

const MODES = [
  ...["check", "cni-node", "controller", "demo", "edges", "identity", "init", "inject", "injector"],
  ...["install", "install-cni", "network-validator"],
  ...["proxy", "run", "stat", "uninject", "uninstall", "up", "upgrade", "version", "viz"],
];

async function outputOf(...words: string[]): Promise<{ code: number; text: string }> {
  const mode = new Mode(words, {}, SOURCE);
  return { code: await mode.exited(), text: mode.output };
}

test.each([[], ["help"], ["--help"], ["-h"]].map((words) => [words] as const))(
  "%p lists every mode for people",
  async (words) => {
    const { code, text } = await outputOf(...words);
    expect(code).toBe(0);
    const listed = [...text.matchAll(/^ {2}([\w-]+) {2,}\S/gm)].map(([, mode]) => mode);
    expect(listed.sort()).toEqual(MODES.toSorted());
  },
);

test.each(MODES)("help %s", async (mode) => {
  const { code, text } = await outputOf("help", mode);
  expect(code).toBe(0);
  expect(text).toStartWith(`Usage: malla ${mode} `);
});

test.each(MODES)("%s refuses a flag that it does not know", async (mode) => {
  const { code, text } = await outputOf(mode, "--nonsense");
  expect(code).toBe(64);
  expect(text).toContain("--nonsense");
});

test.each([
  [["--version"], 0, /^malla \d/],
  [["statt"], 64, /^malla: unknown mode "statt"; did you mean "stat"\?\n/],
  [["quite-another"], 64, /^malla: unknown mode "quite-another"\n\nUsage/],
  [["constructor"], 64, /^malla: unknown mode "constructor"\n/],
  [["help", "nonsense"], 64, /^malla: unknown mode "nonsense"\n/],
  [["up"], 64, /^Expected -f with a folder of manifests/],
  [["up", "-f", "x", "--grace", "abc"], 64, /Expected a whole number from 0 to 3600/],
  [["up", "-f", "x", "--exec", "web"], 64, /Expected NAME='COMMAND'/],
  [["up", "-f", "x", "--publish", "a"], 64, /expected service:port=hostport/],
  [["up", "-f", "nowhere"], 1, /^Cannot read manifests from "nowhere": no such file or folder\n/],
  [["run", "a"], 64, /^malla run: missing required argument 'command'\n/],
  [["run", "X", "--", "true"], 64, /^Cannot use the name "X": expected lower-case letters/],
  [["run", "a", "--port", "0", "--", "true"], 64, /Expected a port from 1 to 65535/],
  [["run", "a", "-e", "=x", "--", "true"], 64, /Expected NAME=VALUE/],
  [["demo-app", "nothing"], 64, /unknown role "nothing"/],
] as [string[], number, RegExp][])("%p", async (words, code, expected) => {
  const output = await outputOf(...words);
  expect(output.text).toMatch(expected);
  expect(output.code).toBe(code);
});

test("without a word it is a CNI plugin where a runtime says so", async () => {
  const plugin = new Mode([], { CNI_COMMAND: "VERSION" }, SOURCE);
  expect(await plugin.exited()).toBe(0);
  expect(JSON.parse(plugin.output)).toMatchObject({ cniVersion: "1.1.0" });
  const lost = new Mode([], { CNI_COMMAND: "ADD", CNI_NETNS: "/x" }, SOURCE);
  expect(await lost.exited()).toBe(1);
  expect(JSON.parse(lost.output)).toEqual({
    cniVersion: "1.1.0",
    code: 6,
    msg: "Cannot read standard input: expected JSON",
  });
});
