import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApi } from "../../test/support/fake-api.ts";
import { ManualClock } from "../../test/support/fake-control.ts";
import { until } from "../../test/support/malla.ts";
import { service, serviceProfile } from "../../test/support/objects.ts";
import { KubeClient } from "../source/kube/client.ts";
import { EventRecorder } from "../source/kube/events.ts";
import { ConfigurationProblems } from "./configuration-problems.ts";
import { ProblemReport } from "./problem-report.ts";

let api = new FakeApi();

beforeEach(() => void (api = new FakeApi()));
afterEach(() => api.stop());

const web = (limit: string) =>
  service("shop/web", [80], {}, {
    "retry.linkerd.io/http": "5xx",
    "retry.linkerd.io/limit": limit,
  });
const wrongProfile = serviceProfile("shop/web.shop.svc.cluster.local", {
  routes: [{ name: "x", condition: { pathRegex: "/(" } }],
}, { uid: "u1" });

test("each wrong annotation is told once, and again when it is wrong in another way", () => {
  const told: string[] = [];
  const problems = new ConfigurationProblems((object, problem) =>
    told.push(`${object}: ${problem}`)
  );
  problems.applied(web("many"));
  problems.applied(web("many"));
  expect(told).toHaveLength(1);
  expect(told[0]).toStartWith('Service shop/web: Annotation retry.linkerd.io/limit is "many"');
  problems.applied(web("more"));
  problems.applied(web("2"));
  expect(told).toHaveLength(2);
  problems.applied(web("many"));
  problems.deleted({ kind: "Service", namespace: "shop", name: "web" });
  problems.applied(web("many"));
  expect(told).toHaveLength(4);
});

test("a ServiceProfile's wrong route is told as well", () => {
  const told: string[] = [];
  const problems = new ConfigurationProblems((object, problem) =>
    told.push(`${object}: ${problem}`)
  );
  problems.applied(wrongProfile);
  expect(told).toHaveLength(1);
  expect(told[0]).toStartWith("ServiceProfile shop/web.shop.svc.cluster.local: spec.routes[0]");
});

test("whoever leads writes an event at each object, once while it stays so", async () => {
  const url = `http://127.0.0.1:${api.port}`;
  const client = new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
  const clock = new ManualClock();
  const source = { component: "malla-controller", instance: "pod-1" };
  const problems = new ConfigurationProblems(() => {});
  let isLeader = false;
  const report = new ProblemReport({
    clock,
    recorder: new EventRecorder(client, clock, source, () => {}),
    leads: () => isLeader,
    problems: () => problems.all(),
  });
  const events = () =>
    api.requests.filter(({ method, path }) => method === "POST" && path.includes("/events"))
      .map(({ body }) => body as { message: string; involvedObject: object; reason: string });
  problems.applied(web("many"));
  problems.applied(wrongProfile);
  report.start();
  clock.advance(60_000);
  isLeader = true;
  report.look();
  clock.advance(60_000);
  await until(() => events().length >= 2);
  expect(events().map(({ reason }) => reason)).toEqual(Array(2).fill("InvalidConfiguration"));
  expect(events()[0]).toMatchObject({
    type: "Warning",
    involvedObject: { apiVersion: "v1", kind: "Service", namespace: "shop", name: "web" },
  });
  expect(events()[1]).toMatchObject({
    involvedObject: { apiVersion: "linkerd.io/v1alpha2", kind: "ServiceProfile", uid: "u1" },
  });
  expect(events()[0]?.message).toContain("retry.linkerd.io/limit");
  problems.applied(web("2"));
  problems.deleted({
    kind: "ServiceProfile",
    namespace: "shop",
    name: "web.shop.svc.cluster.local",
  });
  clock.advance(3_600_000);
  expect(problems.all()).toEqual([]);
  expect(events()).toHaveLength(2);
  report.stop();
  expect(clock.pending).toBe(0);
});
