/** Destinations: objects in, updates out. */

import { describe, expect, test } from "bun:test";
import {
  change,
  CONTROL_SETTINGS,
  controlOf,
  listen,
  SOMEBODY,
} from "../../test/support/control.ts";
import {
  container,
  namespace,
  pod,
  podEndpoint,
  service,
  slice,
} from "../../test/support/objects.ts";
import type { Endpoint, EndpointUpdate } from "../mesh/endpoint.ts";
import type { MeshObject, StringMap } from "../source/objects.ts";
import { Control } from "./discovery.ts";

const WEB = "web.shop.svc.cluster.local:80";
const HTTP = [{ name: "", port: 8080 }];
const IDENTITY = "default.shop.serviceaccount.identity.malla.cluster.local";

const web = service("shop/web", [80], { clusterIP: "10.43.0.1" });
const pod1 = pod("shop/web-1", { ip: "10.42.0.1" });
const pod2 = pod("shop/web-2", { ip: "10.42.0.2" });
const slice1 = slice("shop/web-a", "web", HTTP, [podEndpoint("shop/web-1", "10.42.0.1")]);
const slice12 = slice("shop/web-a", "web", HTTP, [
  podEndpoint("shop/web-1", "10.42.0.1"),
  podEndpoint("shop/web-2", "10.42.0.2"),
]);

function watchWeb(control: Control, path = WEB, context = "") {
  return listen<EndpointUpdate>((sink) =>
    control.watchEndpoints({ ...SOMEBODY, context }, path, sink)
  );
}

/** The one endpoint of a service with one pod. */
function endpointOf(objects: readonly MeshObject[], path = WEB, context = ""): Endpoint {
  const [update] = watchWeb(controlOf(objects), path, context).values;
  if (update?.kind !== "add" || update.endpoints[0] === undefined) {
    throw new Error(`expected an endpoint, got ${JSON.stringify(update)}`);
  }
  return update.endpoints[0];
}

describe("a new watch", () => {
  test("hears all endpoints with their labels and the set's", () => {
    const heard = watchWeb(controlOf([web, pod1, pod2, slice12]));
    const endpoint = (name: string, ip: string): Endpoint => ({
      address: { ip, port: 8080 },
      weight: 10_000,
      labels: {
        pod: name,
        serviceaccount: "default",
        control_plane_ns: "malla",
        zone_locality: "unknown",
      },
      identity: { name: IDENTITY, serverName: IDENTITY },
      hint: "h2",
      transportPort: 4143,
    });
    expect(heard.values).toEqual([{
      kind: "add",
      labels: { namespace: "shop", service: "web" },
      endpoints: [endpoint("web-1", "10.42.0.1"), endpoint("web-2", "10.42.0.2")],
    }]);
  });

  test("of a service without endpoints hears that it exists", () => {
    expect(watchWeb(controlOf([web])).values).toEqual([{ kind: "none", exists: true }]);
  });

  test.each([
    ["nope.shop.svc.cluster.local:80", "not_found"],
    ["10.43.0.1:80", "invalid_argument"],
    ["[fd00::1]:80", "invalid_argument"],
    ["web.shop:80", "invalid_argument"],
    ["example.com:80", "invalid_argument"],
    ["a.b.web.shop.svc.cluster.local:80", "invalid_argument"],
    ["web.shop.svc.cluster.local:99999", "invalid_argument"],
    [":80", "invalid_argument"],
    ["outside.shop.svc.cluster.local:80", "invalid_argument"],
  ])("for %s fails with %s", (path, code) => {
    const outside = service("shop/outside", [80], {
      type: "ExternalName",
      externalName: "example.com",
    });
    const control = controlOf([web, outside]);
    const heard = watchWeb(control, path);
    expect(heard.values).toEqual([]);
    expect(heard.faults.map((fault) => fault.code)).toEqual([code]);
    heard.stop();
    expect(control.sizes()).toMatchObject({ topics: 0, keys: 0 });
  });

  test("waits until the source is read, and is then not told a lie", () => {
    const fresh = new Control(CONTROL_SETTINGS, () => {});
    const early = watchWeb(fresh);
    const given = watchWeb(fresh);
    given.stop();
    expect(fresh.isSynced).toBe(false);
    expect(early.values).toEqual([]);
    for (const object of [web, pod1, slice1]) fresh.applied(object);
    fresh.synced();
    expect(early.values).toHaveLength(1);
    expect(early.faults).toEqual([]);
    expect(given.values).toEqual([]);
  });

  test("is told once however the authority is written", () => {
    const control = controlOf([web, pod1, slice1]);
    for (const path of ["web.shop.svc.cluster.local.:80", "WEB.shop.svc.Cluster.local", WEB]) {
      expect(watchWeb(control, path).values).toEqual(watchWeb(control).values);
    }
    expect(control.sizes().topics).toBe(1);
  });
});

describe("an endpoint", () => {
  const objects = (changed: MeshObject): MeshObject[] => [web, changed, slice1];

  test("without a proxy of this mesh has no identity", () => {
    const stranger = pod("shop/web-1", {
      ip: "10.42.0.1",
      labels: { "linkerd.io/control-plane-ns": "linkerd" },
    });
    for (const unmeshed of [pod("shop/web-1", { ip: "10.42.0.1", meshed: false }), stranger]) {
      const endpoint = endpointOf(objects(unmeshed));
      expect(endpoint.identity).toBeUndefined();
      expect(endpoint.transportPort).toBeUndefined();
      expect(endpoint.labels["control_plane_ns"]).toBeUndefined();
    }
  });

  test("in its node's network has no identity", () => {
    const onHost = pod("shop/web-1", { ip: "10.42.0.1", spec: { hostNetwork: true } });
    expect(endpointOf(objects(onHost)).identity).toBeUndefined();
  });

  test.each([
    ["8080", false],
    ["8000-8100", false],
    ["http", false],
    ["8081", true],
  ])("with skip-inbound-ports %s: has an identity is %s", (ports, has) => {
    const skipping = pod("shop/web-1", {
      ip: "10.42.0.1",
      annotations: { "config.linkerd.io/skip-inbound-ports": ports },
      containers: [container("app", { ports: [{ name: "http", containerPort: 8080 }] })],
    });
    const endpoint = endpointOf(objects(skipping));
    expect(endpoint.identity !== undefined).toBe(has);
    expect(endpoint.transportPort !== undefined).toBe(has);
  });

  test.each<[string | null, string | null, Endpoint["hint"]]>([
    ["8080", null, "opaque"],
    [null, "8080", "opaque"],
    ["", "8080", "h2"],
    [null, null, "h2"],
  ])("with opaque ports %p on the pod, %p on the namespace has the hint %s", (own, all, hint) => {
    const annotated = (ports: string | null): StringMap =>
      ports === null ? {} : { "config.linkerd.io/opaque-ports": ports };
    const opaque = pod("shop/web-1", { ip: "10.42.0.1", annotations: annotated(own) });
    const endpoint = endpointOf([...objects(opaque), namespace("shop", annotated(all))]);
    expect(endpoint.hint).toBe(hint);
    expect(endpoint.transportPort).toBe(4143);
  });

  test("without a port in its sidecar's environment is reached transparently", () => {
    const bare = pod("shop/web-1", {
      ip: "10.42.0.1",
      meshed: false,
      labels: { "linkerd.io/control-plane-ns": "malla" },
    });
    const endpoint = endpointOf(objects(bare));
    expect(endpoint.identity?.name).toBe(IDENTITY);
    expect(endpoint.transportPort).toBeUndefined();
  });

  test("names its workload, its template and its account", () => {
    const owned = pod("shop/web-1", {
      ip: "10.42.0.1",
      labels: { "pod-template-hash": "7d9f" },
      metadata: { ownerReferences: [{ kind: "ReplicaSet", name: "web-7d9f", controller: true }] },
      spec: { serviceAccountName: "webby" },
    });
    const { labels, identity } = endpointOf(objects({
      ...owned,
      metadata: {
        ...owned.metadata,
        labels: { ...owned.metadata.labels, "linkerd.io/control-plane-ns": "malla" },
      },
    }));
    expect(labels).toMatchObject({
      deployment: "web",
      pod_template_hash: "7d9f",
      serviceaccount: "webby",
    });
    expect(identity?.name).toBe("webby.shop.serviceaccount.identity.malla.cluster.local");
  });

  test.each([
    ["ReplicaSet", "web-x", "replicaset", "web-x"],
    ["StatefulSet", "db", "statefulset", "db"],
    ["Job", "once", "job", "once"],
  ])("owned by a %s %s has the label %s", (kind, name, label, value) => {
    const owned = pod("shop/web-1", {
      ip: "10.42.0.1",
      metadata: { ownerReferences: [{ kind, name, controller: true }] },
    });
    expect(endpointOf(objects(owned)).labels[label]).toBe(value);
  });

  test("at its proxy's own ports is not reached through the transport", () => {
    const proxy = service("shop/web", [], { clusterIP: "None" });
    const all = [proxy, pod1, slice("shop/web-a", "web", [], slice1.endpoints)];
    const tap = endpointOf(all, "web.shop.svc.cluster.local:4190");
    expect(tap.identity?.name).toBe(IDENTITY);
    expect(tap.transportPort).toBeUndefined();
    const admin = endpointOf(all, "web.shop.svc.cluster.local:4191");
    expect(admin.identity).toBeUndefined();
    expect(admin.transportPort).toBeUndefined();
  });

  test("in the asker's zone is local, in another remote", () => {
    const asker = pod("shop/asker", {
      ip: "10.42.0.9",
      labels: { "topology.kubernetes.io/zone": "a" },
    });
    const context = `{"ns":"shop","pod":"asker","nodeName":"n1"}`;
    for (const [zone, locality] of [["a", "local"], ["b", "remote"]] as const) {
      const placed = slice("shop/web-a", "web", HTTP, [
        podEndpoint("shop/web-1", "10.42.0.1", { zone }),
      ]);
      const endpoint = endpointOf([web, pod1, asker, placed], WEB, context);
      expect(endpoint.labels).toMatchObject({ zone, zone_locality: locality });
    }
  });

  test("that is no pod has neither identity nor labels of one", () => {
    const outside = slice("shop/web-a", "web", HTTP, [{ addresses: ["10.9.9.9"], conditions: {} }]);
    const endpoint = endpointOf([web, outside]);
    expect(endpoint).toEqual({
      address: { ip: "10.9.9.9", port: 8080 },
      weight: 10_000,
      labels: { zone_locality: "unknown" },
      hint: "unknown",
    });
  });
});

describe("which endpoints", () => {
  test("a named service port finds its own target", () => {
    const two = service("shop/web", [{ name: "http", port: 80 }, { name: "admin", port: 81 }], {
      clusterIP: "10.43.0.1",
    });
    const ports = [{ name: "http", port: 8080 }, { name: "admin", port: 9090 }];
    const objects = [two, pod1, slice("shop/web-a", "web", ports, slice1.endpoints)];
    expect(endpointOf(objects, "web.shop.svc.cluster.local:81").address.port).toBe(9090);
    expect(endpointOf(objects).address.port).toBe(8080);
  });

  test("a port that the service does not have has none, unless the service is headless", () => {
    const path = "web.shop.svc.cluster.local:9999";
    expect(watchWeb(controlOf([web, pod1, slice1]), path).values)
      .toEqual([{ kind: "none", exists: true }]);
    const headless = service("shop/web", [80], { clusterIP: "None" });
    expect(endpointOf([headless, pod1, slice1], path).address.port).toBe(9999);
  });

  test("those that are not ready are left out", () => {
    const unready = slice("shop/web-a", "web", HTTP, [
      podEndpoint("shop/web-1", "10.42.0.1", { conditions: { ready: false } }),
      podEndpoint("shop/web-2", "10.42.0.2", { conditions: {} }),
    ]);
    const [update] = watchWeb(controlOf([web, pod1, pod2, unready])).values;
    expect(update).toMatchObject({ endpoints: [{ address: { ip: "10.42.0.2" } }] });
  });

  test("a StatefulSet's pod is found by its name", () => {
    const named = slice("shop/web-a", "web", HTTP, [
      podEndpoint("shop/web-1", "10.42.0.1", { hostname: "web-0" }),
      podEndpoint("shop/web-2", "10.42.0.2", { hostname: "web-1" }),
    ]);
    const control = controlOf([web, pod1, pod2, named]);
    const heard = watchWeb(control, "web-1.web.shop.svc.cluster.local:80");
    expect(heard.values).toMatchObject([{ endpoints: [{ address: { ip: "10.42.0.2" } }] }]);
  });

  test.each([
    [["IPv4", "IPv6"], ["10.42.0.1", "fd42::2"]],
    [["IPv6", "IPv4"], ["fd42::1", "fd42::2"]],
  ])("of a dual-stack service each pod is one endpoint: %p", (ipFamilies, expected) => {
    const clusterIPs = ["10.43.0.1", "fd43::1"];
    const dual = service("shop/web", [80], { clusterIP: "10.43.0.1", clusterIPs, ipFamilies });
    const six = [podEndpoint("shop/web-1", "fd42::1"), podEndpoint("shop/web-2", "fd42::2")];
    const slices = [
      slice1,
      { ...slice("shop/web-b", "web", HTTP, six), addressType: "IPv6" as const },
    ];
    const control = controlOf([dual, pod1, pod2, ...slices]);
    const [update] = watchWeb(control).values;
    const found = update?.kind === "add" ? update.endpoints.map(({ address }) => address.ip) : [];
    expect(found.sort()).toEqual(expected);
    // When it has lost its main address it is reached by the other one.
    change(control, [], [slice1]);
    expect(watchWeb(control).values).toMatchObject([{
      endpoints: [{ address: { ip: "fd42::1" } }, { address: { ip: "fd42::2" } }],
    }]);
  });

  test("a local service gives each node its own", () => {
    const local = service("shop/web", [80], {
      clusterIP: "10.43.0.1",
      internalTrafficPolicy: "Local",
    });
    const placed = slice("shop/web-a", "web", HTTP, [
      podEndpoint("shop/web-1", "10.42.0.1", { nodeName: "n1" }),
      podEndpoint("shop/web-2", "10.42.0.2", { nodeName: "n2" }),
    ]);
    const control = controlOf([web, pod1, pod2, placed]);
    const on = (node: string) => watchWeb(control, WEB, `{"ns":"shop","nodeName":"${node}"}`);
    const [n1, n2, n3] = [on("n1"), on("n2"), on("n3")];
    for (const heard of [n1, n2, n3]) heard.news();
    change(control, [local]);
    expect(n1.news()).toEqual([{ kind: "remove", addresses: [{ ip: "10.42.0.2", port: 8080 }] }]);
    expect(n2.news()).toEqual([{ kind: "remove", addresses: [{ ip: "10.42.0.1", port: 8080 }] }]);
    expect(n3.news()).toEqual([{ kind: "none", exists: true }]);
    change(control, [], [pod1]);
    expect(n2.news()).toEqual([]);
  });

  test("hints for zones are followed where all endpoints have them", () => {
    const hinted = (zone1: string) =>
      slice("shop/web-a", "web", HTTP, [
        podEndpoint("shop/web-1", "10.42.0.1", { hints: { forZones: [{ name: zone1 }] } }),
        podEndpoint("shop/web-2", "10.42.0.2", { hints: { forZones: [{ name: "b" }] } }),
      ]);
    const asker = pod("shop/asker", { labels: { "topology.kubernetes.io/zone": "a" } });
    const context = `{"ns":"shop","pod":"asker"}`;
    const addresses = (zone1: string): string[] => {
      const control = controlOf([web, pod1, pod2, asker, hinted(zone1)]);
      const [update] = watchWeb(control, WEB, context).values;
      return update?.kind === "add" ? update.endpoints.map(({ address }) => address.ip) : [];
    };
    expect(addresses("a")).toEqual(["10.42.0.1"]);
    expect(addresses("b")).toEqual(["10.42.0.1", "10.42.0.2"]);
  });
});

describe("a change", () => {
  test("is told as steps, and nothing is told twice", () => {
    const control = controlOf([web, pod1, slice1]);
    const heard = watchWeb(control);
    heard.news();
    change(control, [pod2, slice12]);
    expect(heard.news()).toMatchObject([
      { kind: "add", endpoints: [{ address: { ip: "10.42.0.2" } }] },
    ]);
    change(control, [pod2, slice12, web, pod1]);
    expect(heard.news()).toEqual([]);
    change(control, [slice1]);
    expect(heard.news())
      .toEqual([{ kind: "remove", addresses: [{ ip: "10.42.0.2", port: 8080 }] }]);
    change(control, [slice("shop/web-a", "web", HTTP, [])]);
    expect(heard.news()).toEqual([{ kind: "none", exists: true }]);
    change(control, [], [web]);
    expect(heard.news()).toEqual([{ kind: "none", exists: false }]);
    change(control, [web, slice1]);
    expect(heard.news()).toMatchObject([{ kind: "add" }]);
    expect(heard.faults).toEqual([]);
  });

  test("of one endpoint's facts tells that endpoint alone", () => {
    const control = controlOf([web, pod1, pod2, slice12]);
    const heard = watchWeb(control);
    heard.news();
    change(control, [pod("shop/web-2", { ip: "10.42.0.2", meshed: false })]);
    const [update, ...more] = heard.news();
    expect(more).toEqual([]);
    expect(update).toMatchObject({ kind: "add", endpoints: [{ address: { ip: "10.42.0.2" } }] });
    expect(update?.kind === "add" && update.endpoints.length).toBe(1);
  });

  test("that replaces all endpoints adds before it removes", () => {
    const control = controlOf([web, pod1, pod2, slice1]);
    const heard = watchWeb(control);
    heard.news();
    change(control, [
      slice("shop/web-a", "web", HTTP, [podEndpoint("shop/web-2", "10.42.0.2")]),
    ]);
    expect(heard.news().map(({ kind }) => kind)).toEqual(["add", "remove"]);
  });

  test("of nothing that matters touches nobody", () => {
    const control = controlOf([web, pod1, slice1]);
    const heard = watchWeb(control);
    heard.news();
    change(control, [
      { ...pod1, status: { ...pod1.status, conditions: [{ type: "Ready", status: "False" }] } },
      { ...web, metadata: { ...web.metadata, resourceVersion: "77" } },
      service("shop/other", [80]),
      namespace("elsewhere"),
    ]);
    expect(heard.news()).toEqual([]);
  });

  test("gives all subscribers the same objects", () => {
    const control = controlOf([web, pod1, slice1]);
    const [a, b] = [watchWeb(control), watchWeb(control)];
    expect(a.values[0]).toBe(b.values[0] as EndpointUpdate);
    change(control, [pod2, slice12]);
    expect(a.values[1]).toBe(b.values[1] as EndpointUpdate);
    // Who comes later gets the whole state in one step.
    expect(watchWeb(control).values).toMatchObject([{ endpoints: [{}, {}] }]);
  });

  test("before it is flushed is known to who subscribes now, and told once to the others", () => {
    const control = controlOf([web, pod1, slice1]);
    const early = watchWeb(control);
    early.news();
    for (const object of [pod2, slice12]) control.applied(object);
    expect(watchWeb(control).values).toMatchObject([{ endpoints: [{}, {}] }]);
    control.flush();
    expect(early.news()).toHaveLength(1);
  });
});

describe("the end of a watch", () => {
  test("frees everything", () => {
    const control = controlOf([web, pod1, slice1]);
    const heard = [watchWeb(control), watchWeb(control)];
    expect(control.sizes()).toMatchObject({ topics: 1 });
    for (const { stop } of heard) stop();
    expect(control.sizes()).toMatchObject({ topics: 0, keys: 0, waiting: 0 });
    change(control, [], [slice1]);
    expect(heard.map(({ values }) => values.length)).toEqual([1, 1]);
    heard[0]?.stop();
  });

  test("inside of an update hears no more", () => {
    const control = controlOf([web, pod1, slice1]);
    const second = watchWeb(control);
    const updates: EndpointUpdate[] = [];
    const stop = control.watchEndpoints(SOMEBODY, WEB, {
      next(update) {
        updates.push(update);
        if (updates.length === 2) {
          stop();
          second.stop();
        }
      },
      fail() {},
    });
    change(control, [pod2, slice12]);
    change(control, [slice1]);
    expect(updates).toHaveLength(2);
    expect(control.sizes().topics).toBe(0);
  });
});
