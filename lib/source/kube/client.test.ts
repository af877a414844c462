/** Single questions to an API server, kubeconfigs, and the election of a leader. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeApi } from "../../../test/support/fake-api.ts";
import { ManualClock } from "../../../test/support/fake-control.ts";
import { kubeconfigAccess } from "./access.ts";
import { isConflict, KubeClient } from "./client.ts";
import { Leadership } from "./lease.ts";

const MAPS = "/api/v1/namespaces/malla/configmaps";
const LEASES = "/apis/coordination.k8s.io/v1/namespaces/malla/leases";

let api = new FakeApi();
const ends: (() => unknown)[] = [];

beforeEach(() => {
  api = new FakeApi();
});

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await api.stop();
});

function clientOf(server: FakeApi): KubeClient {
  const url = `http://127.0.0.1:${server.port}`;
  return new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
}

describe("a client", () => {
  test("gets, creates, replaces and patches", async () => {
    const client = clientOf(api);
    expect(await client.get(`${MAPS}/a`)).toBe(undefined);
    const made = await client.create(MAPS, { metadata: { name: "a" }, data: { x: "1" } });
    expect(made.metadata.resourceVersion).toBe("101");
    await client.patch(`${MAPS}/a`, [{ op: "add", path: "/data/y", value: "2" }]);
    expect(await client.get(`${MAPS}/a`)).toMatchObject({ data: { x: "1", y: "2" } });
    const late = client.replace(`${MAPS}/a`, { ...made, data: {} });
    expect(isConflict(await late.catch((thrown: unknown) => thrown))).toBe(true);
    const twice = client.create(MAPS, { metadata: { name: "a" } });
    await expect(twice).rejects.toMatchObject({ code: "already_exists" });
  });

  test("lists in pages, and tells an unknown collection from an empty one", async () => {
    for (let index = 0; index < 700; index++) {
      api.put(MAPS, { metadata: { name: `m${index}` } });
    }
    expect(await clientOf(api).list(MAPS)).toHaveLength(700);
    expect(api.requests).toHaveLength(2);
    api.strict = true;
    expect(await clientOf(api).list("/apis/unknown.dev/v1/things")).toBe(undefined);
  });

  test("gives the server's own words when it refuses", async () => {
    api.refusal = 403;
    await expect(clientOf(api).get(`${MAPS}/a`)).rejects.toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining("the server answers 403 refused"),
    });
  });
});

describe("kubeconfigs", () => {
  test("are put together, with another context, server and user", async () => {
    const folder = mkdtempSync(join(tmpdir(), "malla-kubeconfig-"));
    ends.push(() => rmSync(folder, { recursive: true }));
    const one = join(folder, "one");
    const two = join(folder, "two");
    writeFileSync(one, api.kubeconfig({ token: "one" }));
    writeFileSync(
      two,
      api.kubeconfig({ token: "two" }).replaceAll('"c"', '"d"').replaceAll('"u"', '"w"')
        .replaceAll('"here"', '"there"'),
    );
    const here = await kubeconfigAccess(`${one}:${two}`);
    expect((await here.target("/")).headers).toEqual({ Authorization: "Bearer one" });
    const there = await kubeconfigAccess(`${one}:${two}`, {
      context: "there",
      server: "http://other:1/",
      as: "ann",
      asGroup: "people",
    });
    expect(await there.target("/x")).toMatchObject({
      url: "http://other:1/x",
      headers: {
        Authorization: "Bearer two",
        "impersonate-user": "ann",
        "impersonate-group": "people",
      },
    });
    await expect(kubeconfigAccess(one, { context: "none" })).rejects.toThrow(
      'its chosen context "none" names no cluster',
    );
  });
});

describe("leadership", () => {
  function member(clock: ManualClock, holder: string, server = api) {
    const told: boolean[] = [];
    const failures: string[] = [];
    const leadership = new Leadership({
      client: clientOf(server),
      clock,
      namespace: "malla",
      lease: "injector",
      holder,
      changed: (leads) => void told.push(leads),
      failed: (reason) => void failures.push(reason),
    });
    ends.push(() => leadership.stop());
    return { leadership, told, failures };
  }

  async function settled(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  test("is taken when nobody has it, and passes on when its holder stops", async () => {
    api.put(LEASES, { metadata: { name: "injector" } });
    const clock = new ManualClock();
    const first = member(clock, "pod-1");
    first.leadership.start();
    await settled(() => first.told.length === 1);
    const second = member(clock, "pod-2");
    second.leadership.start();
    await settled(() => api.requests.filter(({ method }) => method === "GET").length >= 2);
    expect([first.leadership.leads(), second.leadership.leads()]).toEqual([true, false]);
    await first.leadership.stop();
    expect(first.told).toEqual([true, false]);
    clock.advance(5_000);
    await settled(() => second.told.length === 1);
    expect(api.object(LEASES, "injector")).toMatchObject({
      spec: { holderIdentity: "pod-2", leaseTransitions: 3, leaseDurationSeconds: 15 },
    });
  });

  test("of a holder that is gone is taken over after its duration, not before", async () => {
    const held = { metadata: { name: "injector" }, spec: { holderIdentity: "gone" } };
    api.put(LEASES, held);
    const clock = new ManualClock();
    const heir = member(clock, "pod-2");
    heir.leadership.start();
    const beganMs = clock.monotonicMs();
    while (heir.told.length === 0) {
      clock.advance(500);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(clock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(15_000);
    expect(api.object(LEASES, "injector")).toMatchObject({ spec: { holderIdentity: "pod-2" } });
  });

  test("ends before another may begin when the server is gone, and the reason is told", async () => {
    api.put(LEASES, { metadata: { name: "injector" } });
    const clock = new ManualClock();
    const only = member(clock, "pod-1");
    only.leadership.start();
    await settled(() => only.leadership.leads());
    api.refusal = 500;
    clock.advance(5_000);
    await settled(() => only.failures.length === 1);
    expect(only.leadership.leads()).toBe(true);
    clock.advance(5_000);
    expect(only.leadership.leads()).toBe(false);
    expect(only.told).toEqual([true, false]);
    // The step of now is told of by its answer alone: the reason is the same.
    await settled(() => api.requests.length === 4);
    expect(only.failures).toHaveLength(1);
    api.refusal = undefined;
    // A step that still waits for its answer lets the next one pass.
    await settled(() => {
      clock.advance(5_000);
      return only.leadership.leads();
    });
  });

  test("of a Lease that nobody made is told", async () => {
    const clock = new ManualClock();
    const only = member(clock, "pod-1");
    only.leadership.start();
    await settled(() => only.failures.length > 0);
    expect(only.failures[0]).toContain('there is no Lease "injector" in namespace "malla"');
  });
});
