/** The control API over real sockets on loopback: our client against our server, plain. */

import { afterEach, describe, expect, test } from "bun:test";
import { Fault, type FaultCode } from "../base/fault.ts";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import type { CertificateRequest } from "../mesh/certifier.ts";
import type { Discovery, Sink } from "../mesh/discovery.ts";
import type { EndpointUpdate } from "../mesh/endpoint.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import { type CallsObserver, Channel } from "./channel.ts";
import { createCertifier, createDiscovery } from "./client.ts";
import { defaultResource } from "./resource.ts";
import { type ControlServices, serveControl } from "./server.ts";

const LOOPBACK = { ip: "127.0.0.1", port: 0 };
const ASKER = { context: `{"ns":"emojivoto"}`, workload: "emojivoto:web-1" };

const POLICY: ServerPolicy = {
  protocol: "detect",
  detectTimeoutMs: 10_000,
  authorizations: [],
  resource: defaultResource("deny"),
  probes: [],
  probeNetworks: [],
};

let cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
});

async function channelTo(services: ControlServices, observer?: CallsObserver) {
  const server = await serveControl({ ...services, address: LOOPBACK });
  const channel = new Channel({
    net: createBunNet(),
    clock: systemClock,
    resolve: () => Promise.resolve([server.address]),
    ...(observer === undefined ? {} : { observer }),
  });
  cleanups.push(() => server.close(), () => channel.close());
  return { server, channel };
}

/** A discovery whose watches are kept for the test to speak through. */
function openDiscovery() {
  const sinks: { ask: unknown[]; sink: Sink<never>; ended: boolean }[] = [];
  const keep = (...all: unknown[]) => {
    const entry = { ask: all.slice(0, -1), sink: all.at(-1) as Sink<never>, ended: false };
    sinks.push(entry);
    return () => void (entry.ended = true);
  };
  const discovery: Discovery = {
    watchEndpoints: keep,
    watchProfile: keep,
    watchClientPolicy: keep,
    watchServerPolicy: keep,
  };
  return { discovery, sinks };
}

/** Collects what a watch tells and lets a test wait for it. */
function collect<T>() {
  const values: T[] = [];
  const faults: Error[] = [];
  const sink: Sink<T> = {
    next: (value) => void values.push(value),
    fail: (fault) => void faults.push(fault),
  };
  return { sink, values, faults };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe("certify", () => {
  test("carries the request there and the certificate back", async () => {
    const seen: CertificateRequest[] = [];
    const issued = {
      leaf: new Uint8Array([1, 2]),
      intermediates: [new Uint8Array([3])],
      validUntilMs: 1_800_000_000_500,
    };
    const { channel } = await channelTo({
      certifier: {
        certify(request) {
          seen.push(request);
          return Promise.resolve(issued);
        },
      },
    });
    const request = { identity: "a", token: new Uint8Array([9]), csr: new Uint8Array([8, 7]) };
    expect(await createCertifier(channel).certify(request)).toEqual(issued);
    expect(seen).toEqual([request]);
  });

  const codes: FaultCode[] = [
    "invalid_argument",
    "failed_precondition",
    "unavailable",
    "internal",
    "unknown",
    "permission_denied",
  ];
  test.each(codes)("code %s survives the way, with its message", async (code) => {
    const { channel } = await channelTo({
      certifier: { certify: () => Promise.reject(new Fault(code, "50 % of “it”\n is wrong")) },
    });
    const request = { identity: "a", token: new Uint8Array(), csr: new Uint8Array() };
    const fault = await createCertifier(channel).certify(request).catch((thrown) => thrown);
    expect(fault).toBeInstanceOf(Fault);
    expect(fault.code).toBe(code);
    expect(fault.message).toBe("50 % of “it”\n is wrong");
  });

  test("a bug of the server tells nothing of its inside", async () => {
    const { channel } = await channelTo({
      certifier: { certify: () => Promise.reject(new Error("secret")) },
    });
    const request = { identity: "a", token: new Uint8Array(), csr: new Uint8Array() };
    const fault = await createCertifier(channel).certify(request).catch((thrown) => thrown);
    expect(fault.code).toBe("internal");
    expect(fault.message).not.toContain("secret");
  });

  test("what is not served is unimplemented", async () => {
    const { channel } = await channelTo({});
    const request = { identity: "a", token: new Uint8Array(), csr: new Uint8Array() };
    const fault = await createCertifier(channel).certify(request).catch((thrown) => thrown);
    expect(fault.code).toBe("unimplemented");
  });

  test("a server that is not there is unavailable", async () => {
    const { channel, server } = await channelTo({});
    await server.close();
    const request = { identity: "a", token: new Uint8Array(), csr: new Uint8Array() };
    const fault = await createCertifier(channel).certify(request).catch((thrown) => thrown);
    expect(fault.code).toBe("unavailable");
  });
});

describe("watches", () => {
  test("tell first and later values, and end on both sides when unwatched", async () => {
    const { discovery, sinks } = openDiscovery();
    const { channel, server } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    const endpoints = collect<EndpointUpdate>();
    const unwatch = client.watchEndpoints(ASKER, "web.emojivoto:80", endpoints.sink);
    await until(() => sinks.length === 1);
    expect(sinks[0]?.ask).toEqual([{ context: ASKER.context, workload: "" }, "web.emojivoto:80"]);
    const updates: EndpointUpdate[] = [
      { kind: "none", exists: true },
      { kind: "remove", addresses: [{ ip: "10.0.0.1", port: 80 }] },
    ];
    for (const update of updates) sinks[0]?.sink.next(update as never);
    await until(() => endpoints.values.length === 2);
    expect(endpoints.values).toEqual(updates);
    unwatch();
    await until(() => sinks[0]?.ended === true);
    await until(() => server.openCalls() === 0);
    expect(endpoints.faults).toEqual([]);
  });

  test("ask with target, workload and port as they were given", async () => {
    const { discovery, sinks } = openDiscovery();
    const { channel } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    const { sink } = collect<never>();
    const asker = { context: "", workload: ASKER.workload };
    client.watchClientPolicy(ASKER, { ip: "fd00::1", port: 81 }, sink);
    client.watchClientPolicy(ASKER, "web.ns.svc.cluster.local:80", sink);
    client.watchServerPolicy(ASKER, 8080, sink);
    client.watchProfile(ASKER, "10.0.0.1:80", sink);
    await until(() => sinks.length === 4);
    expect(sinks.map(({ ask }) => ask)).toEqual([
      [asker, { ip: "fd00::1", port: 81 }],
      [asker, "web.ns.svc.cluster.local:80"],
      [asker, 8080],
      [{ context: ASKER.context, workload: "" }, "10.0.0.1:80"],
    ]);
  });

  test("a fault ends the stream with its code, before and after the first value", async () => {
    const { discovery, sinks } = openDiscovery();
    const { channel } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    const early = collect<ServerPolicy>();
    const late = collect<ServerPolicy>();
    client.watchServerPolicy(ASKER, 1, early.sink);
    client.watchServerPolicy(ASKER, 2, late.sink);
    await until(() => sinks.length === 2);
    sinks[0]?.sink.fail(new Fault("not_found", "no such workload"));
    sinks[1]?.sink.next(POLICY as never);
    await until(() => late.values.length === 1);
    sinks[1]?.sink.fail(new Fault("unavailable", "going away"));
    await until(() => early.faults.length === 1 && late.faults.length === 1);
    expect(early.faults[0]).toMatchObject({ code: "not_found", message: "no such workload" });
    expect(late.faults[0]).toMatchObject({ code: "unavailable", message: "going away" });
    expect(late.values).toEqual([POLICY]);
  });

  test("a server that goes away ends the streams, and a new one is found", async () => {
    const { discovery, sinks } = openDiscovery();
    const { channel, server } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    const first = collect<ServerPolicy>();
    client.watchServerPolicy(ASKER, 1, first.sink);
    await until(() => sinks.length === 1);
    await server.close();
    await until(() => first.faults.length === 1);
    expect(first.faults[0]).toMatchObject({ code: "unavailable" });
    const again = await serveControl({ discovery, address: server.address });
    cleanups.push(() => again.close());
    const second = collect<ServerPolicy>();
    client.watchServerPolicy(ASKER, 1, second.sink);
    await until(() => sinks.length === 2);
    sinks[1]?.sink.next(POLICY as never);
    await until(() => second.values.length === 1);
    expect(second.values).toEqual([POLICY]);
  });

  test("a draining server lets watches go on and sends new calls elsewhere", async () => {
    const { discovery, sinks } = openDiscovery();
    const { channel, server } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    const old = collect<ServerPolicy>();
    client.watchServerPolicy(ASKER, 1, old.sink);
    await until(() => sinks.length === 1);
    sinks[0]?.sink.next(POLICY as never);
    await until(() => old.values.length === 1);
    server.drain();
    const elsewhere = openDiscovery();
    // The port is free again once the old server has stopped accepting.
    const next = await serveControl({ ...elsewhere, address: server.address });
    cleanups.push(() => next.close());
    const fresh = collect<ServerPolicy>();
    // Until the client has heard of the drain, a call may still go to the old server.
    while (elsewhere.sinks.length === 0) {
      client.watchServerPolicy(ASKER, 2, fresh.sink);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    sinks[0]?.sink.next({ ...POLICY, protocol: "opaque" } as never);
    await until(() => old.values.length === 2);
    expect(old.faults).toEqual([]);
  });

  test("a renewed channel makes a new connection and leaves watches alone", async () => {
    const { discovery, sinks } = openDiscovery();
    const { channel } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    const before = collect<ServerPolicy>();
    const after = collect<ServerPolicy>();
    client.watchServerPolicy(ASKER, 1, before.sink);
    // Renewed while the first connection is still being made, and again when it is in use.
    channel.renew();
    await until(() => sinks.length === 1);
    channel.renew();
    const unwatch = client.watchServerPolicy(ASKER, 2, after.sink);
    await until(() => sinks.length === 2);
    for (const { sink } of sinks) sink.next(POLICY as never);
    await until(() => before.values.length === 1 && after.values.length === 1);
    unwatch();
    sinks[0]?.sink.next(POLICY as never);
    await until(() => before.values.length === 2);
    expect([...before.faults, ...after.faults]).toEqual([]);
  });

  test("bad questions get their code", async () => {
    const { discovery } = openDiscovery();
    const { channel } = await channelTo({ discovery });
    const client = createDiscovery({ destination: channel, policy: channel });
    for (const ask of ["port", "target"]) {
      const { sink, faults } = collect<never>();
      if (ask === "port") client.watchServerPolicy(ASKER, 70_000, sink);
      else client.watchClientPolicy(ASKER, "", sink);
      await until(() => faults.length === 1);
      expect(faults[0]).toMatchObject({ code: "invalid_argument" });
    }
  });
});

describe("an observer", () => {
  test("hears of each call's beginning, first message and end, but not of what was cancelled", async () => {
    const heard: string[] = [];
    const observer: CallsObserver = {
      began: () => void heard.push("began"),
      answered: (latencyMs) => void heard.push(latencyMs >= 0 ? "answered" : "before it began"),
      ended: (fault) => void heard.push(fault?.code ?? "OK"),
    };
    const { discovery, sinks } = openDiscovery();
    let fault: Fault | null = null;
    const issued = { leaf: new Uint8Array(1), intermediates: [], validUntilMs: 1_000 };
    const { channel } = await channelTo({
      certifier: {
        certify: () => fault === null ? Promise.resolve(issued) : Promise.reject(fault),
      },
      discovery,
    }, observer);
    const certifier = createCertifier(channel);
    const request = { identity: "a", token: new Uint8Array(), csr: new Uint8Array() };
    await certifier.certify(request);
    expect(heard.splice(0)).toEqual(["began", "answered", "OK"]);
    fault = new Fault("permission_denied", "no");
    await certifier.certify(request).catch(() => {});
    expect(heard.splice(0)).toEqual(["began", "permission_denied"]);
    const { sink, values } = collect<ServerPolicy>();
    const client = createDiscovery({ destination: channel, policy: channel });
    const stop = client.watchServerPolicy(ASKER, 80, sink);
    await until(() => sinks.length === 1);
    for (let i = 0; i < 2; i++) sinks[0]?.sink.next(POLICY as never);
    await until(() => values.length === 2);
    stop();
    await until(() => sinks[0]?.ended === true);
    expect(heard).toEqual(["began", "answered"]);
  });
});
