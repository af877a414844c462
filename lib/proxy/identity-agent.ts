/**
 * The proxy's identity: keeps one certificate current, tells who waits for it, and counts. Asking,
 * checking and renewing are the pki room's; this is what a proxy makes of it.
 */

import { describeError, type Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import type { Certifier } from "../mesh/certifier.ts";
import {
  type CertificateLoop,
  type CurrentCertificate,
  type IdentityFiles,
  startCertificateLoop,
} from "../pki/certificate-loop.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Counter, Family, Gauge } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { Credentials, IdentitySource } from "./environment.ts";

/** What the agent works with. */
export interface IdentityAgentOptions {
  readonly name: string;
  readonly serverName: string;
  readonly trustAnchors: string;
  readonly certifier: Certifier;
  readonly readToken: () => Promise<Uint8Array>;
  /** Absent: the key is made in memory. */
  readonly files: IdentityFiles | undefined;
  readonly refreshMinMs: number;
  readonly refreshMaxMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly registry: Registry;
  /** Told of each new certificate, before those who wait for the first one. */
  readonly renewed: (credentials: Credentials) => void;
}

/** Time between two lines that say what is waited for. */
const REMIND_MS = 15_000;

/** Gives the certificate of this moment. */
export class IdentityAgent implements IdentitySource {
  readonly #options: IdentityAgentOptions;
  readonly #certified = Promise.withResolvers<void>();
  readonly #metrics: IdentityMetrics;
  #loop: CertificateLoop | null = null;
  #credentials: Credentials | null = null;

  constructor(options: IdentityAgentOptions) {
    this.#options = options;
    this.#metrics = new IdentityMetrics(options.registry);
  }

  /** Begins to ask. Throws `invalid_argument` for trust anchors that cannot be read. */
  start(): void {
    const { clock, log, files } = this.#options;
    const reminder = clock.every(REMIND_MS, () => log.info("waiting for identity"));
    void this.#certified.promise.then(() => reminder.cancel());
    this.#loop = startCertificateLoop({
      name: this.#options.name,
      certifier: this.#options.certifier,
      readToken: this.#options.readToken,
      trustAnchors: this.#options.trustAnchors,
      clock,
      ...(files === undefined ? {} : { files }),
      renewMinMs: this.#options.refreshMinMs,
      renewMaxMs: this.#options.refreshMaxMs,
      renewed: (certificate) => this.#renewed(certificate),
      failed: (fault, retryMs) => this.#failed(fault, retryMs),
    });
  }

  stop(): void {
    this.#loop?.stop();
    // Nobody is reminded of an identity that nobody asks for any more.
    this.#certified.resolve();
  }

  current(): Credentials | null {
    return this.#credentials;
  }

  /** Resolves with the first certificate, or when the agent was stopped. */
  certified(): Promise<void> {
    return this.#certified.promise;
  }

  #renewed(certificate: CurrentCertificate): void {
    const { clock, log, serverName } = this.#options;
    const { name, certificateChain, privateKey, trustAnchors, expiresAtMs } = certificate;
    const credentials = {
      name,
      serverName,
      certificateChain,
      privateKey,
      trustAnchors,
      expiresAtMs,
    };
    this.#credentials = credentials;
    this.#options.renewed(credentials);
    this.#metrics.refreshed(clock.nowMs(), expiresAtMs);
    log.info("certified", { identity: name, expires: new Date(expiresAtMs).toISOString() });
    this.#certified.resolve();
  }

  #failed(fault: Fault, retryMs: number): void {
    this.#metrics.failed();
    const held = this.#credentials;
    this.#options.log.warn("cannot get a certificate", {
      error: describeError(fault),
      code: fault.code,
      retryMs: Math.round(retryMs),
      ...(held === null ? {} : { held: new Date(held.expiresAtMs).toISOString() }),
    });
  }
}

/** Registers `control_identity_cert_*`. */
export function identityAgentFamilies(registry: Registry): {
  readonly expiration: Family<Gauge>;
  readonly refreshed: Family<Gauge>;
  readonly refreshes: Family<Counter>;
} {
  return {
    expiration: registry.gauge(
      "control_identity_cert_expiration_timestamp_seconds",
      "When the present certificate expires, since the epoch",
    ),
    refreshed: registry.gauge(
      "control_identity_cert_refresh_timestamp_seconds",
      "When the present certificate was issued to this proxy, since the epoch",
    ),
    refreshes: registry.counter(
      "control_identity_cert_refreshes_total",
      "Times that a certificate was asked for, by what came of it",
      ["result"],
    ),
  };
}

/** Adds to them. */
class IdentityMetrics {
  readonly #expiration;
  readonly #refreshed;
  readonly #refreshes;

  constructor(registry: Registry) {
    const { expiration, refreshed, refreshes } = identityAgentFamilies(registry);
    this.#expiration = expiration;
    this.#refreshed = refreshed;
    this.#refreshes = refreshes;
  }

  refreshed(nowMs: number, expiresAtMs: number): void {
    this.#expiration.with({}).set(expiresAtMs / 1_000);
    this.#refreshed.with({}).set(nowMs / 1_000);
    this.#refreshes.with({ result: "success" }).add(1);
  }

  failed(): void {
    this.#refreshes.with({ result: "error" }).add(1);
  }
}
