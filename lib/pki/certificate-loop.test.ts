/** The certificate loop on a clock that is moved by hand, with a certifier that the test leads. */

import { beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/fake-control.ts";
import { Fault } from "../base/fault.ts";
import type { CertificateRequest, IssuedCertificate } from "../mesh/certifier.ts";
import {
  type CertificateLoop,
  type CertificateLoopOptions,
  type CurrentCertificate,
  startCertificateLoop,
} from "./certificate-loop.ts";
import { createCsr } from "./csr.ts";
import { issueLeaf, type MadeAuthorities, makeAuthorities } from "./issuer.ts";
import { generateKey } from "./key.ts";
import { fromPem } from "./pem.ts";
import { readCsr } from "./read-csr.ts";

const NAME = "web.shop.serviceaccount.identity.malla.cluster.local";
const HOUR_MS = 3_600_000;

let clock: ManualClock;
let made: MadeAuthorities;
let requests: CertificateRequest[];
let renewed: CurrentCertificate[];
let failures: { fault: Fault; retryMs: number }[];
/** What the certifier answers next; absent: a proper certificate. */
let refusal: Fault | undefined;
let lifetimeMs: number;
let dnsName: string;

beforeEach(async () => {
  clock = new ManualClock();
  const mesh = "malla.cluster.local";
  made = await makeAuthorities({ mesh, nowMs: clock.nowMs(), lifetimeMs: 1_000 * HOUR_MS });
  requests = [];
  renewed = [];
  failures = [];
  refusal = undefined;
  lifetimeMs = 24 * HOUR_MS;
  dnsName = NAME;
});

async function certify(request: CertificateRequest): Promise<IssuedCertificate> {
  requests.push(request);
  if (refusal !== undefined) throw refusal;
  const { publicDer } = await readCsr(request.csr.slice());
  const uri = "spiffe://cluster.local/ns/shop/sa/web";
  const nowMs = clock.nowMs();
  const leaf = await issueLeaf(made.issuer, { publicDer, dnsName, uri, nowMs, lifetimeMs });
  const intermediates = made.issuer.chain.map((link) => new Uint8Array(link.rawData));
  return { leaf: leaf.der, intermediates, validUntilMs: leaf.notAfterMs };
}

function start(more: Partial<CertificateLoopOptions> = {}): CertificateLoop {
  return startCertificateLoop({
    name: NAME,
    certifier: { certify },
    readToken: () => Promise.resolve(new TextEncoder().encode(`token ${requests.length}`)),
    trustAnchors: made.trustAnchors,
    clock,
    renewed: (certificate) => void renewed.push(certificate),
    failed: (fault, retryMs) => void failures.push({ fault, retryMs }),
    ...more,
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe("the certificate loop", () => {
  test("gets a certificate and renews it at 70 % of its lifetime, with the token of then", async () => {
    const loop = start();
    expect(loop.current()).toBeNull();
    await until(() => renewed.length === 1);
    expect(loop.current()).toBe(renewed[0] as CurrentCertificate);
    expect(renewed[0]?.name).toBe(NAME);
    expect(fromPem("CERTIFICATE", renewed[0]?.certificateChain ?? "")).toHaveLength(2);
    const lasts = (renewed[0]?.expiresAtMs ?? 0) - clock.nowMs();
    clock.advance(lasts * 0.7 - 1_000);
    expect(requests).toHaveLength(1);
    clock.advance(2_000);
    await until(() => renewed.length === 2);
    expect(requests.map(({ token }) => new TextDecoder().decode(token)))
      .toEqual(["token 0", "token 1"]);
    expect(renewed[1]?.privateKey).toBe(renewed[0]?.privateKey as string);
    loop.stop();
    clock.advance(100 * HOUR_MS);
    expect(requests).toHaveLength(2);
  });

  test("keeps an old certificate while renewals fail, and tries again", async () => {
    const loop = start();
    await until(() => renewed.length === 1);
    refusal = new Fault("unavailable", "no identity service");
    clock.advance(18 * HOUR_MS);
    await until(() => failures.length === 1);
    expect(failures[0]).toMatchObject({ fault: refusal, retryMs: 10_000 });
    expect(loop.current()).toBe(renewed[0] as CurrentCertificate);
    refusal = undefined;
    clock.advance(10_000);
    await until(() => renewed.length === 2);
    expect(loop.current()).toBe(renewed[1] as CurrentCertificate);
    loop.stop();
  });

  test("renews soon after the machine slept over the time, and does not wait for a clock put back", async () => {
    const loop = start();
    await until(() => renewed.length === 1);
    clock.advance(HOUR_MS);
    clock.moveWall(20 * HOUR_MS);
    clock.advance(30_000);
    await until(() => renewed.length === 2);
    clock.moveWall(-20 * HOUR_MS);
    clock.advance(18 * HOUR_MS);
    await until(() => requests.length === 3);
    loop.stop();
    expect(clock.pending).toBe(0);
  });

  test("is quicker to try again before the first certificate, then slows down", async () => {
    refusal = new Fault("unavailable", "not there yet");
    const loop = start();
    const waits: number[] = [];
    for (let i = 1; i <= 6; i++) {
      await until(() => failures.length === i);
      waits.push(failures[i - 1]?.retryMs ?? 0);
      clock.advance(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    loop.stop();
  });

  test("never renews faster than its lower bound, however short a certificate lasts", async () => {
    lifetimeMs = 1_000;
    const loop = start({ renewMinMs: 60_000 });
    await until(() => renewed.length === 1);
    clock.advance(59_000);
    expect(requests).toHaveLength(1);
    clock.advance(1_000);
    await until(() => renewed.length === 2);
    loop.stop();
  });

  test("shows no certificate that is for another name", async () => {
    dnsName = `other.${NAME}`;
    const loop = start();
    await until(() => failures.length === 1);
    expect(failures[0]?.fault.message).toMatch(/it is not for "web\.shop/);
    expect(loop.current()).toBeNull();
    loop.stop();
  });

  test("tells what is wrong with its token and goes on", async () => {
    const readToken = () => Promise.reject(new Fault("not_found", "no token file"));
    const loop = start({ readToken });
    await until(() => failures.length === 1);
    expect(failures[0]?.fault.message).toBe("no token file");
    loop.stop();
  });

  test("renews at once when it is told to, and one attempt overtakes another", async () => {
    const loop = start();
    await until(() => renewed.length === 1);
    loop.renew();
    loop.renew();
    await until(() => renewed.length === 2);
    await until(() => requests.length === 3);
    await new Promise((resolve) => setImmediate(resolve));
    expect(renewed).toHaveLength(2);
    loop.stop();
  });

  test("uses the key and request of the contract's files", async () => {
    const keys = await generateKey();
    const [key = new Uint8Array()] = fromPem("PRIVATE KEY", keys.privatePem);
    const csr = await createCsr(keys, NAME);
    const loop = start({ files: { key, csr } });
    await until(() => renewed.length === 1);
    expect(requests[0]?.csr).toEqual(csr);
    expect(renewed[0]?.privateKey).toBe(keys.privatePem);
    loop.stop();
  });

  test("wants trust anchors that can be read", () => {
    expect(() => start({ trustAnchors: "nothing" })).toThrow(/expected PEM certificates/);
  });
});
