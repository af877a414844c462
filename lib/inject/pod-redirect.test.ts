/** The annotation by which the injector tells the CNI plugin what to do. */

import { describe, expect, test } from "bun:test";
import { parseNetwork } from "../mesh/address.ts";
import { formatRedirect, parseRedirect, podRedirect, redirectOptions } from "./pod-redirect.ts";
import { DEFAULT_PROXY_CONFIG } from "./proxy-config.ts";

const CONFIG = {
  ...DEFAULT_PROXY_CONFIG,
  gid: 9,
  skipInboundPorts: [{ first: 25, last: 25 }],
  skipSubnets: [parseNetwork("10.1.0.0/16"), parseNetwork("fd00::1")],
  closeWaitSeconds: 60,
};

test("is read as it was written", () => {
  for (const redirect of [podRedirect(DEFAULT_PROXY_CONFIG, false), podRedirect(CONFIG, true)]) {
    expect(parseRedirect(formatRedirect(redirect))).toEqual(redirect);
  }
});

test("has the proxy's own ports, and exempts its user", () => {
  const redirect = podRedirect(CONFIG, true);
  expect(redirect.inboundSkip.map(({ first }) => first)).toEqual([4190, 4191, 25]);
  expect(redirectOptions(redirect)).toMatchObject({
    inboundPort: 4143,
    outboundPort: 4140,
    exemption: { kind: "uid", uid: 2102, gid: 9 },
  });
});

describe("what people write is refused", () => {
  const good = JSON.parse(formatRedirect(podRedirect(CONFIG, true))) as object;
  const rows: [string, unknown, RegExp][] = [
    ["text", "4143", /expected an object in JSON/],
    ["a list", [], /expected an object in JSON/],
    ["no port", { ...good, inboundPort: undefined }, /inboundPort is undefined: expected a number/],
    ["a port as text", { ...good, outboundPort: "4140" }, /outboundPort is "4140"/],
    ["root as the proxy", { ...good, uid: 0 }, /uid is 0: expected a number from 1/],
    ["half a port", { ...good, inboundPort: 1.5 }, /inboundPort is 1\.5/],
    ["no IPv6", { ...good, ipv6: "true" }, /ipv6 is "true": expected true or false/],
    ["odd ports", { ...good, inboundSkip: "80 -j ACCEPT" }, /Cannot read port "80 -j ACCEPT"/],
    ["ports as a number", { ...good, inboundSkip: 80 }, /inboundSkip is 80: expected a text/],
    [
      "rules",
      { ...good, skipNetworks: "10.0.0.0/8 -j ACCEPT\n-A OUTPUT" },
      /skipNetworks has "10\.0\.0\.0\/8 -j ACCEPT/,
    ],
    ["a line's end", { ...good, skipNetworks: "10.0.0.0/8\n" }, /expected networks/],
    ["no network", { ...good, skipNetworks: "10.0.0/8" }, /Cannot parse network/],
    ["a long wait", { ...good, closeWaitSeconds: 1e9 }, /closeWaitSeconds is 1000000000/],
  ];
  test.each(rows)("%s", (_title, value, message) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    expect(() => parseRedirect(text)).toThrow(message);
  });
});
