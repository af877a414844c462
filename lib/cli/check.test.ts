/** The check engine, and every sentence of the checks of a machine and of a mesh. */

import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/fake-control.ts";
import { textTerminal } from "../../test/support/terminal.ts";
import { Fault } from "../base/fault.ts";
import { VERSION } from "../base/version.ts";
import { HttpRefusal } from "../host/http-json.ts";
import type { Health, PodHealth } from "../viz/health.ts";
import {
  type Check,
  checksJson,
  formatCategory,
  formatSummary,
  isPassed,
  type Outcome,
  PASSED,
  runChecks,
} from "./check.ts";
import { runCheck } from "./check-verb.ts";
import { type Machine, machineChecks } from "./check-machine.ts";
import { meshChecks } from "./check-mesh.ts";
import { createStyle } from "./style.ts";

const plain = createStyle(false);

/** Waits one period at a time, until the checks are over. */
async function inTime(clock: ManualClock, over: Promise<unknown>): Promise<void> {
  let isOver = false;
  over.finally(() => isOver = true).catch(() => {});
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, 0));
    clock.advance(1_000);
  }
}

describe("patience", () => {
  const rows: [string, Outcome["status"], number, number][] = [
    ["a failure is waited for to the end", "fail", 300_000, 301],
    ["a warning for half a minute", "warn", 300_000, 31],
    ["and no longer than people will", "warn", 5_000, 6],
  ];
  test.each(rows)("%s", async (_title, status, waitMs, tries) => {
    const clock = new ManualClock();
    let [ran, forgot] = [0, 0];
    const check = {
      name: "slow",
      retries: true,
      run: () => Promise.resolve({ status, message: `${++ran}` }),
    };
    const patience = { clock, waitMs, again: () => void forgot++ };
    const results = runChecks([{ name: "c", checks: [check] }], undefined, patience);
    await inTime(clock, results);
    expect([ran, forgot]).toEqual([tries, tries - 1]);
    expect((await results)[0]?.results[0]).toMatchObject({ status, message: `${tries}` });
  });

  test("what comes ends the wait, and other checks are asked once", async () => {
    const clock = new ManualClock();
    let [ran, once] = [0, 0];
    const checks: Check[] = [
      {
        name: "comes",
        retries: true,
        run: () => Promise.resolve(++ran < 3 ? { status: "fail" } : PASSED),
      },
      { name: "once", run: () => Promise.resolve({ status: "fail", message: `${++once}` }) },
    ];
    const patience = { clock, waitMs: 300_000, again() {} };
    await inTime(clock, runChecks([{ name: "c", checks }], undefined, patience));
    expect([ran, once]).toEqual([3, 1]);
  });

  test("a right that is missing is not waited for", async () => {
    const clock = new ManualClock();
    let ran = 0;
    const check: Check = {
      name: "asks",
      retries: true,
      run: () => {
        ran++;
        const refusal = 'User "eve" cannot get resource "namespaces" in API group ""';
        const cause = new HttpRefusal(403, refusal);
        return Promise.reject(new Fault("permission_denied", refusal, { cause }));
      },
    };
    const patience = { clock, waitMs: 300_000, again() {} };
    const results = await runChecks([{ name: "c", checks: [check] }], undefined, patience);
    expect([ran, results[0]?.results[0]?.hint]).toEqual([
      1,
      expect.stringContaining("--verb=get --resource=namespaces"),
    ]);
  });
});

describe("the verb's words", () => {
  const wrong: [string[], string][] = [
    [["nonsense"], 'Cannot check "nonsense": expected one of identity, controller, injector, viz'],
    [["identity", "--pre"], "Cannot check identity with --pre: give one of both"],
    [["identity", "--machine"], "Cannot check identity with --machine"],
    [["--wait", "soon"], "Expected a duration"],
  ];
  test.each(wrong)("%p ends with 64", async (words, message) => {
    const { terminal, out, err } = textTerminal();
    expect(await runCheck(words, terminal)).toBe(64);
    expect(out()).toBe("");
    expect(err()).toContain(message);
  });
});

describe("the engine", () => {
  const categories = [{
    name: "first",
    checks: [
      { name: "good", run: () => Promise.resolve(PASSED) },
      {
        name: "odd",
        run: () => Promise.resolve({ status: "warn", message: "a\nb", hint: "look" } as const),
      },
      { name: "basis", isBasis: true, run: () => Promise.reject(new Fault("unavailable", "gone")) },
      { name: "never", run: () => Promise.reject(new Error("must not run")) },
    ],
  }, { name: "second", checks: [{ name: "other", run: () => Promise.resolve(PASSED) }] }];

  test("runs in order, stops a category at a failed basis, and goes on with the next", async () => {
    const told: string[] = [];
    const results = await runChecks(categories, ({ name }) => void told.push(name));
    expect(told).toEqual(["first", "second"]);
    expect(results[0]?.results.map(({ status }) => status)).toEqual(["ok", "warn", "fail"]);
    expect(isPassed(results)).toBe(false);
    expect(isPassed(results.slice(1))).toBe(true);
    const text = results.map((result) => formatCategory(result, plain)).join("");
    expect(text + formatSummary(results, plain)).toBe(
      "first\n-----\n√ good\n‼ odd\n    a\n    b\n    → look\n× basis\n    gone\n\n" +
        "second\n------\n√ other\n\nStatus check results are ×\n",
    );
    expect(checksJson(results)).toEqual({
      success: false,
      categories: [
        {
          categoryName: "first",
          checks: [
            { description: "good", result: "success" },
            { description: "odd", result: "warning", error: "a\nb", hint: "look" },
            { description: "basis", result: "error", error: "gone" },
          ],
        },
        { categoryName: "second", checks: [{ description: "other", result: "success" }] },
      ],
    });
  });

  test("warnings pass", () => {
    const results = [{ name: "x", results: [{ name: "y", status: "warn" as const }] }];
    expect(isPassed(results)).toBe(true);
    expect(formatSummary(results, plain)).toBe("Status check results are ‼\n");
  });
});

describe("a machine", () => {
  /** A machine where all is well, but for what a test changes. */
  function machine(changes: Partial<Machine> = {}): Machine {
    return {
      isRoot: false,
      kernelSetting: () => Promise.resolve(undefined),
      hasProgram: () => true,
      inNamespaces: () => Promise.resolve({ code: 0, stderr: "" }),
      whyPortTaken: () => Promise.resolve(undefined),
      ...changes,
    };
  }

  async function lastOf(changes: Partial<Machine>) {
    const options = { machine: machine(changes), programs: { ip: "iproute2" }, ports: [8084] };
    const [category] = await runChecks([machineChecks(options)]);
    const failing = category?.results.find(({ status }) => status !== "ok");
    return { failing, count: category?.results.length };
  }

  test("that has everything passes all checks", async () => {
    expect(await lastOf({})).toEqual({ failing: undefined, count: 7 });
  });

  test.each([
    ["user.max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=10000"],
    ["kernel.unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"],
    [
      "kernel.apparmor_restrict_unprivileged_userns",
      "1",
      "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ],
  ])("%s = %s is named with how to change it", async (name, value, hint) => {
    const kernelSetting = (asked: string) => Promise.resolve(asked === name ? value : "1000");
    const { failing, count } = await lastOf({ kernelSetting });
    expect(failing?.status).toBe("fail");
    expect(failing?.message).toStartWith(`${name} is ${value}: `);
    expect(failing?.hint).toStartWith(hint);
    expect(count).toBe(1);
  });

  test("root is not bound by what binds others", async () => {
    const kernelSetting = (name: string) =>
      Promise.resolve(name.startsWith("kernel.app") ? "1" : "9");
    expect((await lastOf({ isRoot: true, kernelSetting })).failing).toBeUndefined();
  });

  test("a missing program is named with its package", async () => {
    const { failing } = await lastOf({ hasProgram: () => false });
    expect(failing?.message).toBe("ip is not in PATH, nor in the system's folders");
    expect(failing?.hint).toContain("sudo apt install iproute2");
  });

  test("namespaces that cannot be made stop what stands on them", async () => {
    const inNamespaces = () => Promise.resolve({ code: 1, stderr: "unshare: not permitted\n" });
    const { failing, count } = await lastOf({ inNamespaces });
    expect(failing?.message).toBe("unshare: not permitted");
    expect(count).toBe(3);
  });

  test("a packet filter without the target is told with what to load", async () => {
    const inNamespaces = (command: readonly string[]) =>
      Promise.resolve(
        command.join(" ").includes("REDIRECT")
          ? { code: 2, stderr: "No chain/target/match by that name" }
          : { code: 0, stderr: "" },
      );
    const { failing } = await lastOf({ inNamespaces });
    expect(failing?.name).toBe("redirects and marks work in a namespace");
    expect(failing?.hint).toContain("modprobe");
  });

  test("without IPv6 a mesh has IPv4 alone, which is told", async () => {
    const inNamespaces = (command: readonly string[]) =>
      Promise.resolve(
        command.join(" ").includes("ip6tables")
          ? { code: 1, stderr: "sh: cannot create /proc/sys/net/ipv6: Directory nonexistent" }
          : { code: 0, stderr: "" },
      );
    const { failing, count } = await lastOf({ inNamespaces });
    expect(failing).toMatchObject({ name: "IPv6 works in a namespace", status: "warn" });
    expect(failing?.hint).toStartWith("a mesh has IPv4 alone here");
    expect(count).toBe(7);
  });

  test("a taken port is a warning: another one will do", async () => {
    const { failing } = await lastOf({ whyPortTaken: () => Promise.resolve("in use") });
    expect(failing?.status).toBe("warn");
    expect(failing?.hint).toContain("--page-port");
  });
});

describe("a mesh", () => {
  const pod: PodHealth = {
    namespace: "shop",
    name: "web-1",
    meshed: true,
    podReady: true,
    proxyReady: true,
    message: "",
    certificateExpiresAtMs: 100_000_000,
  };
  const well: Health = {
    atMs: 1_000,
    components: [{ name: "identity", ready: true, message: "" }],
    pods: [pod, {
      ...pod,
      name: "plain",
      meshed: false,
      proxyReady: false,
      certificateExpiresAtMs: null,
    }],
    problems: [],
  };

  async function resultsOf(health: Partial<Health>, version = VERSION) {
    const ask = <T>(path: string) =>
      Promise.resolve((path === "/api/version" ? { version } : { ...well, ...health }) as T);
    const [category] = await runChecks([meshChecks(ask)]);
    return category?.results.filter(({ status }) => status !== "ok") ?? [];
  }

  test("that is well passes; a pod without a proxy is no fault", async () => {
    expect(await resultsOf({})).toEqual([]);
  });

  test.each([
    [
      { components: [{ name: "identity", ready: false, message: "gone" }] },
      "fail",
      "identity: gone",
    ],
    [{ pods: [{ ...pod, proxyReady: false, message: "503" }] }, "fail", "shop/web-1: 503"],
    [{ pods: [{ ...pod, certificateExpiresAtMs: 1_000 - 120_000 }] }, "fail", "ended 2 min ago"],
    [{ pods: [{ ...pod, certificateExpiresAtMs: 301_000 }] }, "warn", "ends 5 min from now"],
    [{ pods: [{ ...pod, podReady: false }] }, "warn", "not ready: shop/web-1"],
    [{ problems: ["web.yaml:3: odd"] }, "warn", "web.yaml:3: odd"],
  ] as [Partial<Health>, string, string][])("%#", async (health, status, message) => {
    const results = await resultsOf(health);
    expect(results).toHaveLength(1);
    expect(String(results[0]?.status)).toBe(status);
    expect(results[0]?.message).toContain(message);
    expect(results[0]?.hint?.length).toBeGreaterThan(20);
  });

  test("another version is told", async () => {
    expect((await resultsOf({}, "9.9.9"))[0]?.message).toContain("the mesh runs version 9.9.9");
  });

  test("a dashboard that does not answer ends the category", async () => {
    const ask = () => Promise.reject(new Fault("unavailable", "Cannot reach it"));
    const [category] = await runChecks([meshChecks(ask)]);
    expect(category?.results).toHaveLength(1);
    expect(category?.results[0]?.message).toBe("Cannot reach it");
  });
});
