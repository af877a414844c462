/**
 * The identity service as a whole: the issuer's folder, the authority, its own certificate, and the
 * server. It serves as soon as there is an issuer, and shows each connection the newest certificate.
 */

import { describeError, Fault } from "../base/fault.ts";
import { type ControlServer, serveControl } from "../contract/server.ts";
import type { Clock } from "../host/clock.ts";
import type { SocketAddress } from "../mesh/address.ts";
import { identityName } from "../mesh/identity.ts";
import { type CertificateLoop, startCertificateLoop } from "../pki/certificate-loop.ts";
import { type Authority, authorityNotAfterMs, authorityPem } from "../pki/issuer.ts";
import { readCsr } from "../pki/read-csr.ts";
import { chains } from "../pki/verify.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Counter, Family, Gauge } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import { createAuthority, issueFor } from "./authority.ts";
import { type IssuerFolder, watchIssuer } from "./issuer-files.ts";
import type { TokenReviewer } from "./token.ts";

/** The service account of the identity service. */
export const IDENTITY_SERVICE_ACCOUNT = "malla-identity";

/** How the service runs. */
export interface IdentityServiceOptions {
  readonly address: SocketAddress;
  readonly issuerFolder: string;
  readonly reviewer: TokenReviewer;
  /** PEM; the issuer must chain to one of them. */
  readonly trustAnchors: string;
  /** Those of this moment, where somebody changes them while the service runs. */
  readonly readTrustAnchors?: () => string;
  readonly controlPlaneNamespace: string;
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  readonly clockSkewMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly registry: Registry;
}

/** A running identity service. */
export interface IdentityService {
  /** null until it serves. */
  address(): SocketAddress | null;
  /** What is still missing, as phrases for people; empty when it serves. */
  waitingFor(): readonly string[];
  /** Sets the gauges that are read on demand. */
  refresh(): void;
  /** Resolves when it serves; rejects when the address cannot be listened on. */
  readonly serving: Promise<void>;
  stop(): Promise<void>;
}

/** Starts the service. Throws `invalid_argument` for trust anchors that cannot be read. */
export async function startIdentityService(
  options: IdentityServiceOptions,
): Promise<IdentityService> {
  const service = new Service(options);
  await service.start();
  return service;
}

class Service implements IdentityService {
  readonly #options: IdentityServiceOptions;
  readonly #metrics: IdentityMetrics;
  readonly #serving = Promise.withResolvers<void>();
  #folder: IssuerFolder | undefined;
  #loop: CertificateLoop | undefined;
  #server: ControlServer | undefined;
  #isStopped = false;

  constructor(options: IdentityServiceOptions) {
    this.#options = options;
    this.#metrics = identityFamilies(options.registry);
    // Whoever does not wait for it must not be ended by it.
    this.#serving.promise.catch(() => {});
  }

  get serving(): Promise<void> {
    return this.#serving.promise;
  }

  async start(): Promise<void> {
    const { issuerFolder, clock, log } = this.#options;
    this.#folder = await watchIssuer(issuerFolder, clock, {
      loaded: (issuer) => {
        const until = new Date(authorityNotAfterMs(issuer)).toISOString();
        log.info("issuer is loaded", { issuer: issuer.certificate.subject, until });
        this.#metrics.loads.with({ result: "loaded" }).add(1);
        this.#loop?.renew();
      },
      failed: (fault) => {
        log.error("cannot load the issuer", { error: describeError(fault) });
        this.#metrics.loads.with({ result: fault.code }).add(1);
      },
    }, (issuer) => this.#faultOf(issuer));
    this.#loop = this.#certifyItself();
  }

  address(): SocketAddress | null {
    return this.#server?.address ?? null;
  }

  waitingFor(): readonly string[] {
    if (this.#folder?.current() === null) return ["an issuer"];
    return this.#server === undefined ? ["a certificate"] : [];
  }

  refresh(): void {
    const issuer = this.#folder?.current();
    if (!issuer) return;
    const leftMs = authorityNotAfterMs(issuer) - this.#options.clock.nowMs();
    this.#metrics.issuerTtl.with({}).set(Math.max(0, leftMs / 1000));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#loop?.stop();
    this.#folder?.stop();
    await this.#server?.close();
  }

  /** An issuer that nobody would believe must not take the place of one that all believe. */
  #faultOf(issuer: Authority): Fault | undefined {
    const { clock, trustAnchors, readTrustAnchors = () => trustAnchors } = this.#options;
    const nowMs = clock.nowMs();
    const endMs = authorityNotAfterMs(issuer);
    const what = `Cannot use the issuer "${issuer.certificate.subject}"`;
    if (endMs <= nowMs) {
      const ended = new Date(endMs).toISOString();
      return new Fault("failed_precondition", `${what}: its certificate chain ended at ${ended}`);
    }
    if (chains(authorityPem(issuer).certificate, readTrustAnchors(), nowMs)) return undefined;
    return new Fault(
      "failed_precondition",
      `${what}: it is below none of the trust anchors, so that no proxy would believe its certificates`,
    );
  }

  /** The service's own certificate comes from itself, without a token. */
  #certifyItself(): CertificateLoop {
    const { controlPlaneNamespace, trustDomain, trustAnchors, clock, log } = this.#options;
    const self = {
      serviceAccount: IDENTITY_SERVICE_ACCOUNT,
      namespace: controlPlaneNamespace,
      controlPlaneNamespace,
      trustDomain,
    };
    const issuer = () => this.#folder?.current() ?? null;
    return startCertificateLoop({
      name: identityName(self),
      certifier: {
        certify: async ({ csr }) =>
          await issueFor({ ...this.#options, issuer }, self, await readCsr(csr.slice())),
      },
      readToken: () => Promise.resolve(new Uint8Array()),
      trustAnchors,
      clock,
      renewed: (certificate) => {
        if (this.#server !== undefined) this.#server.setTls(certificate);
        else this.#listen(certificate).catch((thrown) => this.#serving.reject(thrown));
      },
      failed: (fault, retryMs) =>
        log.warn("cannot certify itself", { error: describeError(fault), retryMs }),
    });
  }

  async #listen(tls: Parameters<ControlServer["setTls"]>[0]): Promise<void> {
    const { address, log } = this.#options;
    const certifier = createAuthority({
      ...this.#options,
      issuer: () => this.#folder?.current() ?? null,
      decided: (identity, fault) => this.#decided(identity, fault),
    });
    const server = await serveControl({ address, tls, certifier });
    if (this.#isStopped) return await server.close();
    this.#server = server;
    log.info("serving", { port: server.address.port });
    this.#serving.resolve();
  }

  #decided(identity: string, fault: Fault | null): void {
    const { log } = this.#options;
    this.#metrics.certificates.with({ result: fault?.code ?? "issued" }).add(1);
    if (fault === null) log.info("certified", { identity });
    else log.warn("refused", { identity, code: fault.code, error: describeError(fault) });
  }
}

type IdentityMetrics = ReturnType<typeof identityFamilies>;

/** Registers what the service counts. */
export function identityFamilies(registry: Registry): {
  readonly certificates: Family<Counter>;
  readonly loads: Family<Counter>;
  readonly issuerTtl: Family<Gauge>;
} {
  return {
    certificates: registry.counter(
      "malla_identity_certificates_total",
      "Certificates that were asked for, by what came of it",
      ["result"],
    ),
    loads: registry.counter(
      "malla_identity_issuer_loads_total",
      "Readings of the issuer's files, by what came of it",
      ["result"],
    ),
    issuerTtl: registry.gauge(
      "issuer_cert_ttl_seconds",
      "Seconds until the issuer's certificate chain expires",
    ),
  };
}
