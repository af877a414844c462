/** Profiles and policies: objects in, answers out. */

import { describe, expect, test } from "bun:test";
import { change, controlOf, listen, SOMEBODY } from "../../test/support/control.ts";
import {
  container,
  namespace,
  pod,
  podEndpoint,
  server,
  service,
  slice,
} from "../../test/support/objects.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { ClientPolicy, Profile, ServerPolicy } from "../mesh/policy.ts";
import type { MeshObject } from "../source/objects.ts";
import type { Control } from "./discovery.ts";
import type { InboundPolicy } from "../mesh/policy.ts";

const OPAQUE = "config.linkerd.io/opaque-ports";
const web = service("shop/web", [80], { clusterIP: "10.43.0.1" });
const pod1 = pod("shop/web-1", { ip: "10.42.0.1" });

function profileOf(control: Control, path: string) {
  return listen<Profile>((sink) => control.watchProfile(SOMEBODY, path, sink));
}

function clientPolicyOf(control: Control, target: SocketAddress | string) {
  return listen<ClientPolicy>((sink) => control.watchClientPolicy(SOMEBODY, target, sink));
}

function serverPolicyOf(control: Control, port: number, workload = `{"ns":"shop","pod":"web-1"}`) {
  return listen<ServerPolicy>((sink) =>
    control.watchServerPolicy({ context: "", workload }, port, sink)
  );
}

describe("a profile", () => {
  const parent = { group: "", kind: "Service", name: "web", namespace: "shop", port: 80 };
  const known = { fullyQualifiedName: "web.shop.svc.cluster.local", opaque: false, parent };

  test.each([
    ["10.43.0.1:80"],
    ["web.shop.svc.cluster.local:80"],
  ])("of the service at %s names it", (path) => {
    expect(profileOf(controlOf([web]), path).values).toEqual([known]);
  });

  test("of an IPv6 address is found however it is written", () => {
    const six = service("shop/web", [80], { clusterIPs: ["fd00:0:0::1"] });
    expect(profileOf(controlOf([six]), "[FD00::1]:80").values).toEqual([known]);
  });

  test.each([
    ["a port that the service does not have", "10.43.0.1:81"],
    ["an unknown address", "10.9.9.9:80"],
    ["an unknown service", "nope.shop.svc.cluster.local:80"],
  ])("of %s is empty", (_, path) => {
    const [profile] = profileOf(controlOf([web]), path).values;
    expect(profile).toEqual({ fullyQualifiedName: "", opaque: false });
  });

  test("of a name outside of the cluster is refused", () => {
    const heard = profileOf(controlOf([web]), "example.com:80");
    expect(heard.faults.map(({ code }) => code)).toEqual(["invalid_argument"]);
  });

  test("of a pod is its endpoint, with its namespace", () => {
    const [profile] = profileOf(controlOf([web, pod1]), "10.42.0.1:8080").values;
    expect(profile).toMatchObject({
      fullyQualifiedName: "",
      opaque: false,
      endpoint: {
        address: { ip: "10.42.0.1", port: 8080 },
        labels: { namespace: "shop", pod: "web-1" },
        transportPort: 4143,
      },
    });
    expect(profile?.endpoint?.identity?.name)
      .toBe("default.shop.serviceaccount.identity.malla.cluster.local");
  });

  test("of a StatefulSet's pod by its name is its endpoint", () => {
    const named = slice("shop/web-a", "web", [], [
      podEndpoint("shop/web-1", "10.42.0.1", { hostname: "web-0" }),
    ]);
    const path = "web-0.web.shop.svc.cluster.local:8080";
    const [profile] = profileOf(controlOf([web, pod1, named]), path).values;
    expect(profile?.endpoint?.address).toEqual({ ip: "10.42.0.1", port: 8080 });
  });

  test("is never that of a pod which has ended or shares its node's address", () => {
    const others = [
      pod("shop/ended", { ip: "10.42.0.1", status: { phase: "Succeeded" } }),
      pod("shop/host", { ip: "10.42.0.1", spec: { hostNetwork: true } }),
    ];
    expect(profileOf(controlOf(others), "10.42.0.1:80").values[0]?.endpoint).toBeUndefined();
  });

  test("of an address that two pods have is the younger one's", () => {
    const aged = (path: string, creationTimestamp: string) =>
      pod(path, { ip: "10.42.0.1", metadata: { creationTimestamp } });
    const old = aged("shop/old", "2026-01-01T00:00:00Z");
    const young = aged("shop/young", "2026-01-02T00:00:00Z");
    for (const objects of [[old, young], [young, old]]) {
      const control = controlOf(objects);
      const heard = profileOf(control, "10.42.0.1:80");
      expect(heard.news()[0]?.endpoint?.labels["pod"]).toBe("young");
      change(control, [], [young]);
      expect(heard.news()[0]?.endpoint?.labels["pod"]).toBe("old");
    }
  });

  test.each<[string, string, readonly MeshObject[], boolean]>([
    [
      "a default port",
      "10.43.0.1:6379",
      [service("shop/web", [6379], { clusterIP: "10.43.0.1" })],
      true,
    ],
    ["a default port outside", "9.9.9.9:3306", [], true],
    ["a default port of a pod", "10.42.0.1:25", [pod1], true],
    ["another port", "10.43.0.1:80", [web], false],
    [
      "an annotated service",
      "10.43.0.1:80",
      [service("shop/web", [80], { clusterIP: "10.43.0.1" }, { [OPAQUE]: "79-81" })],
      true,
    ],
    [
      "an annotated port by its name",
      "10.43.0.1:80",
      [
        service("shop/web", [{ name: "db", port: 80 }], { clusterIP: "10.43.0.1" }, {
          [OPAQUE]: "db",
        }),
      ],
      true,
    ],
    ["a service in an annotated namespace", "10.43.0.1:80", [
      web,
      namespace("shop", { [OPAQUE]: "80" }),
    ], true],
    [
      "a service that says otherwise",
      "10.43.0.1:6379",
      [service("shop/web", [6379], { clusterIP: "10.43.0.1" }, { [OPAQUE]: "" })],
      false,
    ],
    ["an annotated pod", "10.42.0.1:8080", [
      pod("shop/p", { ip: "10.42.0.1", annotations: { [OPAQUE]: "8080" } }),
    ], true],
  ])("of %s (%s): opaque", (_, path, objects, opaque) => {
    expect(profileOf(controlOf(objects), path).values.map((profile) => profile.opaque))
      .toEqual([opaque]);
  });

  test("changes as its address does", () => {
    const control = controlOf();
    const heard = profileOf(control, "10.42.0.1:80");
    expect(heard.news()).toEqual([{ fullyQualifiedName: "", opaque: false }]);
    change(control, [pod1]);
    expect(heard.news()).toMatchObject([{ endpoint: { labels: { pod: "web-1" } } }]);
    change(control, [service("shop/web", [80], { clusterIP: "10.42.0.1" })], [pod1]);
    expect(heard.news()).toMatchObject([{ fullyQualifiedName: "web.shop.svc.cluster.local" }]);
    change(control, [web]);
    expect(heard.news()).toEqual([{ fullyQualifiedName: "", opaque: false }]);
  });
});

describe("a client policy", () => {
  const address = { ip: "10.43.0.1", port: 80 };

  test.each<[SocketAddress | string]>([
    [address],
    ["web.shop.svc.cluster.local:80"],
    ["10.43.0.1:80"],
  ])("of the service at %p balances over its endpoints", (target) => {
    const [policy] = clientPolicyOf(controlOf([web]), target).values;
    const parent = { group: "", kind: "Service", name: "web", namespace: "shop", port: 80 };
    const action = {
      kind: "backends",
      backends: [{
        resource: parent,
        target: {
          kind: "balancer",
          path: "web.shop.svc.cluster.local:80",
          defaultRttMs: 30,
          decayMs: 10_000,
        },
        weight: 1,
      }],
    };
    const resource = { group: "", kind: "default", namespace: "", port: 0 };
    expect(policy as unknown).toEqual({
      protocol: "detect",
      detectTimeoutMs: 10_000,
      parent,
      http: { resource: { ...resource, name: "http" }, action },
      opaque: { resource: { ...resource, name: "opaq" }, action },
    });
  });

  test.each<[string | undefined, ClientPolicy["protocol"]]>([
    [undefined, "detect"],
    ["http", "http1"],
    ["kubernetes.io/h2c", "http2"],
    ["linkerd.io/opaque", "opaque"],
    ["linkerd.io/tcp", "opaque"],
    ["https", "opaque"],
    ["mysql", "opaque"],
  ])("of a port that speaks %p has the protocol %s", (appProtocol, protocol) => {
    const port = { port: 80, ...(appProtocol === undefined ? {} : { appProtocol }) };
    const control = controlOf([service("shop/web", [port], { clusterIP: "10.43.0.1" })]);
    expect(clientPolicyOf(control, address).values[0]?.protocol).toBe(protocol);
  });

  test("of an opaque port is opaque whatever it is said to speak", () => {
    const port = { port: 80, appProtocol: "http" };
    const opaque = service("shop/web", [port], { clusterIP: "10.43.0.1" }, { [OPAQUE]: "80" });
    expect(clientPolicyOf(controlOf([opaque]), address).values[0]?.protocol).toBe("opaque");
  });

  test("of a port that the service does not have refuses connections", () => {
    const [policy] = clientPolicyOf(controlOf([web]), { ip: "10.43.0.1", port: 81 }).values;
    expect(policy).toMatchObject({
      protocol: "opaque",
      opaque: {
        resource: { kind: "default", name: "undefined-port" },
        action: {
          kind: "fail",
          status: 403,
          message: 'Service "web" in namespace "shop" has no port 81',
        },
      },
    });
  });

  test("of an address outside forwards to it", () => {
    const target = { ip: "1.1.1.1", port: 443 };
    const [policy] = clientPolicyOf(controlOf([web]), target).values;
    expect(policy).toMatchObject({
      protocol: "detect",
      http: {
        resource: { name: "egress-fallback" },
        action: { backends: [{ target: { kind: "forward", endpoint: { address: target } } }] },
      },
    });
    const database = clientPolicyOf(controlOf([web]), { ip: "1.1.1.1", port: 3306 });
    expect(database.values[0]?.protocol).toBe("opaque");
  });

  test.each<[string, SocketAddress | string, readonly MeshObject[], string]>([
    ["a pod", { ip: "10.42.0.1", port: 80 }, [pod1], "not_found"],
    ["an unknown address of the cluster", { ip: "10.42.7.7", port: 80 }, [], "not_found"],
    ["a pod outside of the cluster's networks", { ip: "9.9.9.9", port: 80 }, [
      pod("shop/p", { ip: "9.9.9.9" }),
    ], "not_found"],
    ["an unknown service", "nope.shop.svc.cluster.local:80", [], "not_found"],
    ["a name outside of the cluster", "example.com:80", [], "invalid_argument"],
  ])("of %s is refused", (_, target, objects, code) => {
    const control = controlOf(objects);
    const heard = clientPolicyOf(control, target);
    expect(heard.values).toEqual([]);
    expect(heard.faults.map((fault) => fault.code)).toEqual([code]);
    expect(control.sizes()).toMatchObject({ topics: 0, keys: 0 });
  });

  test("ends when the address is nobody's any more", () => {
    const control = controlOf([web]);
    const heard = clientPolicyOf(control, address);
    change(control, [], [web]);
    expect(heard.values).toHaveLength(1);
    expect(heard.faults.map(({ code }) => code)).toEqual(["not_found"]);
    change(control, [web]);
    expect(heard.values).toHaveLength(1);
    expect(control.sizes().topics).toBe(0);
  });
});

describe("a server policy", () => {
  const policyFor = (
    objects: readonly MeshObject[],
    port = 8080,
    defaultInboundPolicy: InboundPolicy = "all-unauthenticated",
  ): ServerPolicy | undefined =>
    serverPolicyOf(controlOf(objects, { defaultInboundPolicy }), port).values[0];

  test.each<[InboundPolicy, readonly string[], string | undefined]>([
    ["all-unauthenticated", ["0.0.0.0/0", "::/0"], "unauthenticated"],
    ["all-authenticated", ["0.0.0.0/0", "::/0"], "identities"],
    ["cluster-unauthenticated", ["10.42.0.0/16", "10.43.0.0/16"], "unauthenticated"],
    ["cluster-authenticated", ["10.42.0.0/16", "10.43.0.0/16"], "identities"],
    ["audit", ["0.0.0.0/0", "::/0"], "unauthenticated"],
    ["deny", [], undefined],
  ])("%s admits clients of %p that are %s", (name, networks, clients) => {
    const policy = policyFor([pod1], 8080, name);
    const resource = { group: "", kind: "default", name, namespace: "", port: 0 };
    expect(policy?.resource).toEqual(resource);
    expect(policy?.protocol).toBe("detect");
    const found = policy?.authorizations ?? [];
    expect(found.map((authorization) => authorization.clients.kind as string))
      .toEqual(clients === undefined ? [] : [clients]);
    expect(found.flatMap((one) => one.networks.map(({ network }) => network.text)))
      .toEqual([...networks]);
    for (const authorization of found) expect(authorization.resource).toEqual(resource);
  });

  test("admits any identity by a suffix without parts", () => {
    const [authorization] = policyFor([pod1], 8080, "all-authenticated")?.authorizations ?? [];
    expect(authorization?.clients).toEqual({ kind: "identities", names: [], suffixes: [[]] });
  });

  const annotated = (text: string) => ({ "config.linkerd.io/default-inbound-policy": text });

  test.each<[string, string | null, string | null, string]>([
    ["the cluster's", null, null, "audit"],
    ["the namespace's", null, "deny", "deny"],
    ["the pod's own", "all-authenticated", "deny", "all-authenticated"],
    ["the next where a name is wrong", "nonsense", "deny", "deny"],
  ])("is %s", (_, own, ofNamespace, expected) => {
    const objects = [
      pod("shop/web-1", { annotations: own === null ? {} : annotated(own) }),
      namespace("shop", ofNamespace === null ? {} : annotated(ofNamespace)),
    ];
    expect(policyFor(objects, 8080, "audit")?.resource.name).toBe(expected);
  });

  test("of a pod that an unserved Server selects admits nobody, until it is gone", () => {
    const labels = { app: "web", tier: "front" };
    const subject = pod("shop/web-1", { labels, annotations: annotated("all-authenticated") });
    const stranger = server("other/web", { matchLabels: { app: "web" } });
    const control = controlOf([
      subject,
      stranger,
      server("shop/db", { matchLabels: { app: "db" } }),
    ]);
    const heard = serverPolicyOf(control, 8080);
    const name = () => heard.news().map(({ resource }) => resource.name);
    expect(name()).toEqual(["all-authenticated"]);
    const selecting = server("shop/web", {
      matchLabels: { app: "web" },
      matchExpressions: [{ key: "tier", operator: "In", values: ["front", "back"] }],
    });
    change(control, [selecting]);
    expect(name()).toEqual(["deny"]);
    change(control, [server("shop/web", {
      matchExpressions: [{ key: "tier", operator: "NotIn", values: ["front"] }],
    })]);
    expect(name()).toEqual(["all-authenticated"]);
    change(control, [server("shop/web")]);
    expect(name()).toEqual(["deny"]);
    change(control, [], [server("shop/web")]);
    expect(name()).toEqual(["all-authenticated"]);
    const { podSelector: _, ...spec } = server("shop/vm").spec;
    change(control, [{ ...server("shop/vm"), spec }]);
    expect(name()).toEqual([]);
  });

  test("of a port that requires identity admits no stranger", () => {
    const annotations = { "config.linkerd.io/proxy-require-identity-inbound-ports": "8080" };
    const objects = [pod("shop/web-1", { annotations })];
    expect(policyFor(objects, 8080)?.resource.name).toBe("all-authenticated");
    expect(policyFor(objects, 8081)?.resource.name).toBe("all-unauthenticated");
  });

  test("names the kubelet's paths of its port", () => {
    const app = container("app", {
      ports: [{ name: "http", containerPort: 8080 }],
      livenessProbe: { httpGet: { path: "/live?full=1", port: "http", httpHeaders: [] } },
      readinessProbe: { httpGet: { path: "ready", port: 8080, httpHeaders: [] } },
      startupProbe: { httpGet: { path: "/live", port: 8080, httpHeaders: [] } },
    });
    const other = container("other", {
      livenessProbe: { httpGet: { port: 9090, httpHeaders: [] } },
      readinessProbe: { tcpSocket: { port: 8080 } },
      startupProbe: { grpc: { port: 9091 } },
    });
    const objects = [pod("shop/web-1", { containers: [app, other] })];
    const policy = policyFor(objects);
    const get = (path: string) => ({ method: "GET" as const, path });
    expect(policy?.probes).toEqual([get("/live"), get("/ready")]);
    expect(policy?.probeNetworks.map(({ text }) => text)).toEqual(["0.0.0.0/0", "::/0"]);
    expect(policyFor(objects, 9090)?.probes).toEqual([get("/")]);
    expect(policyFor(objects, 9091)?.probes)
      .toEqual([{ method: "POST", path: "/grpc.health.v1.Health/Check" }]);
  });

  test.each<[number, ServerPolicy["protocol"]]>([[6379, "opaque"], [8080, "detect"]])(
    "of port %p has the protocol %s",
    (port, protocol) => expect(policyFor([pod1], port)?.protocol).toBe(protocol),
  );

  test("is found by both forms of a workload", () => {
    expect(serverPolicyOf(controlOf([pod1]), 80, "shop:web-1").values).toHaveLength(1);
  });

  test.each([
    [`{"ns":"shop","pod":"nope"}`, 80, "not_found"],
    [`{"ns":"other","pod":"web-1"}`, 80, "not_found"],
    ["", 80, "invalid_argument"],
    ["{", 80, "invalid_argument"],
    [`{"ns":"shop","pod":"web-1"}`, 0, "invalid_argument"],
    [`{"ns":"shop","pod":"web-1"}`, 70_000, "invalid_argument"],
  ])("of workload %s and port %p fails with %s", (workload, port, code) => {
    const heard = serverPolicyOf(controlOf([pod1]), port, workload);
    expect(heard.values).toEqual([]);
    expect(heard.faults.map((fault) => fault.code)).toEqual([code]);
  });

  test("changes with the pod and its namespace, and ends with the pod", () => {
    const control = controlOf([pod1]);
    const heard = serverPolicyOf(control, 8080);
    expect(heard.news()).toHaveLength(1);
    change(control, [namespace("shop", annotated("deny")), namespace("other", annotated("deny"))]);
    expect(heard.news().map(({ resource }) => resource.name)).toEqual(["deny"]);
    change(control, [{ ...pod1, metadata: { ...pod1.metadata, labels: { app: "x" } } }]);
    expect(heard.news()).toEqual([]);
    change(control, [], [pod1]);
    expect(heard.faults.map(({ code }) => code)).toEqual(["not_found"]);
  });
});
