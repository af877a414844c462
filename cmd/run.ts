/** `malla run`: adds one process to the running mesh until it ends or Ctrl-C. */

import { parseArgs } from "node:util";
import { describeError, Fault } from "../lib/base/fault.ts";
import { EXIT_USAGE } from "../lib/config/mod.ts";
import { currentDirectory, environment, onSignals } from "../lib/host/process.ts";
import { findMesh, runInMesh, type RunOptions } from "../lib/local/mod.ts";

const HELP = `Usage: malla run NAME [--port PORT] [options] -- COMMAND [ARG]...

Adds a process to the mesh that "malla up" runs: a pod of its own with a proxy, in this directory, with
this environment. Its output comes here; Ctrl-C ends it.

      --port PORT         the port that it listens on; others reach it as NAME:PORT
  -n, --namespace NAME    its namespace (default: default)
  -e, --env NAME=VALUE    sets a variable; may be given again
      --mesh SOCKET       the control socket of the mesh, when there are several
  -h, --help              show this
`;

const NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Runs the mode; resolves to the exit code of the process. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    const read = readOptions(args);
    if (read === null) {
      process.stdout.write(HELP);
      return 0;
    }
    return await follow(read.socket ?? (await findMesh()).controlSocket, read.options);
  } catch (error) {
    process.stderr.write(`malla run: ${describeError(error)}\n`);
    return error instanceof Fault && error.code !== "invalid_argument" ? 1 : EXIT_USAGE;
  }
}

async function follow(socket: string, options: RunOptions): Promise<number> {
  const { name, namespace, port } = options;
  const remote = await runInMesh(socket, options, {
    write(stream, bytes) {
      (stream === "out" ? process.stdout : process.stderr).write(bytes);
    },
    running(ip) {
      const where = port === null ? ip : `http://${name}.${namespace}:${port} (${ip})`;
      process.stderr.write(`malla run: ${name} is in the mesh as ${where}\n`);
    },
  });
  let signals = 0;
  const off = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => {
    if (++signals === 1) remote.stop();
    else process.exit(130);
  });
  try {
    return await remote.exited;
  } finally {
    off();
    remote.abandon();
  }
}

function readOptions(
  args: readonly string[],
): { readonly options: RunOptions; readonly socket: string | undefined } | null {
  const end = args.indexOf("--");
  const { values, positionals } = parseArgs({
    args: [...(end < 0 ? args : args.slice(0, end))],
    allowPositionals: true,
    options: {
      port: { type: "string" },
      namespace: { type: "string", short: "n" },
      env: { type: "string", short: "e", multiple: true },
      mesh: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return null;
  const command = end < 0 ? [] : args.slice(end + 1);
  const [name = "", ...more] = positionals;
  if (!NAME.test(name) || more.length > 0 || command.length === 0) {
    throw new Fault(
      "invalid_argument",
      "expected malla run NAME [--port PORT] -- COMMAND, the name of lower-case letters, digits " +
        "and dashes; see --help",
    );
  }
  const env = { ...environment() };
  for (const pair of values.env ?? []) {
    const at = pair.indexOf("=");
    if (at < 1) throw new Fault("invalid_argument", `--env "${pair}": expected NAME=VALUE`);
    env[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return {
    options: {
      name,
      namespace: values.namespace ?? "default",
      port: values.port === undefined ? null : readPort(values.port),
      command,
      environment: env,
      workingDir: currentDirectory(),
    },
    socket: values.mesh,
  };
}

function readPort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new Fault("invalid_argument", `--port "${text}": expected a port number from 1 to 65535`);
}
