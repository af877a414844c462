/** The gateway's rules from Services and EndpointSlices. */

import { describe, expect, test } from "bun:test";
import type { EndpointSlice, Service, SliceEndpoint } from "../source/objects.ts";
import { type GatewayNetwork, gatewayRules } from "./gateway-rules.ts";
import { placeService, serviceRules } from "./service-nat.ts";

const NETWORK: GatewayNetwork = {
  version: 4,
  bridge: "br0",
  podNetwork: "10.42.0.0/16",
  serviceNetwork: "10.43.0.0/16",
  egressPort: 15_001,
};

function service(name: string, ip: string, spec: Partial<Service["spec"]> = {}): Service {
  const metadata = { name, namespace: "shop", labels: {}, annotations: {}, ownerReferences: [] };
  const ports = [{ name: "http", port: 80, targetPort: 8080 }];
  return {
    kind: "Service",
    metadata,
    spec: { clusterIP: ip, clusterIPs: [ip], ipFamilies: [], ports, ...spec },
  };
}

function slice(
  name: string,
  endpoints: readonly Partial<SliceEndpoint>[],
  fields: Partial<EndpointSlice> = {},
): EndpointSlice {
  return {
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-1`,
      namespace: "shop",
      labels: { "kubernetes.io/service-name": name },
      annotations: {},
      ownerReferences: [],
    },
    addressType: "IPv4",
    endpoints: endpoints.map((endpoint) => ({ addresses: [], conditions: {}, ...endpoint })),
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    ...fields,
  };
}

const READY = { ready: true };

describe("service addresses", () => {
  test("three endpoints share equally", () => {
    const { lines } = serviceRules(
      [service("web", "10.43.0.5")],
      [slice(
        "web",
        ["10.42.1.1", "10.42.1.2", "10.42.1.3"].map((ip) => ({
          addresses: [ip],
          conditions: READY,
        })),
      )],
      4,
    );
    const chain = /-j (MALLA_SVC_\w+)$/.exec(lines[0] ?? "")?.[1];
    expect(lines).toEqual([
      `-A MALLA_SERVICES -d 10.43.0.5/32 -p tcp --dport 80 -j ${chain}`,
      `-A ${chain} -p tcp -m statistic --mode random --probability 0.3333333333 ` +
      "-j DNAT --to-destination 10.42.1.1:8080",
      `-A ${chain} -p tcp -m statistic --mode random --probability 0.5000000000 ` +
      "-j DNAT --to-destination 10.42.1.2:8080",
      `-A ${chain} -p tcp -j DNAT --to-destination 10.42.1.3:8080`,
    ]);
  });

  test("endpoints that are not ready get nothing, unless there are only ending ones", () => {
    const ending = { ready: false, serving: true, terminating: true };
    const endpoints = [
      { addresses: ["10.42.1.1"], conditions: ending },
      { addresses: ["10.42.1.2"], conditions: READY },
      { addresses: ["10.42.1.3"], conditions: { ready: false } },
    ];
    const targets = (list: typeof endpoints) =>
      serviceRules([service("web", "10.43.0.5")], [slice("web", list)], 4).lines
        .flatMap((line) => / --to-destination (\S+)/.exec(line)?.[1] ?? []);
    expect(targets(endpoints)).toEqual(["10.42.1.2:8080"]);
    expect(targets(endpoints.filter(({ conditions }) => conditions !== READY))).toEqual([
      "10.42.1.1:8080",
    ]);
  });

  test("UDP and TCP of one port number are told apart", () => {
    const ports = [
      { name: "dns", port: 53, protocol: "UDP" },
      { name: "dns-tcp", port: 53, protocol: "TCP" },
    ];
    const { lines } = serviceRules(
      [service("dns", "10.43.0.6", { ports })],
      [slice("dns", [{ addresses: ["10.42.1.9"], conditions: READY }], { ports })],
      4,
    );
    expect(lines.filter((line) => line.includes("-p udp"))).toHaveLength(2);
    expect(lines.filter((line) => line.includes("-p tcp"))).toHaveLength(2);
  });

  test("headless, external and endpointless services have no rules; another service's slices neither", () => {
    const { chains, lines } = serviceRules(
      [
        service("headless", "None"),
        service("external", "", { type: "ExternalName", externalName: "example.com" }),
        service("empty", "10.43.0.7"),
      ],
      [
        slice("headless", [{ addresses: ["10.42.1.1"], conditions: READY }]),
        slice("other", [{ addresses: ["10.42.1.2"], conditions: READY }]),
      ],
      4,
    );
    expect(lines).toEqual([]);
    expect(chains).toEqual(["MALLA_SERVICES"]);
  });

  test("IPv6 has brackets and its own slices", () => {
    const both = service("web", "10.43.0.5", { clusterIPs: ["10.43.0.5", "fd43::5"] });
    const six = slice("web", [{ addresses: ["fd42::1"], conditions: READY }], {
      addressType: "IPv6",
    });
    const { lines } = serviceRules([both], [six], 6);
    expect(lines[0]).toContain("-d fd43::5/128 -p tcp --dport 80");
    expect(lines[1]).toContain("--to-destination [fd42::1]:8080");
    expect(serviceRules([both], [six], 4).lines).toEqual([]);
  });

  test("the order of the objects does not matter", () => {
    const services = [service("a", "10.43.0.2"), service("b", "10.43.0.1")];
    const slices = services.map(({ metadata }) =>
      slice(metadata.name, [{ addresses: ["10.42.1.1"], conditions: READY }])
    );
    expect(gatewayRules(NETWORK, services, slices)).toBe(
      gatewayRules(NETWORK, [...services].reverse(), [...slices].reverse()),
    );
  });
});

test("the place of a service, for who connects from the gateway itself", () => {
  const services = [
    service("web", "10.43.0.5"),
    service("six", "fd43::5"),
    service("db", "None", { clusterIPs: ["None"] }),
    service("outside", "", { type: "ExternalName", externalName: "example.com" }),
  ];
  const slices = [slice("db", [{ addresses: ["10.42.1.2"], conditions: READY }])];
  const place = (name: string, port: number, namespace = "shop") =>
    placeService(services, slices, { namespace, name, port });
  expect(place("web", 80)).toEqual({ ip: "10.43.0.5", port: 80 });
  expect(place("db", 80)).toEqual({ ip: "10.42.1.2", port: 8080 });
  expect(place("web", 81)).toBe(null);
  expect(place("web", 80, "other")).toBe(null);
  expect(place("six", 80)).toEqual({ ip: "fd43::5", port: 80 });
  expect(place("outside", 80)).toBe(null);
  expect(place("nobody", 80)).toBe(null);
});

test("IPv6 finds its neighbours before anything is refused", () => {
  const six = {
    ...NETWORK,
    version: 6,
    podNetwork: "fd42::/64",
    serviceNetwork: "fd43::/64",
  } as const;
  const lines = gatewayRules(six, [], []).split("\n");
  expect(lines).toContain("-A MALLA_EGRESS -d ff00::/8 -j RETURN");
  const refusal = "-A OUTPUT ! -d fd42::/64 -o br0 -j REJECT --reject-with icmp6-adm-prohibited";
  const neighbours = "-A OUTPUT -d ff02::/16 -p ipv6-icmp -j ACCEPT";
  expect(lines.indexOf(neighbours)).toBeGreaterThan(0);
  expect(lines.indexOf(neighbours)).toBeLessThan(lines.indexOf(refusal));
});

test("the gateway's tables, with no service", () => {
  expect(gatewayRules(NETWORK, [], [])).toBe(`*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:MALLA_SERVICES - [0:0]
:MALLA_EGRESS - [0:0]
-A PREROUTING -j MALLA_SERVICES
-A PREROUTING -i br0 -j MALLA_EGRESS
-A OUTPUT -j MALLA_SERVICES
-A MALLA_EGRESS -d 10.42.0.0/16 -j RETURN
-A MALLA_EGRESS -d 10.43.0.0/16 -j RETURN
-A MALLA_EGRESS -d 224.0.0.0/4 -j RETURN
-A MALLA_EGRESS -d 255.255.255.255/32 -j RETURN
-A MALLA_EGRESS -p udp --dport 53 -j REDIRECT --to-ports 53
-A MALLA_EGRESS -p tcp --dport 53 -j REDIRECT --to-ports 53
-A MALLA_EGRESS -p tcp -j REDIRECT --to-ports 15001
-A POSTROUTING -s 10.42.0.0/16 -d 10.42.0.0/16 -m conntrack --ctstate DNAT -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -d 10.43.0.0/16 -p tcp -j REJECT --reject-with tcp-reset
-A FORWARD -d 10.43.0.0/16 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD ! -d 10.42.0.0/16 -o br0 -j REJECT --reject-with icmp-admin-prohibited
-A OUTPUT -d 10.43.0.0/16 -p tcp -j REJECT --reject-with tcp-reset
-A OUTPUT -d 10.43.0.0/16 -j REJECT --reject-with icmp-port-unreachable
-A OUTPUT ! -d 10.42.0.0/16 -o br0 -j REJECT --reject-with icmp-admin-prohibited
COMMIT
`);
});
