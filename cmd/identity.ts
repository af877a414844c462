/**
 * `malla identity`: the certificate authority of the mesh. It shows workloads' tokens to the cluster (or
 * checks them with the key of a laptop mesh) and signs what they may have with the issuer in a folder.
 */

import {
  defineSettings,
  duration,
  filePath,
  logSettings,
  meshSettings,
  readTrustAnchors,
  type Settings,
  socketAddress,
  sourceSettings,
  trustAnchorSettings,
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
import { clusterAccess } from "../lib/source/kube/access.ts";
import { adminHandler } from "../lib/telemetry/admin.ts";
import { type Logger } from "../lib/telemetry/logger.ts";
import { Registry } from "../lib/telemetry/registry.ts";
import { loggerOf, readSettingsText, runMode } from "./settings-mode.ts";

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
  ...trustAnchorSettings,
  lifetime: {
    env: "MALLA_IDENTITY_LIFETIME",
    flag: "lifetime",
    type: duration(),
    default: "24h",
    help: "How long certificates last.",
  },
  clockSkew: {
    env: "MALLA_IDENTITY_CLOCK_SKEW",
    flag: "clock-skew-allowance",
    type: duration(),
    default: "20s",
    help: "How far the clocks of workloads may be off.",
  },
  kubeconfig: sourceSettings.kubeconfig,
  tokenKeyFile: {
    env: "MALLA_IDENTITY_TOKEN_KEY_FILE",
    flag: "token-key-file",
    type: filePath(),
    help: "Public key of a laptop mesh's tokens; without it the cluster is asked about tokens.",
  },
});

type IdentitySettings = Settings<typeof identitySettings.settings>;

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (could not start) or 64 (wrong settings). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(identitySettings, args, async (settings) => {
    await serve(settings, loggerOf(identitySettings, settings));
    return 0;
  });
}

async function serve(settings: IdentitySettings, log: Logger): Promise<void> {
  const stopping = Promise.withResolvers<string>();
  const offSignals = onSignals(["SIGTERM", "SIGINT"], (signal) => stopping.resolve(signal));
  const registry = new Registry();
  const service = await startIdentityService({
    address: settings.listen,
    issuerFolder: settings.issuerFolder,
    reviewer: await reviewerOf(settings),
    trustAnchors: readTrustAnchors("identity", settings, readSettingsText),
    readTrustAnchors: () => readTrustAnchors("identity", settings, readSettingsText),
    controlPlaneNamespace: settings.controlPlaneNamespace,
    trustDomain: settings.trustDomain,
    lifetimeMs: settings.lifetime,
    clockSkewMs: settings.clockSkew,
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
    const access = await clusterAccess(settings.kubeconfig, environment());
    return createTokenReviewer(clusterTokenReview(access));
  }
  return await createLocalReviewer(await readText(tokenKeyFile), systemClock);
}
