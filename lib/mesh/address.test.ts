import { describe, expect, test } from "bun:test";
import {
  formatAddress,
  ipBits,
  isIp,
  isLoopback,
  networkContains,
  parseAddress,
  parseNetwork,
} from "./address.ts";

describe("addresses", () => {
  test("IPv4 and IPv6 survive a round trip", () => {
    for (const text of ["10.0.0.1:80", "[::1]:65535", "[fd00::a:1]:0"]) {
      expect(formatAddress(parseAddress(text))).toBe(text);
    }
  });

  test("what is not an address is refused by name", () => {
    for (
      const text of ["localhost:80", "1.2.3:80", "1.2.3.4", "1.2.3.4:65536", "::1:80", "", ":80"]
    ) {
      expect(() => parseAddress(text)).toThrow(`Cannot parse address "${text}"`);
    }
  });

  test("IPv6 is read in all its forms", () => {
    expect(ipBits("::")).toBe(0n);
    expect(ipBits("::1")).toBe(1n);
    expect(ipBits("1::")).toBe(1n << 112n);
    expect(ipBits("::ffff:1.2.3.4")).toBe(0xffff01020304n);
    expect(isIp("1:2:3:4:5:6:7:8")).toBe(true);
    for (const text of ["1:2:3", "1::2::3", ":::", "1:2:3:4:5:6:7:8:9", "g::", "1.2.3.4.5"]) {
      expect(isIp(text)).toBe(false);
    }
  });

  test("loopback", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].every(isLoopback)).toBe(true);
    expect(["10.0.0.1", "::2", "128.0.0.1"].some(isLoopback)).toBe(false);
  });
});

describe("networks", () => {
  test("hold their addresses and no others", () => {
    const ten = parseNetwork("10.42.0.0/16");
    expect(networkContains(ten, "10.42.255.255")).toBe(true);
    expect(networkContains(ten, "10.43.0.0")).toBe(false);
    expect(networkContains(ten, "::ffff:10.42.0.1")).toBe(false);
    const six = parseNetwork("fd00::/8");
    expect(networkContains(six, "fdff::1")).toBe(true);
    expect(networkContains(six, "fe00::1")).toBe(false);
    expect(networkContains(parseNetwork("0.0.0.0/0"), "255.1.2.3")).toBe(true);
    expect(networkContains(parseNetwork("10.0.0.7"), "10.0.0.7")).toBe(true);
  });

  test("a wrong CIDR is refused by name", () => {
    for (
      const text of ["10.0.0.0/33", "fd00::/129", "10.0/8", "a/8", "10.0.0.0/-1", "10.0.0.0/x"]
    ) {
      expect(() => parseNetwork(text)).toThrow(`Cannot parse network "${text}"`);
    }
  });
});
