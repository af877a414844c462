/** Names and addresses that the mesh gives. */

import { describe, expect, test } from "bun:test";
import { AddressPool, canonical, templateHash } from "./names.ts";
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
    const [one, other] = [new AddressPool("10.42"), new AddressPool("10.42")];
    other.take("unrelated");
    expect(one.take("shop/web")).toBe(other.take("shop/web"));
    expect(one.take("shop/web")).toBe(one.take("shop/web"));
  });

  test("never collide, never are the gateway's, and are given again after release", () => {
    const pool = new AddressPool("10.42");
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
    const addresses = new ServiceAddresses();
    const first = ips(addresses.fill([service("web"), service("db")]));
    expect(first[0]).toMatch(/^10\.43\./);
    expect(ips(addresses.fill([service("db"), service("web")]))).toEqual([first[1], first[0]]);
    expect(ips(new ServiceAddresses().fill([service("web")]))).toEqual([first[0]]);
  });

  test("are left alone where they are named, and for Services without one", () => {
    const addresses = new ServiceAddresses();
    const given = [
      service("fixed", { clusterIP: "10.43.9.9" }),
      service("headless", { clusterIP: "None" }),
      service("away", { type: "ExternalName", externalName: "example.com" }),
    ];
    expect(addresses.fill(given)).toEqual(given);
  });

  test("make room for an address that a manifest names", () => {
    const addresses = new ServiceAddresses();
    const [taken] = ips(addresses.fill([service("web")]));
    const filled = ips(
      new ServiceAddresses().fill([service("web"), service("fixed", { clusterIP: taken })]),
    );
    expect(filled[1]).toBe(taken);
    expect(filled[0]).not.toBe(taken);
  });

  test("of two Services cannot be the same", () => {
    const both = [
      service("a", { clusterIP: "10.43.9.9" }),
      service("b", { clusterIP: "10.43.9.9" }),
    ];
    expect(() => new ServiceAddresses().fill(both)).toThrow("belongs to another Service");
  });
});
