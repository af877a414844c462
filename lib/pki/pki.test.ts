/** Keys, requests, authorities, leaves and their verification; OpenSSL is the foreign judge. */

import { beforeEach, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCertificate } from "../host/x509.ts";
import { createCsr } from "./csr.ts";
import {
  type Authority,
  authorityOf,
  authorityPem,
  issueLeaf,
  type MadeAuthorities,
  makeAuthorities,
} from "./issuer.ts";
import { generateKey, importKey, importKeyPem, type KeyPair } from "./key.ts";
import { fromPem, toPem, toPemChain } from "./pem.ts";
import { readCsr } from "./read-csr.ts";
import { X509Certificate as IssuerCertificate } from "./x509.ts";
import { type LeafExpectation, readTrustAnchors, verifyLeaf } from "./verify.ts";

const NAME = "web.emojivoto.serviceaccount.identity.malla.cluster.local";
const URI = "spiffe://cluster.local/ns/emojivoto/sa/web";
const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2030, 0, 1);

let made: MadeAuthorities;
let keys: KeyPair;

beforeEach(async () => {
  made = await makeAuthorities({
    mesh: "malla.cluster.local",
    nowMs: NOW_MS,
    lifetimeMs: 365 * DAY_MS,
  });
  keys = await generateKey();
});

function leafFor(authority: Authority, lifetimeMs = DAY_MS, nowMs = NOW_MS) {
  const { publicDer } = keys;
  return issueLeaf(authority, { publicDer, dnsName: NAME, uri: URI, nowMs, lifetimeMs });
}

async function expectation(changes: Partial<LeafExpectation> = {}): Promise<LeafExpectation> {
  return {
    leaf: (await leafFor(made.issuer)).der,
    intermediates: made.issuer.chain.map((link) => new Uint8Array(link.rawData)),
    trustAnchors: readTrustAnchors(made.trustAnchors),
    dnsName: NAME,
    publicDer: keys.publicDer,
    nowMs: NOW_MS,
    ...changes,
  };
}

/** Where OpenSSL is missing, what it would judge is left to the other tests. */
const judged = test.skipIf(Bun.which("openssl") === null);

/** Runs openssl over files that are removed afterwards. */
function openssl(files: Record<string, string | Uint8Array>, ...args: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "malla-pki-"));
  try {
    for (const [name, contents] of Object.entries(files)) {
      writeFileSync(join(folder, name), contents);
    }
    const { stdout, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: folder });
    return stdout.toString() + stderr.toString();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("requests", () => {
  judged("OpenSSL accepts ours, with one DNS name and an empty subject", async () => {
    const csr = await createCsr(keys, NAME);
    const text = openssl({ csr }, "req", "-inform", "DER", "-in", "csr", "-verify", "-text");
    expect(text).toContain("verify OK");
    expect(text).toContain(`DNS:${NAME}\n`);
    expect(text).toMatch(/Subject: *\n/);
  });

  test("we read ours", async () => {
    const own = await readCsr(await createCsr(keys, NAME));
    expect(own).toEqual({
      commonNames: [],
      dnsNames: [NAME],
      otherNames: [],
      publicDer: keys.publicDer,
    });
  });

  judged("we read OpenSSL's, with names of all kinds", async () => {
    const pem = openssl(
      { "key.pem": keys.privatePem },
      ...["req", "-new", "-key", "key.pem", "-subj", "/CN=somebody", "-addext"],
      "subjectAltName=DNS:a.test,DNS:b.test,IP:10.0.0.1,URI:spiffe://x/y,email:a@b.test",
    );
    const foreign = await readCsr(fromPem("CERTIFICATE REQUEST", pem)[0] ?? new Uint8Array());
    expect(foreign.commonNames).toEqual(["somebody"]);
    expect(foreign.dnsNames).toEqual(["a.test", "b.test"]);
    expect(foreign.otherNames).toEqual(["ip:10.0.0.1", "url:spiffe://x/y", "email:a@b.test"]);
  });

  test("a broken or forged one is refused", async () => {
    const csr = await createCsr(keys, NAME);
    const forged = csr.slice();
    // The name stands in clear text in the signed part.
    const at = new TextDecoder("latin1").decode(forged).indexOf("web.emojivoto");
    forged[at] = "x".charCodeAt(0);
    for (const bad of [forged, csr.slice(0, -3), new Uint8Array([1, 2, 3]), new Uint8Array()]) {
      await expect(readCsr(bad)).rejects.toMatchObject({ code: "invalid_argument" });
    }
  });
});

describe("keys", () => {
  test("survive PKCS#8, in DER and PEM", async () => {
    const [pkcs8 = new Uint8Array()] = fromPem("PRIVATE KEY", keys.privatePem);
    expect((await importKey(pkcs8)).publicDer).toEqual(keys.publicDer);
    expect((await importKeyPem(keys.privatePem)).publicDer).toEqual(keys.publicDer);
  });

  judged("OpenSSL's older form is read too", async () => {
    const pem = openssl({ k: keys.privatePem }, "ec", "-in", "k");
    expect(pem).toContain("BEGIN EC PRIVATE KEY");
    expect((await importKeyPem(pem)).publicDer).toEqual(keys.publicDer);
  });

  test("what is no P-256 key is refused", async () => {
    const curve = { name: "ECDSA", namedCurve: "P-384" };
    const other = await crypto.subtle.generateKey(curve, true, ["sign", "verify"]);
    const pkcs8 = await crypto.subtle.exportKey("pkcs8", other.privateKey);
    const p384 = toPem("PRIVATE KEY", new Uint8Array(pkcs8));
    for (const bad of [p384, "", toPem("PRIVATE KEY", new Uint8Array([1]))]) {
      await expect(importKeyPem(bad)).rejects.toMatchObject({ code: "invalid_argument" });
    }
  });
});

describe("leaves", () => {
  judged("OpenSSL verifies the chain and finds what the contract asks for", async () => {
    const { der } = await leafFor(made.issuer);
    const files = {
      leaf: toPem("CERTIFICATE", der),
      chain: authorityPem(made.issuer).certificate,
      root: made.trustAnchors,
    };
    const at = String(NOW_MS / 1000);
    const verified = openssl(
      files,
      ...["verify", "-x509_strict", "-attime", at, "-verify_hostname", NAME],
      ...["-CAfile", "root", "-untrusted", "chain", "leaf"],
    );
    expect(verified).toContain("leaf: OK");
    const text = openssl(files, "x509", "-in", "leaf", "-noout", "-text");
    expect(text).toContain(
      "X509v3 Subject Alternative Name: critical\n" +
        `                DNS:${NAME}, URI:${URI}\n`,
    );
    expect(text).toContain("Digital Signature, Key Encipherment\n");
    expect(text).toContain("TLS Web Server Authentication, TLS Web Client Authentication\n");
    expect(text).toContain("CA:FALSE");
    expect(text).toContain("Signature Algorithm: ecdsa-with-SHA256");
    expect(text).toContain("Not Before: Dec 31 23:59:40 2029 GMT");
    expect(text).toContain("Not After : Jan  2 00:00:20 2030 GMT");
  });

  judged("of an issuer whose key has another name than we would give it are verified", async () => {
    const files = {
      key: keys.privatePem,
      cnf: "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n" +
        "keyUsage=critical,keyCertSign\nsubjectKeyIdentifier=01020304\n",
    };
    const pem = openssl(
      files,
      ...["req", "-x509", "-key", "key", "-subj", "/CN=foreign", "-days", "7300"],
      ...["-config", "cnf", "-extensions", "ca"],
    );
    const issuer = authorityOf(pem, keys);
    const { der } = await leafFor(issuer, DAY_MS, Date.now());
    const text = openssl(
      { leaf: toPem("CERTIFICATE", der) },
      "x509",
      "-in",
      "leaf",
      "-noout",
      "-text",
    );
    expect(text).toMatch(/Authority Key Identifier: *\n *(keyid:)?01:02:03:04\n/);
    const trustAnchors = readTrustAnchors(pem);
    const held = { leaf: der, intermediates: [], trustAnchors, nowMs: Date.now() };
    expect(verifyLeaf(await expectation(held)).hasDnsName(NAME)).toBe(true);
  });

  test("never outlive their issuer, and a dead issuer issues none", async () => {
    const endMs = NOW_MS + 365 * DAY_MS;
    const late = await leafFor(made.issuer, DAY_MS, endMs - 3_600_000);
    expect(late.notAfterMs).toBe(endMs);
    await expect(leafFor(made.issuer, DAY_MS, endMs + 1)).rejects.toMatchObject({
      code: "unknown",
    });
  });

  test("have serial numbers of their own", async () => {
    const serials = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const { der } = await leafFor(made.issuer);
      serials.add(new X509Certificate(der).serialNumber);
    }
    expect(serials.size).toBe(8);
  });
});

describe("authorities", () => {
  test("are read back from their files", async () => {
    const { certificate, key } = authorityPem(made.issuer);
    const again = authorityOf(certificate, await importKeyPem(key));
    const { der } = await leafFor(again);
    expect(verifyLeaf(await expectation({ leaf: der })).hasDnsName(NAME)).toBe(true);
  });

  test("a leaf, a foreign key, and nothing at all are refused", async () => {
    const leaf = toPem("CERTIFICATE", (await leafFor(made.issuer)).der);
    const { certificate } = authorityPem(made.issuer);
    expect(() => authorityOf(leaf, keys)).toThrow(/not a certificate authority/);
    expect(() => authorityOf(certificate, keys)).toThrow(/private key is another one's/);
    expect(() => authorityOf("", keys)).toThrow(/no PEM certificate/);
  });
});

describe("verification", () => {
  test("takes what was asked for", async () => {
    const leaf = verifyLeaf(await expectation());
    expect(leaf.notAfterMs).toBe(NOW_MS + DAY_MS + 20_000);
  });

  test("finds the way through several intermediates, whatever their order", async () => {
    const foreign = await makeAuthorities({ mesh: "other", nowMs: NOW_MS, lifetimeMs: DAY_MS });
    const links = [...foreign.issuer.chain, ...made.issuer.chain];
    const intermediates = links.map((link) => new Uint8Array(link.rawData));
    verifyLeaf(await expectation({ intermediates }));
  });

  test("refuses each thing that is wrong, and says which", async () => {
    const foreign = await makeAuthorities({ mesh: "other", nowMs: NOW_MS, lifetimeMs: DAY_MS });
    const wrong: [Partial<LeafExpectation>, RegExp][] = [
      [{ dnsName: `x.${NAME}` }, /not for "x\.web/],
      [{ publicDer: (await generateKey()).publicDer }, /not for our key/],
      [{ nowMs: NOW_MS + 2 * DAY_MS }, /expired at 2030-01-02/],
      [{ nowMs: NOW_MS - DAY_MS }, /in the future/],
      [{ trustAnchors: readTrustAnchors(foreign.trustAnchors) }, /does not chain/],
      [{ intermediates: [] }, /does not chain/],
      [{ leaf: (await leafFor(foreign.issuer)).der }, /does not chain/],
    ];
    for (const [changes, message] of wrong) {
      const given = await expectation(changes);
      expect(() => verifyLeaf(given)).toThrow(message);
    }
  });

  test("a leaf cannot act as an issuer", async () => {
    // Sign with the leaf's own key, as a workload that went bad would.
    const parent = await leafFor(made.issuer);
    const certificate = new IssuerCertificate(parent.der.slice());
    const bad: Authority = { certificate, keys, chain: [certificate] };
    const child = await issueLeaf(bad, {
      publicDer: keys.publicDer,
      dnsName: NAME,
      uri: URI,
      nowMs: NOW_MS,
      lifetimeMs: 1_000,
    });
    const intermediates = [parent.der, ...(await expectation()).intermediates];
    const given = await expectation({ leaf: child.der, intermediates });
    expect(() => verifyLeaf(given)).toThrow(/does not chain/);
  });

  test("names are compared whole: no wildcard, no part", async () => {
    const { der } = await issueLeaf(made.issuer, {
      publicDer: keys.publicDer,
      dnsName: "*.emojivoto.test",
      uri: URI,
      nowMs: NOW_MS,
      lifetimeMs: DAY_MS,
    });
    expect(readCertificate(der).hasDnsName("web.emojivoto.test")).toBe(false);
  });

  test("PEM survives, also with text around it", () => {
    const ders = [new Uint8Array([1, 2, 3]), new Uint8Array(100).fill(7)];
    const text = `# a comment\n${toPemChain("CERTIFICATE", ders)}trailing`;
    expect(fromPem("CERTIFICATE", text)).toEqual(ders);
    expect(() => readTrustAnchors("nothing")).toThrow(/expected PEM certificates/);
  });
});
