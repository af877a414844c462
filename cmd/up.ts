/** `malla up`: runs manifests as a mesh on this machine until Ctrl-C. */

import { Fault } from "../lib/base/fault.ts";
import { createVerb, repeated, runVerb, valueOf } from "../lib/cli/verb.ts";
import { integer, nonEmpty, oneOf } from "../lib/config/mod.ts";
import { onSignals } from "../lib/host/process.ts";
import { processTerminal } from "../lib/host/terminal.ts";
import {
  type MeshOptions,
  type NodeSpec,
  parsePublication,
  type Publication,
  startMesh,
} from "../lib/local/mod.ts";

const LEVELS = ["error", "warn", "info", "debug"] as const;
const GRACE_SECONDS_MAX = 3_600;

/** The words after `up`, as read. */
interface UpFlags {
  readonly file?: readonly string[];
  readonly exec?: readonly (readonly [string, string])[];
  readonly publish?: readonly Publication[];
  readonly namespace: string;
  readonly pagePort: number;
  readonly grace: number;
  readonly logLevel: NodeSpec["logLevel"];
  readonly proxyLogs: NodeSpec["logLevel"];
}

/** Runs the mesh until Ctrl-C; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  const terminal = processTerminal();
  const level = valueOf(oneOf(LEVELS));
  const summary =
    "Runs Kubernetes manifests as a mesh on this machine: every pod in a network of its own, with a proxy.";
  const verb = createVerb("up", summary, terminal)
    .option(
      "-f, --file <path>",
      "manifests: a folder or a file; may be given again",
      repeated(valueOf(nonEmpty())),
    )
    .option(
      "--exec <name=cmd>",
      "what to run for a workload or container, in place of its command",
      repeated(readOverride),
    )
    .option(
      "--publish <svc[.ns]:port=hostport>",
      "make a Service's port reachable on 127.0.0.1:HOSTPORT",
      repeated(parsePublication),
    )
    .option("-n, --namespace <name>", "namespace of objects that name none", "default")
    .option(
      "--page-port <port>",
      "port of the live page on 127.0.0.1; 0 takes a free one",
      valueOf(integer(0, 65_535)),
      8084,
    )
    .option(
      "--grace <seconds>",
      "how long programs may take to end",
      valueOf(integer(0, GRACE_SECONDS_MAX)),
      5,
    )
    .option("--log-level <level>", `the mesh's own programs: ${LEVELS.join(", ")}`, level, "warn")
    .option("--proxy-logs <level>", "the same for the proxies", level, "warn");
  return runVerb(verb, args, terminal, async () => {
    if (verb.opts<UpFlags>().file === undefined) {
      throw new Fault("invalid_argument", "Expected -f with a folder of manifests; see --help");
    }
    const mesh = await startMesh(optionsOf(verb.opts<UpFlags>(), terminal.colours));
    const off = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => mesh.stop());
    const code = await mesh.ended;
    off();
    return code;
  });
}

function optionsOf(flags: UpFlags, colours: boolean): MeshOptions {
  return {
    places: flags.file ?? [],
    namespace: flags.namespace,
    overrides: new Map(flags.exec ?? []),
    published: flags.publish ?? [],
    pagePort: flags.pagePort,
    colours,
    logLevel: flags.logLevel,
    proxyLogLevel: flags.proxyLogs,
    graceMs: flags.grace * 1_000,
    output: "inherit",
  };
}

function readOverride(text: string): readonly [string, string] {
  const match = /^([a-z0-9][a-z0-9.-]*)=(.+)$/s.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new Fault("invalid_argument", "Expected NAME='COMMAND'");
  }
  return [match[1], match[2]];
}
