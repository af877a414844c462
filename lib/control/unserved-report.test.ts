/** What users are told of objects that are not served. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApi } from "../../test/support/fake-api.ts";
import { ManualClock } from "../../test/support/fake-control.ts";
import { until } from "../../test/support/malla.ts";
import { KubeClient } from "../source/kube/client.ts";
import { EventRecorder } from "../source/kube/events.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { UnservedReport } from "./unserved-report.ts";

let api = new FakeApi();

beforeEach(() => {
  api = new FakeApi();
  api.strict = true;
});

afterEach(() => api.stop());

function reportOf(accepted: boolean, leads = () => true) {
  const url = `http://127.0.0.1:${api.port}`;
  const client = new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
  const clock = new ManualClock();
  const warned: unknown[] = [];
  const counts: Record<string, number>[] = [];
  const source = { component: "malla-controller", instance: "pod-1" };
  const report = new UnservedReport({
    client,
    clock,
    log: { ...silentLogger, warn: (_message, fields) => void warned.push(fields) },
    recorder: new EventRecorder(client, clock, source, () => {}),
    leads,
    accepted,
    counted: (kinds) => void counts.push(Object.fromEntries(kinds)),
  });
  return { report, clock, warned, counts };
}

function events(): unknown[] {
  return api.requests.filter(({ method }) => method === "POST").map(({ body }) => body);
}

function put(group: string, plural: string, name: string, spec: unknown = {}): void {
  const metadata = { name, namespace: "shop", uid: `uid-${name}` };
  const object = { metadata, spec };
  api.put(`/apis/${group}/${plural}`, object);
}

test("each object has an event and a line, once; routes of an ingress have none", async () => {
  put("policy.linkerd.io/v1beta1", "servers", "web");
  put("policy.linkerd.io/v1alpha1", "authorizationpolicies", "only-me");
  const parent = (kind: string) => ({ parentRefs: [{ kind, name: "x" }] });
  put("gateway.networking.k8s.io/v1", "httproutes", "mesh", parent("Service"));
  put("gateway.networking.k8s.io/v1", "httproutes", "ingress", parent("Gateway"));
  const { report, clock, warned, counts } = reportOf(false);
  report.start();
  await until(() => events().length === 3);
  expect(counts[0]).toEqual({ Server: 1, AuthorizationPolicy: 1, HTTPRoute: 1 });
  clock.advance(15_000);
  await until(() => counts.length === 2);
  report.stop();
  expect(warned).toHaveLength(3);
  expect(events()).toHaveLength(3);
  expect(events()).toContainEqual(expect.objectContaining({
    type: "Warning",
    reason: "NotServed",
    message: "Malla does not serve Server (policy.linkerd.io) yet: " +
      "the pods that it selects refuse all clients",
    involvedObject: {
      apiVersion: "policy.linkerd.io/v1beta1",
      kind: "Server",
      name: "web",
      namespace: "shop",
      uid: "uid-web",
    },
  }));
  expect(events()).toContainEqual(expect.objectContaining({
    message: "Malla does not serve HTTPRoute (gateway.networking.k8s.io) yet: it has no effect",
  }));
});

test.each([
  ["Deny", "pods still reach everything that it denies"],
  ["Allow", "it admits nobody, and restricts nobody"],
])("an EgressNetwork that says %s", async (trafficPolicy, meaning) => {
  put("policy.linkerd.io/v1alpha1", "egressnetworks", "out", { trafficPolicy });
  const { report } = reportOf(false);
  report.start();
  await until(() => events().length === 1);
  report.stop();
  expect(events()).toEqual([expect.objectContaining({
    message: `Malla does not serve EgressNetwork (policy.linkerd.io) yet: ${meaning}`,
  })]);
});

test("only the leader tells, and what is accepted is called without effect", async () => {
  put("policy.linkerd.io/v1beta3", "servers", "web");
  let leads = false;
  const { report, warned } = reportOf(true, () => leads);
  report.start();
  expect(api.requests).toEqual([]);
  leads = true;
  report.look();
  await until(() => events().length === 1);
  report.stop();
  expect(warned).toEqual([{
    object: "Server shop/web",
    message: "Malla does not serve Server (policy.linkerd.io) yet: it has no effect",
  }]);
});
