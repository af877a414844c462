/**
 * `malla init` in real network namespaces, with the machine's own iptables: what curl connects to is
 * where the proxy's ports are, and the kernel still knows where it was going.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorldAnswer } from "../support/network-world.ts";
import { MALLA } from "../support/malla.ts";
import { World } from "../support/world.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const SETUP_MS = 60_000;
const MARK = 77;
/** Rules can only name users that exist in the namespace; only root can have the machine's. */
const ROOT_USER = process.getuid?.() === 0;

/** Pod b has the redirect; a talks to it. Addresses as the laboratory gives them. */
const B4 = "10.42.1.2";
const A6 = "fd42::1";
const B6 = "fd42::2";

const folder = mkdtempSync(join(tmpdir(), "malla-redirect-"));
let world: World;
let started: World | undefined;
let hasIpv6 = false;

beforeAll(async () => {
  world = started = await World.start(folder, ROOT_USER);
  for (const [pod, ip] of [["a", A6], ["b", B6]] as const) {
    const added = await world.run(
      pod,
      "ip",
      "-6",
      "addr",
      "add",
      `${ip}/64`,
      "dev",
      "eth0",
      "nodad",
    );
    hasIpv6 = added.code === 0;
  }
  const six = hasIpv6 ? [`[${B6}]:4143`, "[::1]:4140", `[${B6}]:9000`] : [];
  const four = [`${B4}:4143`, "127.0.0.1:4140", `${B4}:9000`, `${B4}:9100`];
  const probe = [process.execPath, `${ROOT}test/support/redirect-probe.ts`, ...four, ...six];
  await world.ask({ kind: "start", pod: "b", command: probe });
  while ((await dial("b", B4, 9100)) === "") await Bun.sleep(50);
}, SETUP_MS);

afterAll(async () => {
  await started?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function init(...flags: string[]): Promise<WorldAnswer> {
  return world.run("b", ...MALLA, "init", ...flags);
}

const PORTS = ["--incoming-proxy-port=4143", "--outgoing-proxy-port=4140"];

/** What answers at an address: the port that took the connection, and where it was going. */
async function dial(pod: string, ip: string, port: number, ...wrap: string[]): Promise<string> {
  const host = ip.includes(":") ? `[${ip}]` : ip;
  const { stdout } = await world.run(
    pod,
    ...wrap,
    "curl",
    "-sS",
    "--http0.9",
    "--max-time",
    "5",
    `http://${host}:${port}/`,
  );
  return stdout.trim();
}

/** The tables without comments and counters. */
async function tables(): Promise<string> {
  const texts = await Promise.all(
    ["iptables-save", "ip6tables-save"].map(async (program) =>
      (await world.run("b", program, "-t", "nat")).stdout
    ),
  );
  return texts.join("").split("\n").filter((line) => !line.startsWith("#")).join("\n");
}

describe("the redirect", () => {
  test("says what it did, and a second run changes nothing", async () => {
    const flags = [...PORTS, `--proxy-mark=${MARK}`, "--inbound-ports-to-ignore=9100-9199"];
    const first = await init(...flags);
    expect(first.stderr).toContain("IPv4 redirect applied with iptables");
    expect(first.code).toBe(0);
    const before = await tables();
    expect(before).toContain("PROXY_INIT_REDIRECT");
    expect((await init(...flags)).code).toBe(0);
    expect(await tables()).toBe(before);
  });

  test("leaves the rules of others alone", async () => {
    await world.run("b", "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT");
    await init(...PORTS, `--proxy-mark=${MARK}`, "--inbound-ports-to-ignore=9100-9199");
    expect(await tables()).toContain("-A OUTPUT -p udp -j ACCEPT");
  });

  test("catches incoming connections to any port", async () => {
    expect(await dial("a", B4, 80)).toBe(`4143 ${B4}:80`);
    expect(await dial("a", B4, 9000)).toBe(`4143 ${B4}:9000`);
  });

  test("lets ignored ports through", async () => {
    expect(await dial("a", B4, 9100)).toStartWith("9100 ");
  });

  test("catches outgoing connections, also to where nobody is", async () => {
    expect(await dial("b", "10.42.1.1", 80)).toBe("4140 10.42.1.1:80");
    expect(await dial("b", "192.0.2.7", 443)).toBe("4140 192.0.2.7:443");
  });

  test("lets a pod talk to itself", async () => {
    expect(await dial("b", B4, 9000)).toStartWith("9000 ");
  });

  test("does the same for IPv6", async () => {
    if (!hasIpv6) return;
    expect(await dial("a", B6, 9000)).toBe(`4143 [${B6}]:9000`);
    expect(await dial("b", A6, 80)).toBe(`4140 [${A6}]:80`);
    expect(await dial("b", B6, 9000)).toStartWith("9000 ");
  });

  test("lets marked connections pass", async () => {
    const marked = "import socket,sys\n" +
      "s=socket.create_connection\n" +
      `c=socket.socket();c.setsockopt(socket.SOL_SOCKET,36,${MARK})\n` +
      "c.settimeout(5);c.connect(('10.42.1.1',80))";
    // Nobody listens there, and the proxy's port would have answered.
    expect((await world.run("b", "python3", "-c", marked)).stderr).toContain(
      "ConnectionRefusedError",
    );
  });

  test("exempts a user instead, when told to", async () => {
    if (!ROOT_USER) return;
    expect((await init(...PORTS, "--proxy-uid=2102")).code).toBe(0);
    const rules = await tables();
    expect(rules).toContain("--uid-owner 2102");
    expect(rules).not.toContain("--mark");
    // The ports that were ignored before are not any more: the rules are those of the last run.
    expect(await dial("a", B4, 9100)).toBe(`4143 ${B4}:9100`);
    const as = (uid: number) => ["setpriv", `--reuid=${uid}`, "--clear-groups"];
    expect(await dial("b", "10.42.1.1", 80, ...as(2102))).toBe("");
    expect(await dial("b", "10.42.1.1", 80, ...as(2103))).toBe("4140 10.42.1.1:80");
  });

  test("skips networks in both directions", async () => {
    await init(...PORTS, `--proxy-mark=${MARK}`, "--subnets-to-ignore=10.42.1.1/32");
    expect(await dial("a", B4, 9000)).toStartWith("9000 ");
    expect(await dial("b", "10.42.1.1", 80)).toBe("");
    expect(await dial("b", "192.0.2.7", 443)).toBe("4140 192.0.2.7:443");
  });
});

describe("wrong flags", () => {
  const rows: [string[], string][] = [
    [["--incoming-proxy-port=4143"], "--outgoing-proxy-port"],
    [[...PORTS, "--proxy-uid=0"], 'Cannot use "0" for --proxy-uid'],
    [[...PORTS], "give --proxy-uid or --proxy-mark"],
    [[...PORTS, "--proxy-uid=1", "--proxy-mark=2"], "give --proxy-uid or --proxy-mark"],
    [[...PORTS, "--proxy-uid=1", "--subnets-to-ignore=10/8"], "--subnets-to-ignore"],
  ];
  test.each(rows)("%p", async (flags, message) => {
    const { code, stderr } = await init(...flags);
    expect(stderr).toContain(message);
    expect(code).toBe(64);
  });
});
