/** Names and ports as proxies and annotations write them. */

import { describe, expect, test } from "bun:test";
import { addressIn, parseAsker, parseServiceAuthority } from "./authority.ts";

describe("a service's authority", () => {
  test.each([
    ["web.shop.svc.cluster.local:80", { namespace: "shop", service: "web", port: 80 }],
    ["web.shop.svc.cluster.local.:81", { namespace: "shop", service: "web", port: 81 }],
    ["web.shop.svc.cluster.local", { namespace: "shop", service: "web", port: 80 }],
    ["Web.Shop.SVC.cluster.local:80", { namespace: "shop", service: "web", port: 80 }],
    [
      "db-0.db.shop.svc.cluster.local:5432",
      { namespace: "shop", service: "db", hostname: "db-0", port: 5432 },
    ],
  ])("%s", (text, target) => {
    expect(parseServiceAuthority(text, "cluster.local") as unknown).toEqual(target);
  });

  test.each([
    [""],
    [":80"],
    ["svc.cluster.local:80"],
    ["web.svc.cluster.local:80"],
    ["web.shop.svc.cluster.local:0"],
    ["web.shop.svc.cluster.local:65536"],
    ["web.shop.svc.cluster.local:http"],
    ["web.shop.svc.other.local:80"],
    ["web..svc.cluster.local:80"],
    ["-web.shop.svc.cluster.local:80"],
    ["a.b.c.d.svc.cluster.local:80"],
    ["web.shop.svcXcluster.local:80"],
    ["web.shop.svc.cluster.local:80:80"],
  ])("%p is none", (text) => {
    expect(() => parseServiceAuthority(text, "cluster.local")).toThrow(
      `Cannot resolve "${text}": expected <service>.<namespace>.svc.cluster.local:<port>`,
    );
  });
});

test.each([
  ["10.0.0.1:80", { ip: "10.0.0.1", port: 80 }],
  ["[fd00::1]:81", { ip: "fd00::1", port: 81 }],
  ["10.0.0.1", { ip: "10.0.0.1", port: 80 }],
  ["web.shop.svc.cluster.local:80", undefined],
  ["10.example.com:80", undefined],
])("the address in %s", (text, address) => {
  expect(addressIn(text) as unknown).toEqual(address);
});

test.each([
  [`{"ns":"shop","pod":"web-1","nodeName":"n1"}`, "shop", "web-1", "n1"],
  [`{"ns":"shop","pod":7}`, "shop", "", ""],
  ["shop:web-1", "shop", "web-1", ""],
  ["", "", "", ""],
  ["{broken", "", "", ""],
  ["null", "", "", ""],
  ["[1]", "", "", ""],
])("the asker in %s", (text, namespace, name, nodeName) => {
  expect(parseAsker(text)).toEqual({ namespace, name, nodeName });
});
