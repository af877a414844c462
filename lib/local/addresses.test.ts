/** Names and addresses that the mesh gives. */

import { describe, expect, test } from "bun:test";
import { AddressPool, canonical, POD_ADDRESSES, templateHash } from "./names.ts";
import { ServiceAddresses } from "./service-addresses.ts";
import type { Manifest } from "./workloads.ts";

function service(name: string, spec: Record<string, unknown> = {}): Manifest {
  return { kind: "Service", metadata: { name, namespace: "shop" }, spec };
}

function ips(objects: readonly Manifest[]): unknown[] {
  return objects.map((object) => (object["spec"] as Record<string, unknown>)["clusterIP"]);
}

describe("pod addresses", () => {
  test("follow from the key alone while nothing is in the way", () => {
    const [one, other] = [new AddressPool(POD_ADDRESSES[4]), new AddressPool(POD_ADDRESSES[4])];
    other.take("unrelated");
    expect(one.take("shop/web")).toBe(other.take("shop/web"));
    expect(one.take("shop/web")).toBe(one.take("shop/web"));
  });

  test("never collide, never are the gateway's, and are given again after release", () => {
    const pool = new AddressPool(POD_ADDRESSES[4]);
    const given = new Set(Array.from({ length: 2_000 }, (_, index) => pool.take(`pod/${index}`)));
    expect(given.size).toBe(2_000);
    for (const ip of given) {
      expect(ip).toMatch(
        /^10\.42\.([1-9]|\d\d|1\d\d|2[0-4]\d|25[0-4])\.([1-9]|\d\d|1\d\d|2[0-4]\d|25[0-4])$/,
      );
    }
    const before = pool.take("pod/7");
    pool.release("pod/7");
    expect(pool.reserve("pod/other", before)).toBe(true);
    expect(pool.take("pod/7")).not.toBe(before);
  });
});

describe("a template's hash", () => {
  test("does not depend on the order of keys, but on every value", () => {
    expect(templateHash({ a: 1, b: [1, 2] })).toBe(templateHash({ b: [1, 2], a: 1 }));
    expect(templateHash({ a: 1, b: [2, 1] })).not.toBe(templateHash({ a: 1, b: [1, 2] }));
    expect(canonical({ b: undefined, a: null })).toBe('{"a":null}');
  });
});

describe("Service addresses", () => {
  test("are given where none is named, the same ones each time", () => {
    const addresses = new ServiceAddresses([4]);
    const first = ips(addresses.fill([service("web"), service("db")]));
    expect(first[0]).toMatch(/^10\.43\./);
    expect(ips(addresses.fill([service("db"), service("web")]))).toEqual([first[1], first[0]]);
    expect(ips(new ServiceAddresses([4]).fill([service("web")]))).toEqual([first[0]]);
  });

  test("are left alone where they are named, and for Services without one", () => {
    const filled = new ServiceAddresses([4]).fill([
      service("fixed", { clusterIP: "10.43.9.9" }),
      service("headless", { clusterIP: "None" }),
      service("away", { type: "ExternalName", externalName: "example.com" }),
    ]);
    const ipFamilies = ["IPv4"];
    expect(filled.map(({ spec }) => spec)).toEqual([
      { clusterIP: "10.43.9.9", clusterIPs: ["10.43.9.9"], ipFamilies },
      { clusterIP: "None", ipFamilies },
      { type: "ExternalName", externalName: "example.com" },
    ]);
  });

  test("make room for an address that a manifest names", () => {
    const addresses = new ServiceAddresses([4]);
    const [taken] = ips(addresses.fill([service("web")]));
    const filled = ips(
      new ServiceAddresses([4]).fill([service("web"), service("fixed", { clusterIP: taken })]),
    );
    expect(filled[1]).toBe(taken);
    expect(filled[0]).not.toBe(taken);
  });

  test("of two Services cannot be the same", () => {
    const both = [
      service("a", { clusterIP: "10.43.9.9" }),
      service("b", { clusterIP: "10.43.9.9" }),
    ];
    expect(() => new ServiceAddresses([4]).fill(both)).toThrow("belongs to another Service");
  });
});

describe("a Service's families", () => {
  const DUAL = "PreferDualStack";
  const REQUIRED = "RequireDualStack";

  function filled(spec: Record<string, unknown>, versions: readonly (4 | 6)[] = [4, 6]) {
    const [object] = new ServiceAddresses(versions).fill([service("web", spec)]);
    const { ipFamilies, clusterIP, clusterIPs } = object?.["spec"] as {
      ipFamilies: string[];
      clusterIP: string;
      clusterIPs: string[];
    };
    expect(clusterIP).toBe(clusterIPs[0] as string);
    const found: string[] = clusterIPs.map((ip) => ip.includes(":") ? "IPv6" : "IPv4");
    expect(found).toEqual(ipFamilies);
    expect(clusterIPs.every((ip) => /^(10\.43\.|fd6d:616c:6c61:43::)/.test(ip))).toBe(true);
    return ipFamilies.join(" ");
  }

  test.each([
    [{}, "IPv4"],
    [{ ipFamilyPolicy: "SingleStack" }, "IPv4"],
    [{ ipFamilies: ["IPv6"] }, "IPv6"],
    [{ ipFamilies: ["IPv6", "IPv4"] }, "IPv6 IPv4"],
    [{ ipFamilyPolicy: DUAL }, "IPv4 IPv6"],
    [{ ipFamilyPolicy: DUAL, ipFamilies: ["IPv6"] }, "IPv6 IPv4"],
    [{ ipFamilyPolicy: REQUIRED }, "IPv4 IPv6"],
    [{ clusterIP: "fd6d:616c:6c61:43::7" }, "IPv6"],
    [{ clusterIP: "10.43.0.7", ipFamilyPolicy: DUAL }, "IPv4 IPv6"],
    [{ clusterIPs: ["10.43.0.7", "fd6d:616c:6c61:43::7"] }, "IPv4 IPv6"],
  ])("%p in a mesh of both", (spec: Record<string, unknown>, families) => {
    expect(filled(spec)).toBe(families as string);
  });

  test.each([
    [{ ipFamilyPolicy: DUAL }],
    [{ ipFamilyPolicy: REQUIRED }],
    [{ ipFamilies: ["IPv6"] }],
    [{ ipFamilies: ["IPv6", "IPv4"] }],
  ])("%p in a mesh of IPv4 alone", (spec: Record<string, unknown>) => {
    expect(filled(spec, [4])).toBe("IPv4");
  });

  test.each([
    [{ ipFamilies: ["IPv5"] }, "spec.ipFamilies[0]"],
    [{ ipFamilies: ["IPv4", "IPv4"] }, "each family once"],
    [{ ipFamilyPolicy: "Both" }, "spec.ipFamilyPolicy"],
    [
      { ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4", "IPv6"] },
      "PreferDualStack or RequireDualStack",
    ],
  ])("%p is refused", (spec: Record<string, unknown>, message) => {
    expect(() => filled(spec)).toThrow(message as string);
  });

  test("the addresses of both are the same ones at each start", () => {
    const both = () => new ServiceAddresses([4, 6]).fill([service("a", { ipFamilyPolicy: DUAL })]);
    expect(both()).toEqual(both());
  });
});
