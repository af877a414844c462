/** The redirect's rules as text, and the choice of the firewall's programs. */

import { describe, expect, test } from "bun:test";
import { Fault } from "../base/fault.ts";
import { parseNetwork } from "../mesh/address.ts";
import type { CommandOutcome } from "./firewall.ts";
import { applyRedirect } from "./redirect-apply.ts";
import { type RedirectOptions, redirectRules } from "./redirect.ts";

const OPTIONS: RedirectOptions = {
  inboundPort: 4143,
  outboundPort: 4140,
  exemption: { kind: "uid", uid: 2102 },
  inboundSkip: [{ first: 4190, last: 4191 }],
  outboundSkip: [{ first: 25, last: 25 }],
  skipNetworks: [parseNetwork("10.9.0.0/16"), parseNetwork("fd00::/8")],
};

describe("rules", () => {
  test("the whole of them", () => {
    expect(redirectRules(OPTIONS, 4)).toBe(`*nat
:PROXY_INIT_REDIRECT - [0:0]
:PROXY_INIT_OUTPUT - [0:0]
-A PROXY_INIT_REDIRECT -s 10.9.0.0/16 -j RETURN
-A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190:4191 -j RETURN
-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-ports 4143
-A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN
-A PROXY_INIT_OUTPUT -o lo -j RETURN
-A PROXY_INIT_OUTPUT -d 10.9.0.0/16 -j RETURN
-A PROXY_INIT_OUTPUT -p tcp -m multiport --dports 25 -j RETURN
-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-ports 4140
-A PREROUTING -j PROXY_INIT_REDIRECT
-A OUTPUT -j PROXY_INIT_OUTPUT
COMMIT
`);
  });

  test("each IP version gets its own networks", () => {
    expect(redirectRules(OPTIONS, 6)).toContain("-d fd00::/8");
    expect(redirectRules(OPTIONS, 6)).not.toContain("10.9.0.0");
  });

  test("a mark or a group exempts the proxy", () => {
    const marked = redirectRules({ ...OPTIONS, exemption: { kind: "mark", mark: 77 } }, 4);
    expect(marked).toContain("-A PROXY_INIT_OUTPUT -m mark --mark 77 -j RETURN");
    expect(marked).not.toContain("owner");
    const exemption = { kind: "uid", uid: 2102, gid: 9 } as const;
    expect(redirectRules({ ...OPTIONS, exemption }, 4)).toContain(
      "-m owner --gid-owner 9 -j RETURN",
    );
  });

  test("jumps that are there already are not added again", () => {
    const current = "-A PREROUTING -j PROXY_INIT_REDIRECT\n-A OUTPUT -p tcp -j OTHER\n";
    const rules = redirectRules(OPTIONS, 4, current);
    expect(rules).not.toContain("-A PREROUTING");
    expect(rules).toContain("-A OUTPUT -j PROXY_INIT_OUTPUT");
  });

  test("no match has more than 15 ports, a range counting as two", () => {
    const outboundSkip = Array.from({ length: 20 }, (_, at) => ({
      first: 100 * (at + 1),
      last: 100 * (at + 1) + at % 2,
    }));
    const lists = [
      ...redirectRules({ ...OPTIONS, outboundSkip }, 4).matchAll(
        /PROXY_INIT_OUTPUT -p tcp -m multiport --dports (\S+)/g,
      ),
    ].map(([, ports = ""]) => ports);
    expect(lists.join(",").split(",")).toHaveLength(20);
    for (const ports of lists) expect(ports.split(/[,:]/).length).toBeLessThanOrEqual(15);
  });
});

/** Answers commands by their program; what is not listed is not installed. */
function machine(answers: Record<string, Partial<CommandOutcome>>) {
  const ran: { command: readonly string[]; input: string | undefined }[] = [];
  const run = (command: readonly string[], input?: string): Promise<CommandOutcome> => {
    ran.push({ command, input });
    const answer = answers[command[0] ?? ""];
    if (answer === undefined) return Promise.reject(new Fault("not_found", `no ${command[0]}`));
    return Promise.resolve({ code: 0, stdout: "", stderr: "", ...answer });
  };
  return { ran, run };
}

const BOTH = { ipv6: true, simulate: false };

describe("programs", () => {
  test("both versions are restored without flushing others' rules", async () => {
    const { ran, run } = machine({
      "iptables-save": {},
      "iptables-restore": {},
      "ip6tables-save": {},
      "ip6tables-restore": {},
    });
    const applied = await applyRedirect(OPTIONS, BOTH, {}, run);
    expect(applied.map(({ version, outcome }) => `${version} ${outcome}`)).toEqual([
      "4 applied",
      "6 applied",
    ]);
    const restores = ran.filter(({ input }) => input !== undefined);
    expect(restores.every(({ command }) => command.includes("--noflush"))).toBe(true);
  });

  test("a variant that cannot read the table is passed over", async () => {
    const { run } = machine({
      "iptables-save": { code: 1, stderr: "Failed to initialize nft: Protocol not supported" },
      "iptables-legacy-save": {},
      "iptables-legacy-restore": {},
    });
    const applied = await applyRedirect(OPTIONS, { ...BOTH, ipv6: false }, {}, run);
    expect(applied.map(({ program }) => program)).toEqual(["iptables-legacy"]);
  });

  test("the program that was named is the only one that is tried", async () => {
    const { ran, run } = machine({ "/x/iptables-nft-save": {}, "/x/iptables-nft-restore": {} });
    const programs = { firewall: "/x/iptables-nft" };
    const applied = await applyRedirect(OPTIONS, BOTH, programs, run);
    expect(applied[1]).toMatchObject({ program: "/x/ip6tables-nft", outcome: "skipped" });
    expect(ran.map(({ command }) => command[0])).toContain("/x/ip6tables-nft-save");
  });

  test("a kernel without IPv6 is told, not an error", async () => {
    const { run } = machine({
      "iptables-save": {},
      "iptables-restore": {},
      "ip6tables-save": { code: 3, stderr: "Table does not exist" },
    });
    const [, six] = await applyRedirect(OPTIONS, BOTH, {}, run);
    expect(six?.reason).toBe("this kernel or machine has no IPv6 NAT: Table does not exist");
  });

  test("nothing installed, and no right to use it: both say what to do", async () => {
    await expect(applyRedirect(OPTIONS, BOTH, {}, machine({}).run)).rejects.toThrow(
      "package iptables",
    );
    const denied = machine({ "iptables-save": { code: 4, stderr: "Permission denied" } });
    await expect(applyRedirect(OPTIONS, BOTH, {}, denied.run)).rejects.toThrow(
      "Cannot read the packet filter (iptables-save: Permission denied): it needs NET_ADMIN",
    );
  });

  test("a restore that fails is an error with its reason", async () => {
    const { run } = machine({
      "iptables-save": {},
      "iptables-restore": { code: 2, stderr: "unknown option --uid-owner" },
    });
    await expect(applyRedirect(OPTIONS, BOTH, {}, run)).rejects.toThrow(
      "unknown option --uid-owner",
    );
  });

  test("simulating writes nothing", async () => {
    const { ran, run } = machine({});
    const applied = await applyRedirect(OPTIONS, { ipv6: true, simulate: true }, {}, run);
    expect(applied.map(({ reason }) => reason)).toEqual(["simulated", "simulated"]);
    expect(ran.some(({ input }) => input !== undefined)).toBe(false);
  });
});
