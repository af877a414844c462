/**
 * `malla identity`: the certificate authority of the mesh. It shows workloads' tokens to the cluster (or
 * checks them with the key of a laptop mesh) and signs what they may have with the issuer in a folder.
 */

import { readFileSync } from "node:fs";
import { describeError } from "../lib/base/fault.ts";
import {
  ConfigFault,
  defineSettings,
  duration,
  exitCodeOf,
  filePath,
  helpText,
  loadSettings,
  logSettings,
  meshSettings,
  pemText,
  type Settings,
  socketAddress,
  wantsHelp,
} from "../lib/config/mod.ts";
import { systemClock } from "../lib/host/clock.ts";
import { readText } from "../lib/host/files.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { serveWeb } from "../lib/host/web-server.ts";
import {
  clusterTokenReview,
  createLocalReviewer,
  createTokenReviewer,
  type IdentityService,
  startIdentityService,
  type TokenReviewer,
} from "../lib/identity/mod.ts";
import { inClusterAccess } from "../lib/source/kube/access.ts";
import { adminHandler } from "../lib/telemetry/admin.ts";
import { createLogger, type Logger } from "../lib/telemetry/logger.ts";
import { Registry } from "../lib/telemetry/registry.ts";

/** What the identity service is told. */
export const identitySettings = defineSettings("identity", {
  ...meshSettings,
  ...logSettings,
  listen: {
    env: "MALLA_IDENTITY_LISTEN_ADDR",
    flag: "listen",
    type: socketAddress(),
    default: "0.0.0.0:8080",
    help: "Where certificates are asked for.",
  },
  adminListen: {
    env: "MALLA_ADMIN_LISTEN_ADDR",
    flag: "admin-listen",
    type: socketAddress(),
    default: "0.0.0.0:9990",
    help: "Where /live, /ready and /metrics are served.",
  },
  issuerFolder: {
    env: "MALLA_IDENTITY_ISSUER_DIR",
    flag: "issuer-dir",
    type: filePath(),
    default: "/var/run/malla/identity/issuer",
    help: "Folder with tls.crt and tls.key, or crt.pem and key.pem; read again when it changes.",
  },
  trustAnchors: {
    env: "MALLA_IDENTITY_TRUST_ANCHORS",
    type: pemText(),
    help: "The certificates that all identities of the mesh chain to.",
  },
  trustAnchorsFile: {
    env: "MALLA_IDENTITY_TRUST_ANCHORS_FILE",
    flag: "trust-anchors-file",
    type: filePath(),
    help: "A file with the trust anchors, where they are not in the environment.",
  },
  lifetime: {
    env: "MALLA_IDENTITY_LIFETIME",
    flag: "lifetime",
    type: duration(),
    default: "24h",
    help: "How long certificates last.",
  },
  tokenKeyFile: {
    env: "MALLA_IDENTITY_TOKEN_KEY_FILE",
    flag: "token-key-file",
    type: filePath(),
    help: "Public key of a laptop mesh's tokens; without it the cluster is asked about tokens.",
  },
});

type IdentitySettings = Settings<typeof identitySettings.settings>;

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (could not start) or 64 (wrong settings). */
export async function run(args: readonly string[]): Promise<number> {
  if (wantsHelp(args)) {
    process.stdout.write(helpText(identitySettings));
    return 0;
  }
  try {
    const settings = loadSettings(identitySettings, {
      args,
      env: environment(),
      readFile: (path) => readFileSync(path, "utf8"),
    });
    const log = createLogger({
      level: settings.logLevel,
      format: settings.logFormat,
      name: "identity",
    });
    await serve(settings, log);
    return 0;
  } catch (thrown) {
    process.stderr.write(`malla identity: ${describeError(thrown)}\n`);
    return exitCodeOf(thrown);
  }
}

async function serve(settings: IdentitySettings, log: Logger): Promise<void> {
  const stopping = Promise.withResolvers<string>();
  const offSignals = onSignals(["SIGTERM", "SIGINT"], (signal) => stopping.resolve(signal));
  const registry = new Registry();
  const service = await startIdentityService({
    address: settings.listen,
    issuerFolder: settings.issuerFolder,
    reviewer: await reviewerOf(settings),
    trustAnchors: await trustAnchorsOf(settings),
    controlPlaneNamespace: settings.controlPlaneNamespace,
    trustDomain: settings.trustDomain,
    lifetimeMs: settings.lifetime,
    clock: systemClock,
    log,
    registry,
  });
  try {
    const admin = serveAdmin(settings, service, registry);
    try {
      await Promise.race([service.serving, stopping.promise]);
      log.info("stopping", { signal: await stopping.promise });
    } finally {
      await admin.stop();
    }
  } finally {
    offSignals();
    await service.stop();
  }
}

function serveAdmin(settings: IdentitySettings, service: IdentityService, registry: Registry) {
  const { ip, port } = settings.adminListen;
  const handler = adminHandler({
    registry,
    waitingFor: () => service.waitingFor(),
    refresh: () => service.refresh(),
  });
  return serveWeb({ ip, port, handler });
}

async function reviewerOf(settings: IdentitySettings): Promise<TokenReviewer> {
  const { tokenKeyFile } = settings;
  if (tokenKeyFile === undefined) {
    return createTokenReviewer(clusterTokenReview(inClusterAccess(environment())));
  }
  return await createLocalReviewer(await readText(tokenKeyFile), systemClock);
}

async function trustAnchorsOf(settings: IdentitySettings): Promise<string> {
  const { trustAnchors, trustAnchorsFile } = settings;
  if (trustAnchors !== undefined) return trustAnchors;
  if (trustAnchorsFile !== undefined) return await readText(trustAnchorsFile);
  throw new ConfigFault("identity", [
    "MALLA_IDENTITY_TRUST_ANCHORS or --trust-anchors-file: expected the mesh's trust anchors, " +
    "found neither",
  ]);
}
