/** What the injector waits for, against a small API server on loopback. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApi } from "../../test/support/fake-api.ts";
import { type Clock, systemClock } from "../host/clock.ts";
import { KubeClient } from "../source/kube/client.ts";
import { Readiness } from "./readiness.ts";
import { clusterSurroundings } from "./surroundings.ts";

const NAMESPACES = "/api/v1/namespaces";

let api = new FakeApi();
let readiness: Readiness;
let told: (string | undefined)[] = [];
/** Answers are not kept, and the next question comes at once. */
let nowMs = 0;
const hasty: Clock = {
  ...systemClock,
  monotonicMs: () => nowMs += 60_000,
  after: (_delayMs, call) => systemClock.after(1, call),
};

beforeEach(() => {
  api = new FakeApi();
  api.put(NAMESPACES, { metadata: { name: "malla" } });
  told = [];
  const server = `http://127.0.0.1:${api.port}`;
  const access = {
    server,
    target: (path: string) => Promise.resolve({ url: server + path, headers: {} }),
  };
  readiness = new Readiness({
    surroundings: clusterSurroundings({
      client: new KubeClient(access),
      clock: hasty,
      takeOverLinkerd: false,
      acceptUnserved: false,
    }),
    namespace: "malla",
    clock: hasty,
    changed: (missing) => void told.push(missing),
  });
});

afterEach(async () => {
  readiness.stop();
  await api.stop();
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

test("waits for the first answer, and then for nothing", async () => {
  expect(readiness.waitingFor()).toEqual(["the cluster's first answer"]);
  readiness.start();
  await until(() => readiness.waitingFor().length === 0);
  expect(told).toEqual([]);
});

test("is not ready without a right, says which, and is again when it has it", async () => {
  readiness.start();
  await until(() => readiness.waitingFor().length === 0);
  api.refusal = 403;
  await until(() => readiness.waitingFor().length > 0);
  expect(readiness.waitingFor()[0]).toMatch(
    /^the right to look around pods: Cannot ask \S+: the server answers 403 refused$/,
  );
  api.refusal = undefined;
  await until(() => readiness.waitingFor().length === 0);
  expect(told).toEqual([expect.stringContaining("403"), undefined]);
});

test("stays what it is while the cluster fails", async () => {
  readiness.start();
  await until(() => readiness.waitingFor().length === 0);
  api.refusal = 503;
  const asked = api.requests.length;
  await until(() => api.requests.length > asked + 10);
  expect(readiness.waitingFor()).toEqual([]);
  expect(told).toEqual([]);
});
