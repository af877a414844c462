/**
 * `malla proxy`: the sidecar. Configured by the contract's environment; SIGTERM and SIGINT drain it, a
 * second signal ends it at once. Exit codes: 0 after a drain, 64 for wrong settings, 1 for the rest.
 */

import { describeError, Fault } from "../lib/base/fault.ts";
import { COMMIT, VERSION } from "../lib/base/version.ts";
import { exitCodeOf, helpText, wantsHelp } from "../lib/config/mod.ts";
import { systemClock } from "../lib/host/clock.ts";
import { readBytes } from "../lib/host/files.ts";
import { readProcessStats } from "../lib/host/process-stats.ts";
import { environment, exitNow, onSignals, type Signal } from "../lib/host/process.ts";
import { availableCores } from "../lib/host/runtime.ts";
import type { IdentityFiles } from "../lib/pki/certificate-loop.ts";
import { coresOf } from "../lib/proxy/cores.ts";
import type { OtherCores } from "../lib/proxy/other-cores.ts";
import { startBytePath } from "../lib/proxy/path.ts";
import { Proxy } from "../lib/proxy/proxy.ts";
import { type LoadedSettings, type ProxySettings, proxySettings } from "../lib/proxy/settings.ts";
import type { Logger } from "../lib/telemetry/logger.ts";
import { coreHost, loadSettingsOf } from "./proxy-host.ts";

const SIGNAL_NUMBERS: Readonly<Partial<Record<Signal, number>>> = { SIGINT: 2, SIGTERM: 15 };

/** Runs the proxy until it was drained. */
export async function run(args: readonly string[]): Promise<number> {
  if (wantsHelp(args)) {
    process.stdout.write(helpText(proxySettings));
    return 0;
  }
  const complain = (message: string) => void process.stderr.write(`malla proxy: ${message}\n`);
  let loaded: LoadedSettings;
  try {
    loaded = loadSettingsOf(args, complain);
  } catch (thrown) {
    complain(describeError(thrown));
    return exitCodeOf(thrown);
  }
  return await runWith(loaded, args);
}

async function runWith({ settings, ineffective }: LoadedSettings, args: readonly string[]) {
  const cores = coresOf(settings, availableCores());
  const host = coreHost(settings, cores > 1);
  const { log } = host;
  for (const name of ineffective) log.warn("setting has no effect yet", { name });
  const ended = Promise.withResolvers<number>();
  try {
    const proxy = new Proxy({
      settings,
      host: {
        ...host,
        readToken: () => readToken(settings.tokenFile),
        readProcess: readProcessStats,
        env: environment(),
      },
      startPath: startBytePath,
      otherCores: cores > 1 ? await startOtherCores(cores - 1, settings, args, ended.reject) : null,
      identityFiles: await identityFiles(settings.identityDir, log),
      build: { version: VERSION, git_sha: COMMIT ?? "", vendor: "malla", profile: "release" },
      shutdown: () => end(),
    });
    const end = () => void proxy.drain().then(() => ended.resolve(0), ended.reject);
    const off = onEndSignals(end);
    proxy.start().catch(ended.reject);
    const code = await ended.promise.finally(() => proxy.stop());
    off();
    return code;
  } catch (thrown) {
    log.error("cannot run", { error: describeError(thrown) });
    return exitCodeOf(thrown);
  }
}

/** Threads, which a proxy with a single core does not even load. */
async function startOtherCores(
  count: number,
  settings: ProxySettings,
  args: readonly string[],
  failed: (fault: Fault) => void,
): Promise<OtherCores> {
  const { startWorker } = await import("../lib/host/worker.ts");
  const { OtherCores } = await import("../lib/proxy/other-cores.ts");
  return new OtherCores({
    count,
    clock: systemClock,
    drainMs: settings.shutdownGraceMs,
    startCore: (number, events) => startWorker(["proxy-core", String(number), ...args], events),
    failed,
  });
}

/** The first signal drains, the second ends the process where it stands. */
function onEndSignals(end: () => void): () => void {
  let signals = 0;
  return onSignals(["SIGTERM", "SIGINT"], (signal) => {
    if (signals++ === 0) end();
    else exitNow(128 + (SIGNAL_NUMBERS[signal] ?? 0));
  });
}

async function readToken(path: string): Promise<Uint8Array> {
  const token = await readBytes(path);
  if (token.length > 0) return token;
  throw new Fault("failed_precondition", `Cannot use the token in "${path}": the file is empty`);
}

/** The key and request that somebody put into the identity folder; both, or neither counts. */
async function identityFiles(
  folder: string | undefined,
  log: Logger,
): Promise<IdentityFiles | undefined> {
  if (folder === undefined) return undefined;
  try {
    return { key: await readBytes(`${folder}/key.p8`), csr: await readBytes(`${folder}/csr.der`) };
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.code !== "not_found") throw thrown;
    log.debug("making the key in memory", { reason: thrown.message });
    return undefined;
  }
}
