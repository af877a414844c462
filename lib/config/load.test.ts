/** Loading: which source wins, and every sentence that a wrong setting earns. */

import { describe, expect, test } from "bun:test";
import { ConfigFault, exitCodeOf } from "./fault.ts";
import { defineSettings } from "./definition.ts";
import { loadSettings, type SettingSources } from "./load.ts";
import { hostPort, networks, ports, socketAddress } from "./net-type.ts";
import { boolean, duration, integer, list, nonEmpty, oneOf, pemText, string } from "./type.ts";

const definition = defineSettings("sample", {
  listen: {
    env: ["MALLA_LISTEN", "OLD_LISTEN"],
    flag: "listen",
    type: socketAddress(),
    default: "127.0.0.1:80",
    help: "Where to listen.",
  },
  peer: { env: "MALLA_PEER", flag: "peer", type: hostPort(), help: "Whom to call." },
  timeoutMs: {
    env: "MALLA_TIMEOUT",
    flag: "timeout",
    type: duration(),
    default: "1s",
    help: "Wait.",
  },
  cores: { env: "MALLA_CORES", flag: "cores", type: integer(1, 64), default: "1", help: "Cores." },
  verbose: { flag: "verbose", type: boolean(), default: "false", help: "Say more." },
  names: { env: "MALLA_NAMES", flag: "names", type: list(nonEmpty()), default: "", help: "Names." },
  level: { env: "MALLA_LEVEL", type: oneOf(["low", "high"]), default: "low", help: "Level." },
  token: { env: "MALLA_TOKEN", flag: "token", type: pemText(), secret: true, help: "Token." },
  opaque: { env: "MALLA_OPAQUE", type: ports(), default: "25,8000-8002", help: "Opaque." },
  nets: { env: "MALLA_NETS", type: networks(), default: "10.0.0.0/8", help: "Networks." },
  label: { env: "MALLA_LABEL", flag: "label", type: string(), help: "Label." },
});

const required = defineSettings("strict", {
  name: { env: "MALLA_NAME", flag: "name", type: nonEmpty(), required: true, help: "Name." },
});

function problemsOf(sources: SettingSources): readonly string[] {
  try {
    loadSettings(definition, sources);
  } catch (error) {
    if (error instanceof ConfigFault) return error.problems;
    throw error;
  }
  return [];
}

describe("the value that counts", () => {
  test("a default is read by the setting's own type", () => {
    const settings = loadSettings(definition, {});
    expect(settings.listen).toEqual({ ip: "127.0.0.1", port: 80 });
    expect(settings.timeoutMs).toBe(1_000);
    expect(settings.opaque).toEqual([{ first: 25, last: 25 }, { first: 8000, last: 8002 }]);
    expect(settings.nets[0]?.prefix).toBe(8);
    expect(settings.peer).toBeUndefined();
    expect(settings.names).toEqual([]);
  });

  test("file beats default, environment beats file, flag beats environment", () => {
    const readFile = () => "cores: 2\ntimeoutMs: 2s\nlevel: high\nnames: [a, b]\n";
    const settings = loadSettings(definition, {
      readFile,
      env: { MALLA_CONFIG: "/etc/malla.yaml", MALLA_TIMEOUT: "3s", MALLA_LEVEL: "low" },
      args: ["--timeout", "4s", "--verbose"],
    });
    expect(settings.cores).toBe(2);
    expect(settings.level).toBe("low");
    expect(settings.timeoutMs).toBe(4_000);
    expect(settings.names).toEqual(["a", "b"]);
    expect(settings.verbose).toBe(true);
  });

  test("the flag --config beats the variable, and JSON is read as JSON", () => {
    const files: Record<string, string> = { "/a.yaml": "cores: 2", "/b.json": '{"cores": 3}' };
    const settings = loadSettings(definition, {
      env: { MALLA_CONFIG: "/a.yaml" },
      args: ["--config", "/b.json"],
      readFile: (path) => files[path] ?? "",
    });
    expect(settings.cores).toBe(3);
  });

  test("the first of several variables counts, and an empty one is not given", () => {
    const env = { MALLA_LISTEN: "", OLD_LISTEN: "10.0.0.1:81" };
    expect(loadSettings(definition, { env }).listen).toEqual({ ip: "10.0.0.1", port: 81 });
  });

  test("an empty variable empties a list", () => {
    expect(loadSettings(definition, { env: { MALLA_NETS: "" } }).nets).toEqual([]);
  });

  test("flags: a value after = may hold anything, lists add up, --no- negates, the last wins", () => {
    const args = ["--label=a=b --c", "--names", "x,y", "--names=z", "--verbose", "--no-verbose"];
    const settings = loadSettings(definition, { args: [...args, "--cores", "2", "--cores=3"] });
    expect(settings.label).toBe("a=b --c");
    expect(settings.names).toEqual(["x", "y", "z"]);
    expect(settings.verbose).toBe(false);
    expect(settings.cores).toBe(3);
  });
});

describe("what is wrong is said", () => {
  test.each([
    [["--timeout", "10"], '"10" for --timeout: expected a duration with its unit'],
    [["--cores", "65"], '"65" for --cores: expected a whole number from 1 to 64'],
    [["--cores", "1.5"], '"1.5" for --cores: expected a whole number from 1 to 64'],
    [["--listen", "localhost:80"], '"localhost:80" for --listen: expected an IP address and port'],
    [["--peer=nowhere"], '"nowhere" for --peer: expected a host and port'],
    [["--verbose=maybe"], '"maybe" for --verbose: expected true or false'],
    [["--tiemout", "1s"], "Unknown flag --tiemout: did you mean --timeout?"],
    [["--level", "high"], "Unknown flag --level: set MALLA_LEVEL"],
    [["--qqqqqq"], "Unknown flag --qqqqqq: --help tells what there is"],
    [["--timeout"], "Flag --timeout needs a value: write --timeout VALUE or --timeout=VALUE"],
    [["--timeout", "--verbose"], "Flag --timeout needs a value"],
    [["start"], 'Unexpected argument "start": expected flags such as --name value'],
    [["--config", "/none"], "Cannot read the settings file /none: this mode takes no file"],
  ])("flags %p", (args, expected) => {
    const problems = problemsOf({ args });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });

  test.each([
    [
      { MALLA_OPAQUE: "80,x" },
      '"80,x" for MALLA_OPAQUE: expected a list separated by commas, each a port',
    ],
    [{ MALLA_OPAQUE: "9-8" }, '"9-8" for MALLA_OPAQUE'],
    [{ MALLA_NETS: "10.0.0.0/33" }, '"10.0.0.0/33" for MALLA_NETS: expected a list'],
    [{ MALLA_LEVEL: "middle" }, '"middle" for MALLA_LEVEL: expected one of low, high'],
    [{ MALLA_LABEL: "ok", MALLA_CORES: "" }, undefined],
  ])("variables %p", (env: Record<string, string>, expected) => {
    const problems = problemsOf({ env });
    if (expected === undefined) expect(problems).toEqual([]);
    else expect(problems[0]).toContain(expected);
  });

  test.each([
    ["coers: 2", 'Unknown setting "coers" in /f.yaml: did you mean "cores"?'],
    ["timeoutMs: 10", 'Cannot use "10" for "timeoutMs" in /f.yaml: expected a duration'],
    ["- 1", 'Cannot read the settings file /f.yaml: expected an object such as "logLevel: info"'],
    ["a: [1", "Cannot read the settings file /f.yaml: YAML Parse error"],
  ])("file %p", (text, expected) => {
    expect(problemsOf({ args: ["--config=/f.yaml"], readFile: () => text })[0]).toContain(expected);
  });

  test("a secret is never shown", () => {
    const problems = problemsOf({ env: { MALLA_TOKEN: "hunter2" } });
    expect(problems).toEqual([
      "Cannot use the secret value for MALLA_TOKEN: expected PEM text that begins with -----BEGIN",
    ]);
  });

  test("a long value is shortened to one line", () => {
    const [problem = ""] = problemsOf({ env: { MALLA_LEVEL: `${"x".repeat(500)}\n\ny` } });
    expect(problem.length).toBeLessThan(220);
    expect(problem).not.toContain("\n");
  });

  test("a required setting that nobody gave names all the ways to give it", () => {
    expect(() => loadSettings(required, {})).toThrow(
      "Cannot configure strict: Missing setting: set MALLA_NAME or --name to a text that is not blank",
    );
  });

  test("all problems come at once, in one error with exit code 64", () => {
    const sources = { env: { MALLA_CORES: "none", MALLA_LEVEL: "?" }, args: ["--tiemout=1"] };
    expect(problemsOf(sources)).toHaveLength(3);
    try {
      loadSettings(definition, sources);
    } catch (error) {
      expect(exitCodeOf(error)).toBe(64);
      expect(String(error)).toContain("Cannot configure sample, 3 problems:\n  - Unknown flag");
    }
    expect(exitCodeOf(new Error("other"))).toBe(1);
  });
});

test("unknown variables of ours are warnings; those of Kubernetes are silent", () => {
  const warnings: string[] = [];
  loadSettings(definition, {
    env: {
      MALLA_TIMEOUTS: "1s",
      MALLA_IDENTITY_SERVICE_HOST: "10.0.0.1",
      MALLA_IDENTITY_SERVICE_PORT_GRPC: "8080",
      MALLA_IDENTITY_PORT: "tcp://10.0.0.1:8080",
      MALLA_IDENTITY_PORT_8080_TCP_ADDR: "10.0.0.1",
      PATH: "/bin",
    },
    warn: (message) => void warnings.push(message),
  });
  expect(warnings).toEqual([
    "Ignoring the unknown variable MALLA_TIMEOUTS: did you mean MALLA_TIMEOUT?",
  ]);
});

test("two settings cannot share a name", () => {
  const setting = { flag: "same", type: string(), help: "" };
  expect(() => defineSettings("twice", { a: setting, b: setting })).toThrow(
    "shares the name --same",
  );
});
