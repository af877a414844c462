/** Each type of setting: what it reads and what it refuses. */

import { describe, expect, test } from "bun:test";
import { sourceSettings } from "./common.ts";
import { defineSettings } from "./definition.ts";
import { helpText, wantsHelp } from "./help.ts";
import { hostPort, port, ports, socketAddress } from "./net-type.ts";
import { referencePage } from "./reference.ts";
import {
  boolean,
  duration,
  filePath,
  integer,
  jsonObject,
  list,
  nonEmpty,
  oneOf,
  pemText,
  type SettingType,
  string,
} from "./type.ts";

const PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

/** Type, text, value; no value: refused. */
const CASES: readonly (readonly [string, SettingType<unknown>, string, unknown?])[] = [
  ["duration", duration(), "300ms", 300],
  ["duration", duration(), "1.5s", 1_500],
  ["duration", duration(), "1m", 60_000],
  ["duration", duration(), "1h", 3_600_000],
  ["duration", duration(), "1d", 86_400_000],
  ["duration", duration(), "24h0m0s", 86_400_000],
  ["duration", duration(), " 10s ", 10_000],
  ["duration", duration(), "0s", 0],
  ["duration", duration(), "10"],
  ["duration", duration(), "10 s"],
  ["duration", duration(), "-1s"],
  ["duration", duration(), "1w"],
  ["duration", duration(), "s"],
  ["duration", duration(), "999999999999d"],
  ["integer", integer(-5, 5), "-5", -5],
  ["integer", integer(), "007", 7],
  ["integer", integer(-5, 5), "-6"],
  ["integer", integer(), "1e3"],
  ["integer", integer(), "0x10"],
  ["integer", integer(), "99999999999999999999"],
  ["boolean", boolean(), "TRUE", true],
  ["boolean", boolean(), "0", false],
  ["boolean", boolean(), "on"],
  ["oneOf", oneOf(["a", "b"]), "b", "b"],
  ["oneOf", oneOf(["a", "b"]), "c"],
  ["string", string(), " kept ", " kept "],
  ["nonEmpty", nonEmpty(), " x ", "x"],
  ["nonEmpty", nonEmpty(), "  "],
  ["list", list(integer()), "1, 2,,3,", [1, 2, 3]],
  ["list", list(integer()), "", []],
  ["list", list(integer()), "1,x"],
  ["json", jsonObject(), '{"ns":"a"}', { ns: "a" }],
  ["json", jsonObject(), "[1]"],
  ["json", jsonObject(), "null"],
  ["json", jsonObject(), "{ns}"],
  ["file", filePath(), "/a b", "/a b"],
  ["file", filePath(), "a\0b"],
  ["pem", pemText(), ` ${PEM}\n`, PEM],
  ["pem", pemText(), "/path/to/file.pem"],
  ["address", socketAddress(), "[::1]:80", { ip: "::1", port: 80 }],
  ["address", socketAddress(), "::1:80"],
  ["address", socketAddress(), "256.0.0.1:80"],
  ["address", socketAddress(), "127.0.0.1:65536"],
  ["host", hostPort(), "a.b.svc.cluster.local.:8080", {
    host: "a.b.svc.cluster.local.",
    port: 8080,
  }],
  ["host", hostPort(), "[fd00::1]:1", { host: "fd00::1", port: 1 }],
  ["host", hostPort(), "localhost"],
  ["host", hostPort(), "http://a:1"],
  ["host", hostPort(), "a:0"],
  ["host", hostPort(), ".:80"],
  ["port", port(), "65535", 65_535],
  ["port", port(), "0"],
  ["ports", ports(), "80, 8000-8001", [{ first: 80, last: 80 }, { first: 8000, last: 8001 }]],
  ["ports", ports(), "1-2-3"],
  ["ports", ports(), "0-1"],
  ["ports", ports(), "-1"],
  ["source", sourceSettings.source.type, "kube", { kind: "kube" }],
  ["source", sourceSettings.source.type, "files:/a:b", { kind: "files", path: "/a:b" }],
  ["source", sourceSettings.source.type, "files:"],
];

test.each(CASES.map((row) => [row] as const))("%p", ([, type, text, ...value]) => {
  const parsed = type.parse(text);
  expect(parsed).toEqual(value.length === 0 ? { ok: false } : { ok: true, value: value[0] });
});

describe("help and reference", () => {
  const definition = defineSettings("sample", {
    name: {
      env: ["A_NAME", "B_NAME"],
      flag: "name",
      type: nonEmpty(),
      required: true,
      help: "Who.",
    },
    quiet: { flag: "quiet", type: boolean(), default: "false", help: "Say less." },
    mode: { env: "A_MODE", type: oneOf(["x", "y"]), default: "x", help: "How." },
    note: { flag: "note", type: string(), help: "Why." },
    all: { env: "A_ALL", type: list(string()), default: "", help: "All." },
  });

  test("help names every setting with its ways, value and default", () => {
    expect(helpText(definition)).toBe(`Usage: malla sample [--flag value …]

Settings come from defaults, a file, the environment and flags; the later wins.

  --name TEXT, A_NAME, B_NAME [name]
      Who. Required: a text that is not blank.

  --quiet [quiet]
      Say less. Default: false.

  A_MODE [mode]
      How. Default: x.

  --note TEXT [note]
      Why. Optional: a text.

  A_ALL [all]
      All. Default: empty.

  --config FILE, MALLA_CONFIG
      A YAML or JSON file of settings, each under its name in this help's brackets.
`);
    expect(wantsHelp(["--name", "x", "-h"])).toBe(true);
    expect(wantsHelp(["--name", "x"])).toBe(false);
  });

  test("the reference has one table per mode", () => {
    const page = referencePage([definition]);
    expect(page).toContain("## malla sample\n");
    expect(page).toContain(
      "| `name` | `A_NAME`, `B_NAME` | `--name` | a text that is not blank | required | Who. |\n",
    );
    expect(page).toContain("| `mode` | `A_MODE` |  | one of x, y | `x` | How. |\n");
    expect(page).toContain(
      "| `all` | `A_ALL` |  | a list separated by commas, each a text | empty |",
    );
  });
});
