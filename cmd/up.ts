/**
 * `malla up`: runs manifests as a mesh on this machine until Ctrl-C. With the hidden word `--node` it is
 * the inner half of that, started by the outer one inside the mesh's namespaces.
 */

import { parseArgs } from "node:util";
import { describeError, Fault } from "../lib/base/fault.ts";
import { EXIT_USAGE } from "../lib/config/mod.ts";
import { exitNow, isTerminal, onSignals } from "../lib/host/process.ts";
import { type MeshOptions, type NodeSpec, parsePublication, startMesh } from "../lib/local/mod.ts";
import { totalmem } from "node:os";

const HELP = `Usage: malla up -f DIR [options]

Runs Kubernetes manifests as a mesh on this machine: every pod in a network of its own, with a proxy.

  -f, --file PATH             manifests: a folder or a file; may be given again
      --exec NAME=CMD         what to run for a workload or container, in place of its command
      --publish SVC[.NS]:PORT=HOSTPORT
                              make a Service's port reachable on 127.0.0.1:HOSTPORT
  -n, --namespace NAME        namespace of objects that name none (default: default)
      --page-port PORT        port of the live page on 127.0.0.1 (default: 8084)
      --grace SECONDS         how long programs may take to end (default: 5)
      --log-level LEVEL       error, warn, info or debug: the mesh's own programs (default: warn)
      --proxy-logs LEVEL      the same for the proxies (default: warn)
  -h, --help                  show this
`;

const LEVELS = ["error", "warn", "info", "debug"] as const;
const GRACE_SECONDS_MAX = 3_600;

/** Runs the mode. */
export async function run(args: readonly string[]): Promise<number> {
  if (args[0] === "--node") return await runInner();
  let options: MeshOptions | null;
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`malla up: ${describeError(error)}\n`);
    return EXIT_USAGE;
  }
  if (options === null) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const mesh = await startMesh(options);
    const off = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => mesh.stop());
    const code = await mesh.ended;
    off();
    return code;
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    return error instanceof Fault && error.code === "invalid_argument" ? EXIT_USAGE : 1;
  }
}

function readOptions(args: readonly string[]): MeshOptions | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      file: { type: "string", short: "f", multiple: true },
      exec: { type: "string", multiple: true },
      publish: { type: "string", multiple: true },
      namespace: { type: "string", short: "n" },
      "page-port": { type: "string" },
      grace: { type: "string" },
      "log-level": { type: "string" },
      "proxy-logs": { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return null;
  const namespace = values.namespace ?? "default";
  if (values.file === undefined) {
    throw new Fault("invalid_argument", "expected -f with a folder of manifests; see --help");
  }
  return {
    places: values.file,
    namespace,
    overrides: new Map((values.exec ?? []).map(readOverride)),
    published: (values.publish ?? []).map(parsePublication),
    pagePort: number("--page-port", values["page-port"] ?? "8084", 65_535),
    colours: isTerminal("stdout") && !process.env["NO_COLOR"],
    logLevel: level("--log-level", values["log-level"]),
    proxyLogLevel: level("--proxy-logs", values["proxy-logs"]),
    graceMs: number("--grace", values.grace ?? "5", GRACE_SECONDS_MAX) * 1_000,
    output: "inherit",
  };
}

function readOverride(text: string): readonly [string, string] {
  const match = /^([a-z0-9][a-z0-9.-]*)=(.+)$/s.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new Fault("invalid_argument", `--exec "${text}": expected NAME='COMMAND'`);
  }
  return [match[1], match[2]];
}

function number(flag: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= most) return value;
  throw new Fault("invalid_argument", `${flag} "${text}": expected a whole number up to ${most}`);
}

function level(flag: string, text: string | undefined): NodeSpec["logLevel"] {
  const found = LEVELS.find((candidate) => candidate === (text ?? "warn"));
  if (found !== undefined) return found;
  throw new Fault("invalid_argument", `${flag} "${text}": expected one of ${LEVELS.join(", ")}`);
}

/** The inner half: the specification is the first line of standard input, its end is our end. */
async function runInner(): Promise<number> {
  const { runNode } = await import("../lib/local/node.ts");
  const spec = Promise.withResolvers<NodeSpec>();
  void readInput((line) => spec.resolve(JSON.parse(line) as NodeSpec));
  const machine = { cores: navigator.hardwareConcurrency, memoryBytes: totalmem() };
  const write = boundedWriter();
  let code = 1;
  try {
    code = await runNode(await spec.promise, write, machine);
  } catch (error) {
    write(`malla: ${describeError(error)}\n`);
  }
  // Timers and sockets are still open, and none of them is worth waiting for.
  exitNow(code);
}

/** A terminal that was stopped (Ctrl-S) takes nothing for as long as its user likes. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024;

/** Writes to standard output; lines that would pile up without bound are dropped, and counted. */
function boundedWriter(): (text: string) => void {
  let dropped = 0;
  return (text) => {
    if (process.stdout.writableLength > WAITING_BYTES_MAX) {
      dropped++;
      return;
    }
    if (dropped > 0) process.stdout.write(`malla: ${dropped} lines were dropped\n`);
    dropped = 0;
    process.stdout.write(text);
  };
}

async function readInput(firstLine: (line: string) => void): Promise<void> {
  let text = "";
  let found = false;
  const decoder = new TextDecoder();
  for await (const chunk of Bun.stdin.stream()) {
    if (found) continue;
    text += decoder.decode(chunk, { stream: true });
    if (!text.includes("\n")) continue;
    found = true;
    firstLine(text.slice(0, text.indexOf("\n")));
  }
  // `malla up` is gone: nobody wants this mesh any more.
  exitNow(137);
}
