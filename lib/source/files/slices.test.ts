/** EndpointSlices computed from Services and Pods. */

import { describe, expect, test } from "bun:test";
import { container, pod, type PodTraits, service } from "../../../test/support/objects.ts";
import type { EndpointSlice, Pod, Service } from "../objects.ts";
import { DerivedSlices } from "./derived-slices.ts";
import { endpointSlices } from "./slices.ts";

const web = service("shop/web", [80], { selector: { app: "web" } });

function webPod(name: string, ip: string, more: PodTraits = {}): Pod {
  return pod(`shop/${name}`, { ip, labels: { app: "web" }, ...more });
}

/** `ip:ready` of all endpoints. */
function summary(slices: readonly EndpointSlice[]): string[] {
  return slices.flatMap(({ endpoints }) =>
    endpoints.flatMap(({ addresses, conditions }) =>
      addresses.map((ip) => `${ip}:${conditions.ready}`)
    )
  );
}

function slicesOf(from: Service, ...pods: Pod[]): readonly EndpointSlice[] {
  return endpointSlices(from, pods);
}

test("pods that the selector picks, by name, ready or not", () => {
  const slices = slicesOf(
    web,
    webPod("b", "10.42.0.2", { ready: false }),
    webPod("a", "10.42.0.1"),
    pod("shop/other", { ip: "10.42.0.3", labels: { app: "other" } }),
    pod("elsewhere/a", { ip: "10.42.0.4", labels: { app: "web" } }),
    webPod("c", "10.42.0.5", { status: { phase: "Failed" } }),
    pod("shop/pending", { labels: { app: "web" } }),
  );
  expect(slices).toHaveLength(1);
  expect(summary(slices)).toEqual(["10.42.0.1:true", "10.42.0.2:false"]);
  expect(slices[0]).toMatchObject({
    kind: "EndpointSlice",
    metadata: {
      name: "web-ipv4-0",
      namespace: "shop",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    ports: [{ name: "", port: 80, protocol: "TCP" }],
    endpoints: [{ targetRef: { kind: "Pod", namespace: "shop", name: "a" } }, {}],
  });
});

test("a pod that is being deleted is not ready", () => {
  const leaving = webPod("a", "10.42.0.1", {
    metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" },
  });
  const labelled = { ...leaving, metadata: { ...leaving.metadata, labels: { app: "web" } } };
  expect(slicesOf(web, labelled)[0]?.endpoints[0]?.conditions)
    .toEqual({ ready: false, serving: true, terminating: true });
});

test("publishNotReadyAddresses calls all ready", () => {
  const eager = service("shop/web", [80], {
    selector: { app: "web" },
    publishNotReadyAddresses: true,
  });
  expect(summary(slicesOf(eager, webPod("a", "10.42.0.1", { ready: false }))))
    .toEqual(["10.42.0.1:true"]);
});

test("named targets are found in containers and native sidecars; differing pods are apart", () => {
  const named = service("shop/web", [{ name: "http", port: 80, targetPort: "web" }], {
    selector: { app: "web" },
  });
  const ports = (
    containerPort: number,
  ) => [container("app", { ports: [{ name: "web", containerPort }] })];
  const sidecar = container("app", {
    restartPolicy: "Always",
    ports: [{ name: "web", containerPort: 7 }],
  });
  const slices = slicesOf(
    named,
    webPod("a", "10.42.0.1", { containers: ports(8080) }),
    webPod("b", "10.42.0.2", { containers: ports(9090) }),
    webPod("c", "10.42.0.3", { containers: ports(8080) }),
    webPod("d", "10.42.0.4", { spec: { initContainers: [sidecar] } }),
    webPod("e", "10.42.0.5"),
  );
  const found = Object.fromEntries(
    slices.flatMap((slice) =>
      slice.endpoints.map(({ addresses }) => [addresses[0], slice.ports.map(({ port }) => port)])
    ),
  );
  expect(found).toEqual({
    "10.42.0.1": [8080],
    "10.42.0.2": [9090],
    "10.42.0.3": [8080],
    "10.42.0.4": [7],
    "10.42.0.5": [],
  });
  expect(new Set(slices.map(({ metadata }) => metadata.name)).size).toBe(slices.length);
});

test("a UDP port of the same name is not a TCP target", () => {
  const named = service("shop/dns", [{ name: "dns", port: 53, targetPort: "dns" }], {
    selector: { app: "web" },
  });
  const udp = [container("app", { ports: [{ name: "dns", containerPort: 53, protocol: "UDP" }] })];
  expect(slicesOf(named, webPod("a", "10.42.0.1", { containers: udp }))[0]?.ports).toEqual([]);
});

test("hostnames only under the service that the pod names", () => {
  const headless = service("shop/web", [80], { selector: { app: "web" }, clusterIP: "None" });
  const member = webPod("web-0", "10.42.0.1", { spec: { hostname: "web-0", subdomain: "web" } });
  const [slice] = slicesOf(headless, member);
  expect(slice?.endpoints[0]?.hostname).toBe("web-0");
  expect(slice?.metadata.labels).toHaveProperty(["service.kubernetes.io/headless"]);
  const stranger = webPod("web-0", "10.42.0.1", { spec: { hostname: "web-0", subdomain: "db" } });
  expect(slicesOf(headless, stranger)[0]?.endpoints[0]?.hostname).toBeUndefined();
});

test("a slice for each family", () => {
  const dual = service("shop/web", [80], {
    selector: { app: "web" },
    ipFamilies: ["IPv6", "IPv4"],
  });
  const both = webPod("a", "10.42.0.1", {
    status: { podIPs: [{ ip: "10.42.0.1" }, { ip: "fd00::1" }] },
  });
  expect(
    slicesOf(dual, both).map((
      { addressType, endpoints },
    ) => [addressType, endpoints[0]?.addresses[0]]),
  )
    .toEqual([["IPv4", "10.42.0.1"], ["IPv6", "fd00::1"]]);
  expect(slicesOf(web, both).map(({ addressType }) => addressType)).toEqual(["IPv4"]);
});

test.each([
  ["without a selector", service("shop/web", [80])],
  ["with an empty selector", service("shop/web", [80], { selector: {} })],
  [
    "that only points to a name",
    service("shop/web", [80], { selector: { app: "web" }, type: "ExternalName" }),
  ],
])("a service %s has none", (_, from) => {
  expect(slicesOf(from, webPod("a", "10.42.0.1"))).toEqual([]);
});

describe("derived slices", () => {
  test("stay the same objects while nothing that matters changes", () => {
    const derived = new DerivedSlices();
    const [a, b] = [webPod("a", "10.42.0.1"), webPod("b", "10.42.0.2")];
    const first = derived.of([web, a, b]);
    expect(derived.of([web, a, b])[0]).toBe(first[0] as EndpointSlice);
    const relabelled = { ...b, metadata: { ...b.metadata, annotations: { x: "y" } } };
    expect(derived.of([web, a, relabelled])[0]).toBe(first[0] as EndpointSlice);
    const moved = derived.of([web, a, webPod("b", "10.42.0.9")]);
    expect(summary(moved)).toEqual(["10.42.0.1:true", "10.42.0.9:true"]);
    expect(derived.of([a, b])).toEqual([]);
  });
});
