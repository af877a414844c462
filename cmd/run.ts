/** `malla run`: adds one process to the running mesh until it ends or Ctrl-C. */

import { Fault } from "../lib/base/fault.ts";
import { createVerb, repeated, runVerb, valueOf } from "../lib/cli/verb.ts";
import { nonEmpty, port } from "../lib/config/mod.ts";
import { currentDirectory, environment, exitNow, onSignals } from "../lib/host/process.ts";
import { processTerminal, type Terminal } from "../lib/host/terminal.ts";
import { findMesh, runInMesh, type RunOptions } from "../lib/local/mod.ts";

const SUMMARY = "Adds a process to the mesh that runs on this machine: a pod of its own with a " +
  "proxy, in this directory, with this environment. Its output comes here; Ctrl-C ends it.";

/** As pods and Services are named. */
const NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** The words after `run`, as read. */
interface RunFlags {
  readonly port?: number;
  readonly namespace: string;
  readonly env?: readonly (readonly [string, string])[];
  readonly mesh?: string;
}

/** Runs the process; resolves to its exit code. */
export function run(args: readonly string[]): Promise<number> {
  const terminal = processTerminal();
  const verb = createVerb("run", SUMMARY, terminal)
    .usage("[options] <name> -- <command...>")
    .argument("<name>", "what it is called in the mesh")
    .argument("<command...>", "what to run; write -- before it")
    .option("--port <port>", "the port that it listens on; others reach it there", valueOf(port()))
    .option("-n, --namespace <name>", "its namespace", "default")
    .option("-e, --env <name=value>", "sets a variable; may be given again", repeated(readPair))
    .option("--mesh <socket>", "the control socket of the mesh", valueOf(nonEmpty()));
  return runVerb(verb, args, terminal, async () => {
    const [name = "", ...command] = verb.args;
    const flags = verb.opts<RunFlags>();
    if (!NAME.test(name)) {
      throw new Fault(
        "invalid_argument",
        `Cannot use the name "${name}": expected lower-case letters, digits and dashes, at most 63`,
      );
    }
    const socket = flags.mesh ?? (await findMesh()).controlSocket;
    return await follow(socket, {
      name,
      namespace: flags.namespace,
      port: flags.port ?? null,
      command,
      environment: { ...environment(), ...Object.fromEntries(flags.env ?? []) },
      workingDir: currentDirectory(),
    }, terminal);
  });
}

async function follow(socket: string, options: RunOptions, terminal: Terminal): Promise<number> {
  const { name, namespace, port } = options;
  const remote = await runInMesh(socket, options, {
    write(stream, bytes) {
      (stream === "out" ? process.stdout : process.stderr).write(bytes);
    },
    running(ip) {
      const where = port === null ? ip : `http://${name}.${namespace}:${port} (${ip})`;
      terminal.writeError(`malla run: ${name} is in the mesh as ${where}\n`);
    },
  });
  let signals = 0;
  const off = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => {
    if (++signals === 1) remote.stop();
    else exitNow(130);
  });
  try {
    return await remote.exited;
  } finally {
    off();
    remote.abandon();
  }
}

function readPair(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new Fault("invalid_argument", "Expected NAME=VALUE");
  return [text.slice(0, at), text.slice(at + 1)];
}
