/** Which pods come again, and who is told why. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApi } from "../../test/support/fake-api.ts";
import { ManualClock } from "../../test/support/fake-control.ts";
import { KubeClient, type KubeObject } from "../source/kube/client.ts";
import type { EventText } from "../source/kube/events.ts";
import { Repair, type Verdict, verdictOn } from "./repair.ts";

const READY_MS = Date.parse("2026-01-01T12:00:00Z");
const PODS = "/api/v1/namespaces/shop/pods";

interface PodWish {
  readonly started?: string;
  readonly owned?: boolean;
  readonly deleted?: boolean;
  readonly statuses?: readonly object[];
}

const ENDED = { terminated: { exitCode: 1 } };
const VALIDATOR = { name: "linkerd-network-validator", ready: false };

function pod(wish: PodWish = {}): KubeObject {
  const { started = "2026-01-01T11:59:00Z", owned = true, deleted = false } = wish;
  const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "r" };
  return {
    metadata: {
      name: "web",
      namespace: "shop",
      uid: "u1",
      labels: { "linkerd.io/control-plane-ns": "malla" },
      ...owned ? { ownerReferences: [{ ...owner, controller: true }] } : {},
      ...deleted ? { deletionTimestamp: started } : {},
    },
    status: {
      phase: "Pending",
      startTime: started,
      initContainerStatuses: wish.statuses ?? [{ ...VALIDATOR, lastState: ENDED, state: {} }],
    },
  };
}

const rows: [string, PodWish, Verdict][] = [
  ["whose validator failed and is tried again", {}, "delete"],
  ["whose validator has just failed", { statuses: [{ ...VALIDATOR, state: ENDED }] }, "delete"],
  [
    "that came while runtimes read the configuration",
    { started: "2026-01-01T12:00:09Z" },
    "delete",
  ],
  ["that came when the plugin was there", { started: "2026-01-01T12:00:11Z" }, "bypassed"],
  ["that started nobody knows when", { started: "" }, "bypassed"],
  ["that nobody would make again", { owned: false }, "bare"],
  ["that is being deleted", { deleted: true }, "none"],
  ["whose validator runs", { statuses: [{ ...VALIDATOR, state: { running: {} } }] }, "none"],
  [
    "whose validator is content at last",
    { statuses: [{ ...VALIDATOR, ready: true, lastState: ENDED }] },
    "none",
  ],
  [
    "whose validator ended well",
    { statuses: [{ ...VALIDATOR, state: { terminated: { exitCode: 0 } } }] },
    "none",
  ],
  ["with another failure", { statuses: [{ name: "app", state: ENDED }] }, "none"],
];
test.each(rows)("a pod %s", (_title, wish, verdict) => {
  expect(verdictOn(pod(wish), READY_MS)).toBe(verdict);
});

test("a pod without a status", () => {
  const { status: _status, ...bare } = pod();
  expect(verdictOn(bare, READY_MS)).toBe("none");
});

let api = new FakeApi();
beforeEach(() => void (api = new FakeApi()));
afterEach(() => api.stop());

function repairOf(readySinceMs: () => number | undefined) {
  const url = `http://127.0.0.1:${api.port}`;
  const client = new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
  const told: string[] = [];
  const events: EventText[] = [];
  const repair = new Repair({
    client,
    clock: new ManualClock(),
    events: { record: (_key, _find, text) => void events.push(text) },
    node: "node1",
    readySinceMs,
    repaired: (namespace, name) => void told.push(`${namespace}/${name}`),
    failed: (reason) => void told.push(reason),
  });
  return { repair, told, events };
}

function putPod(one: KubeObject): void {
  const labelled = { ...one, metadata: { ...one.metadata, labels: one.metadata.labels ?? {} } };
  api.put(PODS, labelled);
  api.put("/api/v1/pods", labelled);
}

test("pods of this node that came too early are deleted, with a word", async () => {
  putPod(pod());
  const { repair, told, events } = repairOf(() => READY_MS);
  await repair.look();
  expect(told).toEqual(["shop/web"]);
  expect(events).toMatchObject([{ type: "Warning", reason: "RedirectRepaired" }]);
  const [list, deletion] = api.requests;
  expect(new URL(list?.path ?? "", "http://x").searchParams.get("fieldSelector")).toBe(
    "spec.nodeName=node1,status.phase=Pending",
  );
  expect(deletion).toMatchObject({
    method: "DELETE",
    path: `${PODS}/web`,
    body: { kind: "DeleteOptions", preconditions: { uid: "u1" } },
  });
  expect(api.object(PODS, "web")).toBeUndefined();
});

test("others are told of, and stay", async () => {
  putPod(pod({ owned: false }));
  const { repair, told, events } = repairOf(() => READY_MS);
  await repair.look();
  expect(told).toEqual([]);
  expect(events).toMatchObject([{ reason: "RedirectMissing" }]);
  expect(events[0]?.message).toContain("delete it and create it again");
  expect(api.object(PODS, "web")).toBeDefined();
});

test("nothing is done while the plugin is not there, and a cluster that refuses is told", async () => {
  putPod(pod());
  const early = repairOf(() => undefined);
  await early.repair.look();
  expect([early.told, api.requests]).toEqual([[], []]);
  api.forbid("/api/v1/pods", "pods is forbidden");
  const { repair, told } = repairOf(() => READY_MS);
  await repair.look();
  expect(told.join()).toContain("pods is forbidden");
});
