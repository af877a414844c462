import { expect, test } from "bun:test";
import { identityName, parseIdentityName, spiffeUri } from "./identity.ts";

const identity = {
  serviceAccount: "web",
  namespace: "shop",
  controlPlaneNamespace: "malla",
  trustDomain: "cluster.local",
};

test("a name survives a round trip", () => {
  const name = "web.shop.serviceaccount.identity.malla.cluster.local";
  expect(identityName(identity)).toBe(name);
  expect(parseIdentityName(name)).toEqual(identity);
});

test("the SPIFFE URI names namespace and service account", () => {
  expect(spiffeUri(identity)).toBe("spiffe://cluster.local/ns/shop/sa/web");
});

test("what is not a workload's name is refused", () => {
  for (const name of ["", "web.shop", "Web.shop.serviceaccount.identity.malla.x", "a.b.c.d.e.f"]) {
    expect(() => parseIdentityName(name)).toThrow(`Cannot read identity "${name}"`);
  }
});
