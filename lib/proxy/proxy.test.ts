/** The proxy's control side against real services on loopback: TLS, gRPC, tokens in files, HTTP. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { unnamedLabels } from "../../test/support/metric-labels.ts";
import { FakeDiscovery } from "../../test/support/fake-control.ts";
import { Fault } from "../base/fault.ts";
import { type ControlServer, serveControl } from "../contract/server.ts";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import { resolveHost } from "../host/dns.ts";
import type { TlsMaterial } from "../host/net.ts";
import { readProcessStats } from "../host/process-stats.ts";
import type { CertificateRequest, Certifier } from "../mesh/certifier.ts";
import type { ClientPolicy } from "../mesh/policy.ts";
import { issueLeaf, type MadeAuthorities, makeAuthorities } from "../pki/issuer.ts";
import { createCsr } from "../pki/csr.ts";
import { generateKey, importKey } from "../pki/key.ts";
import { fromPem, toPemChain } from "../pki/pem.ts";
import { readCsr } from "../pki/read-csr.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { defaultPolicy } from "./default-policy.ts";
import type { OutboundTarget, ProxyEnvironment } from "./environment.ts";
import { Proxy, type ProxyOptions } from "./proxy.ts";
import { loadProxySettings } from "./settings.ts";

const P = "LINKERD2_PROXY_";
const NAMES = "serviceaccount.identity.malla.cluster.local";
const LOCAL = `web.n.${NAMES}`;
const IDENTITY = `malla-identity.malla.${NAMES}`;
const CONTROLLER = `malla-controller.malla.${NAMES}`;
const HOUR_MS = 3_600_000;

let authorities: MadeAuthorities;
let discovery: FakeDiscovery;
let identity: ControlServer;
let controller: ControlServer;
let proxy: Proxy | null = null;
let requests: CertificateRequest[];
/** What the identity service does at the moment. */
let certify: Certifier["certify"];
let path: { environment: ProxyEnvironment; drains: number } | null;

async function leafFor(name: string, publicDer: Uint8Array<ArrayBuffer>) {
  const nowMs = Date.now();
  const uri = `spiffe://cluster.local/${name}`;
  return await issueLeaf(authorities.issuer, {
    publicDer,
    dnsName: name,
    uri,
    nowMs,
    lifetimeMs: HOUR_MS,
  });
}

async function materialFor(name: string): Promise<TlsMaterial> {
  const keys = await generateKey();
  const { der } = await leafFor(name, keys.publicDer);
  const chain = authorities.issuer.chain.map((link) => new Uint8Array(link.rawData));
  return {
    certificateChain: toPemChain("CERTIFICATE", [der, ...chain]),
    privateKey: keys.privatePem,
    trustAnchors: authorities.trustAnchors,
  };
}

async function issue({ identity, csr }: CertificateRequest) {
  const request = await readCsr(new Uint8Array(csr));
  expect(request.dnsNames).toEqual([identity]);
  expect(request.otherNames).toEqual([]);
  const { der, notAfterMs } = await leafFor(identity, request.publicDer);
  const intermediates = authorities.issuer.chain.map((link) => new Uint8Array(link.rawData));
  return { leaf: der, intermediates, validUntilMs: notAfterMs };
}

async function serveIdentity(port = 0): Promise<ControlServer> {
  const certifier: Certifier = {
    certify(request) {
      requests.push(request);
      return certify(request);
    },
  };
  return await serveControl({
    address: { ip: "127.0.0.1", port },
    tls: await materialFor(IDENTITY),
    certifier,
  });
}

beforeEach(async () => {
  const nowMs = Date.now();
  authorities = await makeAuthorities({ mesh: "malla.test", nowMs, lifetimeMs: 24 * HOUR_MS });
  discovery = new FakeDiscovery();
  requests = [];
  certify = issue;
  path = null;
  identity = await serveIdentity();
  controller = await serveControl({
    address: { ip: "127.0.0.1", port: 0 },
    tls: await materialFor(CONTROLLER),
    demandClientCertificate: true,
    discovery,
  });
});

afterEach(async () => {
  await proxy?.stop();
  expect(proxy === null ? [] : unnamedLabels(proxy.metrics.registry)).toEqual([]);
  proxy = null;
  await identity.close();
  await controller.close();
});

function options(changes: Record<string, string> = {}): ProxyOptions {
  const control = `127.0.0.1:${controller.address.port}`;
  const env = {
    [`${P}DESTINATION_SVC_ADDR`]: control,
    [`${P}DESTINATION_SVC_NAME`]: CONTROLLER,
    [`${P}DESTINATION_PROFILE_NETWORKS`]: "10.0.0.0/8",
    [`${P}POLICY_SVC_ADDR`]: control,
    [`${P}POLICY_SVC_NAME`]: CONTROLLER,
    [`${P}POLICY_WORKLOAD`]: "n:web-1",
    [`${P}IDENTITY_SVC_ADDR`]: `127.0.0.1:${identity.address.port}`,
    [`${P}IDENTITY_SVC_NAME`]: IDENTITY,
    [`${P}IDENTITY_TOKEN_FILE`]: "/unused",
    [`${P}IDENTITY_TRUST_ANCHORS`]: authorities.trustAnchors,
    [`${P}IDENTITY_LOCAL_NAME`]: LOCAL,
    [`${P}INBOUND_PORTS`]: "80",
    [`${P}ADMIN_LISTEN_ADDR`]: "127.0.0.1:0",
    ...changes,
  };
  return {
    settings: loadProxySettings({ env, args: [] }).settings,
    host: {
      net: createBunNet(),
      clock: systemClock,
      random: Math.random,
      resolve: resolveHost,
      openAccessLog: () => ({ write: () => true, flushed: () => Promise.resolve() }),
      readToken: () => Promise.resolve(new TextEncoder().encode("token of n/web")),
      readProcess: readProcessStats,
      env,
      log: silentLogger,
    },
    startPath(environment) {
      const started = { environment, drains: 0 };
      path = started;
      return { drain: () => Promise.resolve(void started.drains++) };
    },
    otherCores: null,
    identityFiles: undefined,
    build: { version: "1.2.3" },
    shutdown: () => {},
  };
}

async function status(name: string): Promise<number> {
  return (await fetch(`http://127.0.0.1:${proxy!.adminPort}/${name}`)).status;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe("identity", () => {
  test("is certified with a key of its own, then the proxy serves and is ready", async () => {
    proxy = new Proxy(options());
    await proxy.start();
    expect(requests.length).toBe(1);
    expect(new TextDecoder().decode(requests[0]?.token)).toBe("token of n/web");
    const credentials = path!.environment.identity.current()!;
    expect(credentials).toMatchObject({ name: LOCAL, serverName: LOCAL });
    expect(fromPem("CERTIFICATE", credentials.certificateChain).length).toBe(2);
    expect(credentials.expiresAtMs).toBeGreaterThan(Date.now() + HOUR_MS / 2);
    expect([await status("live"), await status("ready")]).toEqual([200, 200]);
    const metrics = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text();
    expect(metrics).toContain('control_identity_cert_refreshes_total{result="success"} 1\n');
    expect(metrics).toContain(
      `control_identity_cert_expiration_timestamp_seconds ${credentials.expiresAtMs / 1_000}\n`,
    );
    expect(metrics).toContain('proxy_build_info{version="1.2.3"} 1\n');
    expect(metrics).toMatch(/process_resident_memory_bytes \d{8}/);
    expect(metrics).toContain(
      'malla_tls_info{kx_groups="X25519MLKEM768,X25519,P-256,P-384",versions="TLSv1.3"} 1\n',
    );
    const addr = `addr="127.0.0.1:${identity.address.port}"`;
    expect(metrics).toContain(`control_request_total{${addr}} 1\n`);
    expect(metrics).toContain(
      `control_response_total{${addr},classification="success",grpc_status="0"} 1\n`,
    );
    expect(metrics).toContain(`control_response_latency_ms_count{${addr}} 1\n`);
    expect(metrics).toContain(`control_response_latency_ms_bucket{${addr},le="+Inf"} 1\n`);
  });

  test("is waited for: live but not ready, nothing listens; then it recovers", async () => {
    const { port } = identity.address;
    await identity.close();
    proxy = new Proxy(options({ [`${P}IDENTITY_MIN_REFRESH`]: "20ms" }));
    const started = proxy.start();
    expect([await status("live"), await status("ready")]).toEqual([200, 503]);
    await until(() => /refreshes_total{result="error"} [2-9]/.test(proxy!.metrics.text()));
    expect(path).toBeNull();
    expect(await status("ready")).toBe(503);
    identity = await serveIdentity(port);
    await started;
    expect(await status("ready")).toBe(200);
  });

  test("is refused when the certificate is for another key, name or anchor", async () => {
    const keys = await generateKey();
    const others: Certifier["certify"][] = [
      async (request) => ({
        ...await issue(request),
        leaf: (await leafFor(LOCAL, keys.publicDer)).der,
      }),
      async (request) => {
        const { publicDer } = await readCsr(new Uint8Array(request.csr));
        return { ...await issue(request), leaf: (await leafFor(CONTROLLER, publicDer)).der };
      },
      async (request) => ({ ...await issue(request), intermediates: [] }),
      () => Promise.reject(new Fault("failed_precondition", "token is for someone else")),
    ];
    certify = (request) => (others.shift() ?? issue)(request);
    proxy = new Proxy(options({ [`${P}IDENTITY_MIN_REFRESH`]: "5ms" }));
    await proxy.start();
    expect(requests.length).toBe(5);
    const metrics = proxy.metrics.text();
    expect(metrics).toContain('refreshes_total{result="error"} 4\n');
    // The last of the four is the service's own failure; the others it does not know of.
    expect(metrics).toMatch(
      /control_response_total{addr=".*",classification="failure",grpc_status="9"} 1\n/,
    );
  });

  test("is renewed, and new handshakes see the new certificate", async () => {
    proxy = new Proxy(
      options({ [`${P}IDENTITY_MIN_REFRESH`]: "5ms", [`${P}IDENTITY_MAX_REFRESH`]: "5ms" }),
    );
    await proxy.start();
    const first = path!.environment.identity.current();
    await until(() => requests.length > 2);
    const now = path!.environment.identity.current();
    expect(now?.certificateChain).not.toBe(first!.certificateChain);
    expect(now?.privateKey).toBe(first!.privateKey);
  });

  test("uses the key and request of the contract's folder where they are given", async () => {
    const keys = await generateKey();
    const csr = await createCsr(keys, LOCAL);
    const [key] = fromPem("PRIVATE KEY", keys.privatePem);
    proxy = new Proxy({ ...options(), identityFiles: { key: key!, csr } });
    await proxy.start();
    expect(requests[0]?.csr).toEqual(csr);
    const [used] = fromPem("PRIVATE KEY", path!.environment.identity.current()!.privateKey);
    expect((await importKey(used!)).publicDer).toEqual(keys.publicDer);
  });

  test("is not taken from a service with another identity", async () => {
    proxy = new Proxy(options({
      [`${P}IDENTITY_SVC_NAME`]: CONTROLLER,
      [`${P}IDENTITY_MIN_REFRESH`]: "5ms",
    }));
    void proxy.start();
    await until(() => /refreshes_total{result="error"} [2-9]/.test(proxy!.metrics.text()));
    expect(requests).toEqual([]);
  });
});

describe("policies and targets", () => {
  const clientPolicy: ClientPolicy = (() => {
    const resource = { group: "", kind: "Service", name: "web", namespace: "n", port: 80 };
    const target = {
      kind: "balancer",
      path: "web.n.svc.cluster.local:80",
      defaultRttMs: 30,
      decayMs: 10_000,
    } as const;
    const route = {
      resource,
      action: { kind: "backends", backends: [{ resource, target, weight: 1 }] },
    } as const;
    return {
      protocol: "detect",
      detectTimeoutMs: 10_000,
      http: route,
      opaque: route,
      parent: resource,
    };
  })();

  test("come over mutual TLS from the control plane, changes too", async () => {
    proxy = new Proxy(options());
    await proxy.start();
    const cell = path!.environment.serverPolicies.port(80);
    expect(cell.current.resource.name).toBe("all-unauthenticated");
    await until(() => discovery.serverPolicies.open.has("80"));
    const deny = defaultPolicy({
      name: "deny",
      clusterNetworks: [],
      detectTimeoutMs: 1_000,
      isOpaque: true,
      needs: "nothing",
    });
    const changed = new Promise<void>((resolve) => cell.subscribe(resolve));
    discovery.serverPolicies.next("80", deny);
    await changed;
    expect(cell.current).toMatchObject({ protocol: "opaque", authorizations: [] });
    expect(cell.current.resource.name).toBe("deny");
  });

  test("a target is found with its endpoints, and a restart of the controller loses none", async () => {
    proxy = new Proxy(options());
    await proxy.start();
    const found = new Promise<OutboundTarget>((resolve, reject) =>
      path!.environment.targets.acquire(
        { ip: "10.43.0.1", port: 80 },
        (target, fault) => target === null ? reject(fault) : resolve(target),
      )
    );
    await until(() => discovery.profiles.count > 0 && discovery.clientPolicies.count > 0);
    const profile = { fullyQualifiedName: "web.n.svc.cluster.local", opaque: false };
    discovery.profiles.next("10.43.0.1:80", profile);
    discovery.clientPolicies.next("10.43.0.1:80", clientPolicy);
    const target = await found;
    expect(target.policy).toEqual(clientPolicy);
    expect(target.authority).toBe("web.n.svc.cluster.local:80");
    const [destination] = ["web.n.svc.cluster.local:80"];
    await until(() => discovery.endpoints.open.has(destination!));
    const endpoint = {
      address: { ip: "10.42.0.2", port: 8080 },
      weight: 10_000,
      labels: { pod: "web-1" },
      identity: { name: LOCAL, serverName: LOCAL },
      hint: "unknown",
      transportPort: 4143,
    } as const;
    const add = { kind: "add", endpoints: [endpoint], labels: { service: "web" } } as const;
    discovery.endpoints.next(destination!, add);
    const balancer = target.httpBackends[0]!.balancer;
    await until(() => balancer.size === 1);
    const state = balancer.pick(systemClock.monotonicMs());
    expect(state?.endpoint).toEqual(endpoint);

    const opened = discovery.endpoints.opened.length;
    const { address } = controller;
    await controller.close();
    expect(balancer.size).toBe(1);
    controller = await serveControl({
      address,
      tls: await materialFor(CONTROLLER),
      demandClientCertificate: true,
      discovery,
    });
    await until(() => discovery.endpoints.opened.length > opened);
    const more = { ...endpoint, address: { ip: "10.42.0.3", port: 8080 } };
    discovery.endpoints.next(destination!, { ...add, endpoints: [endpoint, more] });
    await until(() => balancer.size === 2);
    // A pick that is under way makes the other endpoint the better one.
    const nowMs = systemClock.monotonicMs();
    const first = balancer.pick(nowMs);
    first?.began(0);
    expect([first, balancer.pick(nowMs)]).toContain(state);
    expect(state?.removed).toBe(false);
    path!.environment.targets.release(target);
  });
});

describe("the end", () => {
  test("a drain lets the byte path end, then nothing is left", async () => {
    proxy = new Proxy(options());
    await proxy.start();
    const port = proxy.adminPort;
    await proxy.drain();
    expect(path).toMatchObject({ drains: 1 });
    await expect(fetch(`http://127.0.0.1:${port}/live`)).rejects.toThrow();
    await until(() => controller.openCalls() === 0);
  });

  test("a drain before the first certificate ends at once", async () => {
    certify = () => new Promise(() => {});
    proxy = new Proxy(options());
    const started = proxy.start();
    await until(() => requests.length === 1);
    await proxy.drain();
    await started;
    expect(path).toBeNull();
  });

  test("a port that is taken fails the start and names it", async () => {
    proxy = new Proxy(options({ [`${P}ADMIN_LISTEN_ADDR`]: `127.0.0.1:${identity.address.port}` }));
    await expect(proxy.start()).rejects.toThrow(`port ${identity.address.port}`);
  });
});
