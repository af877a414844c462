/**
 * Keeps one workload's certificate: asks for it, checks it, renews it at 70 % of its lifetime, for as
 * long as it runs. The key never leaves memory unless the caller brought it. Who certifies, and where
 * the token comes from, is injected; so the proxy, the controller and the identity service share this.
 *
 *     asking ──certified──▶ holding ──70 % of the lifetime──▶ asking
 *        └──fault──▶ waiting ──at least `retryMs`──▶ asking      (an old certificate is held meanwhile)
 */

import { Fault } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { TlsMaterial } from "../host/net.ts";
import type { Certifier } from "../mesh/certifier.ts";
import { createCsr } from "./csr.ts";
import { generateKey, importKey, type KeyPair } from "./key.ts";
import { toPemChain } from "./pem.ts";
import { readTrustAnchors, verifyLeaf } from "./verify.ts";

/** A certificate that is in use, with its key. */
export interface CurrentCertificate extends TlsMaterial {
  /** The DNS name that was asked for. */
  readonly name: string;
  readonly leafDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

/** Files that came with the contract's identity folder, where a key is not to be made. */
export interface IdentityFiles {
  /** `key.p8`: PKCS#8 in DER. */
  readonly key: Uint8Array<ArrayBuffer>;
  /** `csr.der`. */
  readonly csr: Uint8Array<ArrayBuffer>;
}

/** What a loop works with. */
export interface CertificateLoopOptions {
  readonly name: string;
  readonly certifier: Certifier;
  /** Reads the token anew at each attempt, because it is rotated. */
  readonly readToken: () => Promise<Uint8Array>;
  /** PEM. */
  readonly trustAnchors: string;
  readonly clock: Clock;
  /** Absent: a key is made at start. */
  readonly files?: IdentityFiles;
  /** Bounds of the time to the next renewal. Defaults: 10 s and 24 h, the contract's. */
  readonly renewMinMs?: number;
  readonly renewMaxMs?: number;
  /** Called with each new certificate. */
  readonly renewed: (certificate: CurrentCertificate) => void;
  /** Called with each failed attempt and the time to the next one. */
  readonly failed: (fault: Fault, retryMs: number) => void;
}

/** A running loop. */
export interface CertificateLoop {
  /** null before the first certificate. An expired one is still given: the handshake tells of it. */
  current(): CurrentCertificate | null;
  /** Asks for a new certificate at once, for instance because the issuer has changed. */
  renew(): void;
  stop(): void;
}

const RENEW_MIN_MS = 10_000;
const RENEW_MAX_MS = 24 * 3_600_000;
/** Part of the lifetime after which a certificate is renewed; the rest is for an outage. */
const RENEW_AT = 0.7;
/** After a sleep of the machine, a certificate that is due is renewed within this time. */
const LOOK_AGAIN_MS = 30_000;
/** Before the first certificate nothing works, so the first attempts follow each other faster. */
const FIRST_RETRY_MS = 1_000;

/** Starts asking. Throws `invalid_argument` for trust anchors that cannot be read. */
export function startCertificateLoop(options: CertificateLoopOptions): CertificateLoop {
  const loop = new Loop(options);
  loop.start();
  return loop;
}

class Loop implements CertificateLoop {
  readonly #options: CertificateLoopOptions;
  readonly #anchors;
  #keys: { readonly keys: KeyPair; readonly csr: Uint8Array } | undefined;
  #current: CurrentCertificate | null = null;
  #timer: Timer | undefined;
  #failures = 0;
  /** Tells the attempt of now from one that was overtaken or stopped. */
  #generation = 0;

  constructor(options: CertificateLoopOptions) {
    this.#options = options;
    this.#anchors = readTrustAnchors(options.trustAnchors);
  }

  start(): void {
    this.#attempt();
  }

  current(): CurrentCertificate | null {
    return this.#current;
  }

  renew(): void {
    this.#timer?.cancel();
    this.#attempt();
  }

  stop(): void {
    this.#generation++;
    this.#timer?.cancel();
  }

  #attempt(): void {
    const generation = ++this.#generation;
    const isCurrent = () => generation === this.#generation;
    this.#certify().then(
      (certificate) => isCurrent() && this.#succeeded(certificate),
      (thrown: unknown) => isCurrent() && this.#failedWith(thrown),
    );
  }

  async #certify(): Promise<CurrentCertificate> {
    const { name, certifier, readToken, clock, trustAnchors } = this.#options;
    const { keys, csr } = this.#keys ??= await this.#makeKeys();
    const token = await readToken();
    const issued = await certifier.certify({ identity: name, token, csr });
    const nowMs = clock.nowMs();
    const { leaf: leafDer, intermediates } = issued;
    const leaf = verifyLeaf({
      leaf: leafDer,
      intermediates,
      trustAnchors: this.#anchors,
      dnsName: name,
      publicDer: keys.publicDer,
      nowMs,
    });
    if (issued.validUntilMs <= nowMs) {
      throw new Fault("failed_precondition", "Cannot use a certificate that has already expired");
    }
    return {
      name,
      leafDer,
      notBeforeMs: leaf.notBeforeMs,
      expiresAtMs: Math.min(issued.validUntilMs, leaf.notAfterMs),
      certificateChain: toPemChain("CERTIFICATE", [leafDer, ...intermediates]),
      privateKey: keys.privatePem,
      trustAnchors,
    };
  }

  async #makeKeys(): Promise<{ keys: KeyPair; csr: Uint8Array }> {
    const { files, name } = this.#options;
    if (files !== undefined) return { keys: await importKey(files.key), csr: files.csr };
    const keys = await generateKey();
    return { keys, csr: await createCsr(keys, name) };
  }

  #succeeded(certificate: CurrentCertificate): void {
    this.#failures = 0;
    this.#current = certificate;
    const lifetimeMs = certificate.expiresAtMs - this.#options.clock.nowMs();
    this.#again(this.#bounded(lifetimeMs * RENEW_AT));
    this.#options.renewed(certificate);
  }

  #failedWith(thrown: unknown): void {
    const fault = thrown instanceof Fault
      ? thrown
      : new Fault("internal", "Cannot get a certificate", { cause: thrown });
    this.#failures++;
    const retryMs = this.#retryMs();
    this.#again(retryMs);
    this.#options.failed(fault, retryMs);
  }

  #retryMs(): number {
    const minMs = this.#options.renewMinMs ?? RENEW_MIN_MS;
    if (this.#current !== null) return minMs;
    return Math.min(minMs, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
  }

  #bounded(ms: number): number {
    const { renewMinMs = RENEW_MIN_MS, renewMaxMs = RENEW_MAX_MS } = this.#options;
    return Math.min(Math.max(ms, renewMinMs), renewMaxMs);
  }

  /**
   * By wall time too, looked at now and then: timers stand still while a laptop sleeps. By the timers'
   * time as well, since somebody may put the wall clock back.
   */
  #again(delayMs: number): void {
    const { clock } = this.#options;
    this.#attemptAt(clock.nowMs() + delayMs, clock.monotonicMs() + delayMs);
  }

  #attemptAt(wallMs: number, monotonicMs: number): void {
    const { clock } = this.#options;
    const restMs = Math.min(wallMs - clock.nowMs(), monotonicMs - clock.monotonicMs());
    this.#timer = clock.after(Math.min(restMs, LOOK_AGAIN_MS), () => {
      const isDue = clock.nowMs() >= wallMs || clock.monotonicMs() >= monotonicMs;
      if (isDue) this.#attempt();
      else this.#attemptAt(wallMs, monotonicMs);
    });
  }
}
