/** The certificate authority: each refusal with its code, tokens of both worlds, issuers from files. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../test/support/fake-control.ts";
import { Fault, type FaultCode } from "../base/fault.ts";
import { Channel } from "../contract/channel.ts";
import { createCertifier } from "../contract/client.ts";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import { readCertificate } from "../host/x509.ts";
import type { CertificateRequest } from "../mesh/certifier.ts";
import { createCsr } from "../pki/csr.ts";
import {
  type Authority,
  authorityPem,
  issueLeaf,
  makeAuthorities,
  makeIssuer,
  makeRoot,
} from "../pki/issuer.ts";
import { generateKey, type KeyPair } from "../pki/key.ts";
import { fromPem, toPem } from "../pki/pem.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { prometheusText } from "../telemetry/prometheus.ts";
import { Registry } from "../telemetry/registry.ts";
import { createAuthority } from "./authority.ts";
import { watchIssuer } from "./issuer-files.ts";
import {
  createLocalReviewer,
  createTokenIssuer,
  generateTokenKeys,
  type TokenIssuer,
} from "./local-token.ts";
import { startIdentityService } from "./service.ts";
import { inClusterAccess } from "../source/kube/access.ts";
import { clusterTokenReview, createTokenReviewer, type TokenReviewStatus } from "./token-review.ts";

const NAME = "web.shop.serviceaccount.identity.malla.cluster.local";
const MESH = { controlPlaneNamespace: "malla", trustDomain: "cluster.local" } as const;
const HOUR_MS = 3_600_000;
const GRANT = { namespace: "shop", serviceAccount: "web", pod: "web-1", lifetimeMs: HOUR_MS };

let clock: ManualClock;
let issuer: Authority | null;
let keys: KeyPair;
let publicPem: string;
let tokens: TokenIssuer;
let folder: string;
let cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  clock = new ManualClock();
  const made = await makeAuthorities({ mesh: "m", nowMs: clock.nowMs(), lifetimeMs: 99 * HOUR_MS });
  issuer = made.issuer;
  keys = await generateKey();
  const tokenKeys = await generateTokenKeys();
  publicPem = tokenKeys.publicPem;
  tokens = await createTokenIssuer(tokenKeys.privatePem, clock);
  folder = mkdtempSync(join(tmpdir(), "malla-identity-"));
  cleanups = [() => rmSync(folder, { recursive: true })];
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function request(changes: Partial<CertificateRequest> = {}): Promise<CertificateRequest> {
  const token = new TextEncoder().encode(await tokens.issue(GRANT));
  return { identity: NAME, token, csr: await createCsr(keys, NAME), ...changes };
}

async function certify(wanted: CertificateRequest) {
  const decisions: (FaultCode | null)[] = [];
  const authority = createAuthority({
    ...MESH,
    issuer: () => issuer,
    reviewer: await createLocalReviewer(publicPem, clock),
    lifetimeMs: 24 * HOUR_MS,
    clock,
    decided: (_identity, fault) => void decisions.push(fault?.code ?? null),
  });
  try {
    return { issued: await authority.certify(wanted), decisions };
  } catch (thrown) {
    return { fault: thrown as Fault, decisions };
  }
}

/** A request in DER by OpenSSL's words; undefined where OpenSSL is missing. */
function foreignCsr(subject: string, names: string): Uint8Array {
  const key = join(folder, "key.pem");
  writeFileSync(key, keys.privatePem);
  const { stdout } = Bun.spawnSync([
    ...["openssl", "req", "-new", "-key", key, "-subj", subject],
    ...["-addext", `subjectAltName=${names}`],
  ]);
  return fromPem("CERTIFICATE REQUEST", stdout.toString())[0] ?? new Uint8Array();
}

const judged = test.skipIf(Bun.which("openssl") === null);

describe("certify", () => {
  test("issues for the token's owner: DNS name, SPIFFE URI after it, 24 h", async () => {
    const { issued, decisions } = await certify(await request());
    const leaf = readCertificate(issued?.leaf ?? new Uint8Array());
    expect(leaf.hasDnsName(NAME)).toBe(true);
    const text = new TextDecoder("latin1").decode(leaf.der);
    expect(text.indexOf(NAME)).toBeLessThan(text.indexOf("spiffe://cluster.local/ns/shop/sa/web"));
    expect(leaf.publicDer).toEqual(keys.publicDer);
    expect(issued?.validUntilMs).toBe(clock.nowMs() + 24 * HOUR_MS + 20_000);
    expect(leaf.notAfterMs).toBe(issued?.validUntilMs as number);
    expect(issued?.intermediates).toHaveLength(1);
    expect(decisions).toEqual([null]);
  });

  type Change = () => Partial<CertificateRequest> | Promise<Partial<CertificateRequest>>;
  const other = `other.${NAME}`;
  const bytes = (text: string) => new TextEncoder().encode(text);
  const cases: [string, FaultCode, RegExp, Change][] = [
    ["no identity", "invalid_argument", /no identity/, () => ({ identity: "" })],
    ["no token", "invalid_argument", /no token/, () => ({ token: new Uint8Array() })],
    ["no request", "invalid_argument", /no certificate sign/, () => ({ csr: new Uint8Array() })],
    ["no DER", "invalid_argument", /signing request in DER/, () => ({ csr: bytes("PEM?") })],
    [
      "a request for another name",
      "failed_precondition",
      /its request is for "other\./,
      async () => ({ csr: await createCsr(keys, other) }),
    ],
    [
      "another one's token",
      "failed_precondition",
      /the token is that of "web\.shop/,
      async () => ({ identity: other, csr: await createCsr(keys, other) }),
    ],
    ["no JWT", "invalid_argument", /expected a JSON Web Token/, () => ({ token: bytes("a.b") })],
    [
      "a user's token",
      "invalid_argument",
      /DNS labels/,
      async () => ({ token: bytes(await tokens.issue({ ...GRANT, namespace: "Shop" })) }),
    ],
    [
      "a forged token",
      "failed_precondition",
      /not signed by this mesh/,
      async () => {
        const stranger = await createTokenIssuer((await generateTokenKeys()).privatePem, clock);
        return { token: bytes(await stranger.issue(GRANT)) };
      },
    ],
    [
      "an expired token",
      "failed_precondition",
      /it has expired/,
      async () => {
        const token = bytes(await tokens.issue({ ...GRANT, lifetimeMs: 1_000 }));
        clock.advance(2_000);
        return { token };
      },
    ],
    ["no issuer", "unavailable", /not loaded yet/, () => {
      issuer = null;
      return {};
    }],
    ["an issuer that has expired", "unknown", /chain expired/, async () => {
      clock.advance(100 * HOUR_MS);
      return { token: bytes(await tokens.issue(GRANT)) };
    }],
  ];
  test.each(cases)("%s: %s", async (_what, code, message, change) => {
    const { fault, decisions } = await certify(await request(await change()));
    expect(fault?.code).toBe(code);
    expect(fault?.message).toMatch(message);
    expect(decisions).toEqual([code]);
  });

  const foreign: [string, string, string, boolean][] = [
    ["its common name may be the identity", `/CN=${NAME}`, `DNS:${NAME}`, true],
    ["another common name", "/CN=other", `DNS:${NAME}`, false],
    ["two DNS names", "/", `DNS:${NAME},DNS:b.test`, false],
    ["an address", "/", `DNS:${NAME},IP:10.0.0.1`, false],
    ["a URI", "/", `DNS:${NAME},URI:spiffe://cluster.local/ns/shop/sa/admin`, false],
    ["an e-mail address", "/", `DNS:${NAME},email:a@b.test`, false],
    ["no DNS name", "/", "IP:10.0.0.1", false],
  ];
  for (const [what, subject, names, isFine] of foreign) {
    judged(`OpenSSL's request: ${what}`, async () => {
      const { fault } = await certify(await request({ csr: foreignCsr(subject, names) }));
      expect(fault?.code).toBe(isFine ? undefined : "failed_precondition");
    });
  }
});

describe("local tokens", () => {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const encode = (value: unknown) =>
    utf8(JSON.stringify(value)).toBase64({ alphabet: "base64url" });

  test("name their owner", async () => {
    const reviewer = await createLocalReviewer(publicPem, clock);
    expect(await reviewer.review(await tokens.issue(GRANT)))
      .toEqual({ namespace: "shop", serviceAccount: "web" });
  });

  test("cannot choose how they are checked", async () => {
    const reviewer = await createLocalReviewer(publicPem, clock);
    const [, claims, signature] = (await tokens.issue(GRANT)).split(".");
    for (const alg of ["none", "HS256", "ES384"]) {
      const forged = `${encode({ alg })}.${claims}.${signature}`;
      await expect(reviewer.review(forged)).rejects.toMatchObject({ code: "failed_precondition" });
    }
  });

  test("for another audience are refused although their signature is right", async () => {
    const { privatePem, publicPem: pem } = await generateTokenKeys();
    const { importKeyPem } = await import("../pki/key.ts");
    const { privateKey } = await importKeyPem(privatePem);
    const reviewer = await createLocalReviewer(pem, clock);
    const now = clock.nowMs() / 1000;
    const good = {
      iss: "malla",
      aud: ["identity.l5d.io"],
      sub: "system:serviceaccount:shop:web",
      exp: now + 60,
    };
    const sign = async (claims: object) => {
      const signed = `${encode({ alg: "ES256" })}.${encode(claims)}`;
      const algorithm = { name: "ECDSA", hash: "SHA-256" };
      const signature = await crypto.subtle.sign(algorithm, privateKey, utf8(signed));
      return `${signed}.${new Uint8Array(signature).toBase64({ alphabet: "base64url" })}`;
    };
    expect((await reviewer.review(await sign(good))).serviceAccount).toBe("web");
    for (
      const changes of [
        { aud: ["other"] },
        { aud: undefined },
        { iss: "other" },
        { exp: undefined },
        { nbf: now + 3_600 },
      ]
    ) {
      const refused = reviewer.review(await sign({ ...good, ...changes }));
      await expect(refused).rejects.toMatchObject({ code: "failed_precondition" });
    }
  });
});

describe("the cluster's tokens", () => {
  const genuine: TokenReviewStatus = {
    authenticated: true,
    audiences: ["identity.l5d.io"],
    user: { username: "system:serviceaccount:shop:web" },
  };
  const cases: [string, TokenReviewStatus, FaultCode | null][] = [
    ["genuine", genuine, null],
    ["an error", { ...genuine, error: "[invalid bearer token]" }, "invalid_argument"],
    ["not authenticated", { ...genuine, authenticated: false }, "failed_precondition"],
    ["nothing said", {}, "failed_precondition"],
    ["another audience", { ...genuine, audiences: ["x"] }, "failed_precondition"],
    ["no audience known", { ...genuine, audiences: [] }, "failed_precondition"],
    ["a user", { ...genuine, user: { username: "admin" } }, "invalid_argument"],
    ["no user", { ...genuine, user: {} }, "invalid_argument"],
  ];
  test.each(cases)("%s", async (_what, status, code) => {
    const asked: string[] = [];
    const reviewer = createTokenReviewer((token, audience) => {
      asked.push(token, audience);
      return Promise.resolve(status);
    });
    const outcome = await reviewer.review("t").catch((thrown: Fault) => thrown.code);
    expect(asked).toEqual(["t", "identity.l5d.io"]);
    expect(outcome).toEqual(code ?? { namespace: "shop", serviceAccount: "web" });
  });

  test("the API server is asked over HTTPS, with our token, below its own anchor", async () => {
    const made = await makeAuthorities({ mesh: "k", nowMs: Date.now(), lifetimeMs: HOUR_MS });
    const { der } = await issueLeaf(made.issuer, {
      publicDer: keys.publicDer,
      dnsName: "localhost",
      uri: "spiffe://k/x",
      nowMs: Date.now(),
      lifetimeMs: HOUR_MS,
    });
    const seen: unknown[] = [];
    let status = 201;
    const cert = toPem("CERTIFICATE", der) + authorityPem(made.issuer).certificate;
    const api = createServer({ cert, key: keys.privatePem }, (incoming, response) => {
      const chunks: Uint8Array[] = [];
      incoming.on("data", (chunk) => chunks.push(chunk));
      incoming.on("end", () => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as unknown;
        seen.push(incoming.method, incoming.url, incoming.headers.authorization, body);
        response.statusCode = status;
        response.end(JSON.stringify({ status: genuine }));
      });
    });
    await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => new Promise((resolve) => api.close(resolve)));
    writeFileSync(join(folder, "token"), "own token\n");
    writeFileSync(join(folder, "ca.crt"), made.trustAnchors);
    const env = {
      KUBERNETES_SERVICE_HOST: "localhost",
      KUBERNETES_SERVICE_PORT: String((api.address() as AddressInfo).port),
    };
    const ask = clusterTokenReview(inClusterAccess(env, folder));
    expect(await ask("their token", "aud")).toEqual(genuine);
    expect(seen).toEqual([
      "POST",
      "/apis/authentication.k8s.io/v1/tokenreviews",
      "Bearer own token",
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token: "their token", audiences: ["aud"] },
      },
    ]);
    status = 403;
    await expect(ask("t", "a")).rejects.toMatchObject({ code: "internal" });
    const stranger = await makeAuthorities({ mesh: "s", nowMs: Date.now(), lifetimeMs: HOUR_MS });
    writeFileSync(join(folder, "ca.crt"), stranger.trustAnchors);
    await expect(ask("t", "a")).rejects.toMatchObject({ code: "internal" });
    rmSync(join(folder, "token"));
    await expect(ask("t", "a")).rejects.toMatchObject({ code: "internal" });
  });
});

describe("issuers from a folder", () => {
  function write(authority: Authority, chain: string, key: string): void {
    const pem = authorityPem(authority);
    writeFileSync(join(folder, key), pem.key);
    writeFileSync(join(folder, chain), pem.certificate);
  }

  test.each([["tls.crt", "tls.key"], ["crt.pem", "key.pem"]])("%s and %s", async (chain, key) => {
    write(issuer as Authority, chain, key);
    const watch = await watchIssuer(folder, clock, { loaded() {}, failed() {} });
    cleanups.push(() => watch.stop());
    expect(watch.current()?.certificate.serialNumber).toBe(
      issuer?.certificate.serialNumber as string,
    );
  });

  test("are read again when they change; what is broken changes nothing", async () => {
    const loaded: Authority[] = [];
    const faults: Fault[] = [];
    const watch = await watchIssuer(folder, systemClock, {
      loaded: (authority) => void loaded.push(authority),
      failed: (fault) => void faults.push(fault),
    });
    cleanups.push(() => watch.stop());
    expect(watch.current()).toBeNull();
    expect(faults[0]?.message).toMatch(/expected tls\.crt and tls\.key, or crt\.pem and key\.pem/);
    write(issuer as Authority, "tls.crt", "tls.key");
    await until(() => loaded.length === 1);
    const seen = faults.length;
    writeFileSync(join(folder, "tls.key"), keys.privatePem);
    await until(() => faults.length > seen);
    expect(faults.at(-1)?.message).toMatch(/private key is another one's/);
    expect(watch.current()).toBe(loaded[0] as Authority);
    const next = await makeAuthorities({ mesh: "n", nowMs: Date.now(), lifetimeMs: HOUR_MS });
    write(next.issuer, "tls.crt", "tls.key");
    await until(() => loaded.length === 2);
    expect(watch.current()?.certificate.subject).toBe("CN=identity.n");
  });
});

describe("the service", () => {
  test("goes on with its issuer when it is given one that ended or that nobody believes", async () => {
    const issuerFolder = join(folder, "issuer");
    mkdirSync(issuerFolder);
    const write = (authority: Authority) => {
      const pem = authorityPem(authority);
      writeFileSync(join(issuerFolder, "tls.key"), pem.key);
      writeFileSync(join(issuerFolder, "tls.crt"), pem.certificate);
    };
    const nowMs = Date.now();
    const root = await makeRoot({ name: "r", nowMs: nowMs - HOUR_MS, lifetimeMs: 3 * HOUR_MS });
    const below = (name: string, lifetimeMs: number) =>
      makeIssuer(root, { name, nowMs: nowMs - HOUR_MS, lifetimeMs });
    const stranger = await makeAuthorities({ mesh: "stranger", nowMs, lifetimeMs: HOUR_MS });
    let trustAnchors = authorityPem(root).certificate;
    write(await below("good", 2 * HOUR_MS));
    const lines: string[] = [];
    const registry = new Registry();
    const service = await startIdentityService({
      ...MESH,
      address: { ip: "127.0.0.1", port: 0 },
      issuerFolder,
      reviewer: await createLocalReviewer((await generateTokenKeys()).publicPem, systemClock),
      trustAnchors,
      readTrustAnchors: () => trustAnchors,
      lifetimeMs: HOUR_MS,
      clock: systemClock,
      log: { ...silentLogger, error: (_, fields) => void lines.push(String(fields?.["error"])) },
      registry,
    });
    cleanups.push(() => service.stop());
    await service.serving;
    write(await below("old", 1_000));
    await until(() => lines.some((line) => line.includes('"CN=old": its certificate chain ended')));
    write(stranger.issuer);
    await until(() => lines.some((line) => line.includes("below none of the trust anchors")));
    expect(service.waitingFor()).toEqual([]);
    expect(prometheusText(registry)).toContain(
      'malla_identity_issuer_loads_total{result="loaded"} 1',
    );
    // Somebody else writes both, in whatever order.
    trustAnchors += stranger.trustAnchors;
    const { issuer: next } = await makeAuthorities({ mesh: "x", nowMs, lifetimeMs: HOUR_MS });
    write(next);
    write(stranger.issuer);
    await until(() =>
      prometheusText(registry).includes('malla_identity_issuer_loads_total{result="loaded"} 2')
    );
  });

  test("waits for its issuer, certifies itself and others, and follows a new issuer", async () => {
    const issuerFolder = join(folder, "issuer");
    mkdirSync(issuerFolder);
    const write = ({ issuer }: { issuer: Authority }) => {
      const pem = authorityPem(issuer);
      writeFileSync(join(issuerFolder, "tls.key"), pem.key);
      writeFileSync(join(issuerFolder, "tls.crt"), pem.certificate);
    };
    const options = { mesh: "m", nowMs: Date.now(), lifetimeMs: 48 * HOUR_MS };
    const first = await makeAuthorities(options);
    const second = await makeAuthorities({ ...options, mesh: "m2" });
    const trustAnchors = first.trustAnchors + second.trustAnchors;
    const realTokens = await generateTokenKeys();
    const registry = new Registry();
    const service = await startIdentityService({
      ...MESH,
      address: { ip: "127.0.0.1", port: 0 },
      issuerFolder,
      reviewer: await createLocalReviewer(realTokens.publicPem, systemClock),
      trustAnchors,
      lifetimeMs: HOUR_MS,
      clock: systemClock,
      log: silentLogger,
      registry,
    });
    cleanups.push(() => service.stop());
    expect(service.waitingFor()).toEqual(["an issuer"]);
    write(first);
    await service.serving;
    expect(service.waitingFor()).toEqual([]);
    const channel = () => {
      const made = new Channel({
        net: createBunNet(),
        clock: systemClock,
        resolve: () => Promise.resolve([service.address() ?? { ip: "", port: 0 }]),
        tls: {
          serverName: "malla-identity.malla.serviceaccount.identity.malla.cluster.local",
          material: () => ({ certificateChain: "", privateKey: "", trustAnchors }),
        },
      });
      cleanups.push(() => made.close());
      return createCertifier(made);
    };
    const issuing = await createTokenIssuer(realTokens.privatePem, systemClock);
    const token = new TextEncoder().encode(await issuing.issue(GRANT));
    const wanted = { identity: NAME, token, csr: await createCsr(keys, NAME) };
    const old = channel();
    expect((await old.certify(wanted)).validUntilMs).toBeGreaterThan(Date.now());
    await expect(old.certify({ ...wanted, identity: `x.${NAME}` }))
      .rejects.toMatchObject({ code: "failed_precondition" });
    write(second);
    const issuerOf = async () => {
      const { intermediates } = await channel().certify(wanted);
      return readCertificate(intermediates[0] ?? new Uint8Array()).subject;
    };
    while (await issuerOf() !== "CN=identity.m2");
    service.refresh();
    const text = prometheusText(registry);
    expect(text).toMatch(/malla_identity_certificates_total\{result="issued"\} \d+/);
    expect(text).toContain(`malla_identity_certificates_total{result="failed_precondition"} 1`);
    expect(text).toMatch(/issuer_cert_ttl_seconds 172\d{3}/);
  });

  test("an address that is taken is told", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => new Promise((resolve) => taken.close(resolve)));
    const made = await makeAuthorities({ mesh: "m", nowMs: Date.now(), lifetimeMs: HOUR_MS });
    const pem = authorityPem(made.issuer);
    writeFileSync(join(folder, "tls.key"), pem.key);
    writeFileSync(join(folder, "tls.crt"), pem.certificate);
    const service = await startIdentityService({
      ...MESH,
      address: { ip: "127.0.0.1", port: (taken.address() as AddressInfo).port },
      issuerFolder: folder,
      reviewer: await createLocalReviewer(publicPem, systemClock),
      trustAnchors: made.trustAnchors,
      lifetimeMs: HOUR_MS,
      clock: systemClock,
      log: silentLogger,
      registry: new Registry(),
    });
    cleanups.push(() => service.stop());
    await expect(service.serving).rejects.toMatchObject({ code: "unavailable" });
  });
});
