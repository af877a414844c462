/**
 * `malla proxy`: the sidecar. Configured by the contract's environment; SIGTERM and SIGINT drain it, a
 * second signal ends it at once. Exit codes: 0 after a drain, 64 for wrong settings, 1 for the rest.
 */

import { describeError, Fault } from "../lib/base/fault.ts";
import { COMMIT, VERSION } from "../lib/base/version.ts";
import { exitCodeOf, helpText, wantsHelp } from "../lib/config/mod.ts";
import { createBunNet } from "../lib/host/bun-net.ts";
import { systemClock } from "../lib/host/clock.ts";
import { resolveHost } from "../lib/host/dns.ts";
import { readBytes } from "../lib/host/files.ts";
import { readProcessStats } from "../lib/host/process-stats.ts";
import { environment, exitNow, onSignals, type Signal } from "../lib/host/process.ts";
import type { IdentityFiles } from "../lib/pki/certificate-loop.ts";
import { startBytePath } from "../lib/proxy/path.ts";
import { Proxy } from "../lib/proxy/proxy.ts";
import { type LoadedSettings, loadProxySettings, proxySettings } from "../lib/proxy/settings.ts";
import { createLogger, type Logger } from "../lib/telemetry/logger.ts";
import { readSettingsText } from "./settings-mode.ts";

const SIGNAL_NUMBERS: Readonly<Partial<Record<Signal, number>>> = { SIGINT: 2, SIGTERM: 15 };

/** Runs the proxy until it was drained. */
export async function run(args: readonly string[]): Promise<number> {
  if (wantsHelp(args)) {
    process.stdout.write(helpText(proxySettings));
    return 0;
  }
  const env = environment();
  let loaded: LoadedSettings;
  try {
    loaded = loadProxySettings({
      env,
      args,
      readFile: readSettingsText,
      warn: (message) => void process.stderr.write(`malla proxy: ${message}\n`),
    });
  } catch (thrown) {
    process.stderr.write(`malla proxy: ${describeError(thrown)}\n`);
    return exitCodeOf(thrown);
  }
  return await runWith(loaded, env);
}

async function runWith({ settings, ineffective }: LoadedSettings, env: Record<string, string>) {
  const log = createLogger({
    level: settings.logLevel,
    format: settings.logFormat,
    name: "proxy",
  });
  for (const name of ineffective) log.warn("setting has no effect yet", { name });
  const ended = Promise.withResolvers<number>();
  try {
    const proxy = new Proxy({
      settings,
      host: {
        net: createBunNet(),
        clock: systemClock,
        random: Math.random,
        resolve: resolveHost,
        readToken: () => readToken(settings.tokenFile),
        readProcess: readProcessStats,
        env,
        log,
      },
      startPath: startBytePath,
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
