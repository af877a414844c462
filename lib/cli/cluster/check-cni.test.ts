/** The checks of the CNI plugin: all well, and one thing wrong at a time. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApi, type FakeObject } from "../../../test/support/fake-api.ts";
import { fakeInstallation } from "../../../test/support/fake-installation.ts";
import { VERSION } from "../../base/version.ts";
import { KubeClient } from "../../source/kube/client.ts";
import { cniManifests, readCniValues } from "../../install/cni.ts";
import { checksJson, runChecks } from "../check.ts";
import { cniChecks, type CniCheckWish } from "./check-cni.ts";
import { ClusterView } from "./view.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const DAEMON_SETS = "/apis/apps/v1/namespaces/linkerd-cni/daemonsets";
/** Where the objects of each kind are. */
const PLACES: Readonly<Record<string, string>> = {
  Namespace: "/api/v1/namespaces",
  ServiceAccount: "/api/v1/namespaces/linkerd-cni/serviceaccounts",
  ClusterRole: `${RBAC}/clusterroles`,
  ClusterRoleBinding: `${RBAC}/clusterrolebindings`,
  DaemonSet: DAEMON_SETS,
};
const READY = { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2 };

let api = new FakeApi();

beforeEach(async () => {
  api = new FakeApi();
  api.strict = true;
  await fakeInstallation(api, { cniEnabled: true });
  for (const object of cniManifests(readCniValues("test", []), "linkerd-cni")) {
    api.put(PLACES[object.kind] ?? "", object as FakeObject & typeof object);
  }
  progress(READY);
});

afterEach(() => api.stop());

/** How far the DaemonSet is, and the pods of it that are there. */
function progress(status: object, ...readiness: boolean[]): void {
  const object = api.object(DAEMON_SETS, "malla-cni") as FakeObject;
  api.put(DAEMON_SETS, { ...object, status } as FakeObject);
  for (const [index, isReady] of readiness.entries()) {
    const labels = { "app.kubernetes.io/name": "malla-cni" };
    api.put("/api/v1/namespaces/linkerd-cni/pods", {
      metadata: { name: `malla-cni-${index}`, labels },
      spec: { nodeName: `node${index}` },
      status: { conditions: [{ type: "Ready", status: isReady ? "True" : "False" }] },
    } as FakeObject);
  }
}

async function check(wish?: CniCheckWish) {
  const url = `http://127.0.0.1:${api.port}`;
  const client = new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
  return await runChecks(await cniChecks(new ClusterView(client, "malla"), wish));
}

async function complaints(wish?: CniCheckWish): Promise<string[]> {
  return (await check(wish)).flatMap(({ results }) =>
    results.filter(({ status }) => status !== "ok").map(({ name, message, hint }) =>
      `${name}: ${message} → ${hint}`
    )
  );
}

test("a plugin that is well passes, in the contract's category", async () => {
  expect(await complaints()).toEqual([]);
  const json = checksJson(await check()) as {
    success: boolean;
    categories: { categoryName: string; checks: { description: string; result: string }[] }[];
  };
  expect(json.success).toBe(true);
  expect(json.categories.map(({ categoryName }) => categoryName)).toEqual(["linkerd-cni-plugin"]);
  expect(json.categories[0]?.checks.map(({ description }) => description)).toEqual([
    "the CNI plugin's Namespace exists",
    "the CNI plugin's ServiceAccount exists",
    "the CNI plugin's ClusterRole exists",
    "the CNI plugin's ClusterRoleBinding exists",
    "the CNI plugin's DaemonSet exists",
    "the CNI plugin is ready on all nodes",
    `the CNI plugin is of version ${VERSION}`,
  ]);
});

test("nobody asks where no installation needs it, unless he is told to", async () => {
  await api.stop();
  api = new FakeApi();
  await fakeInstallation(api);
  expect(await check()).toEqual([]);
  expect((await complaints({ isWanted: true })).at(-1)).toMatch(
    /^the CNI plugin's DaemonSet exists: there is no DaemonSet malla-cni → malla install-cni \| kubectl/,
  );
  expect((await complaints({ isWanted: true, namespace: "nodes" }))[0]).toMatch(
    /there is no Namespace nodes → malla install-cni --cni-namespace nodes \| kubectl apply/,
  );
});

test.each(Object.entries(PLACES).filter(([kind]) => kind !== "Namespace"))(
  "a %s that somebody removed is told",
  async (kind, path) => {
    api.remove(path, "malla-cni");
    const [complaint] = await complaints();
    expect(complaint).toStartWith(`the CNI plugin's ${kind} exists: there is no ${kind} malla-cni`);
    expect(complaint).toContain("meshed pods do not start");
  },
);

test("nodes where it is not ready are told", async () => {
  progress({ ...READY, numberReady: 1 }, true, false);
  const [complaint] = await complaints();
  expect(complaint).toStartWith(
    "the CNI plugin is ready on all nodes: node1: malla-cni-1 is not ready → kubectl -n linkerd-cni",
  );
});

test.each([
  ["no node", { desiredNumberScheduled: 0 }, "0 of 0 nodes"],
  ["an update under way", { ...READY, updatedNumberScheduled: 1 }, "2 of 2 nodes"],
  ["nothing known yet", {}, "0 of 0 nodes"],
])("%s is not ready", async (_title, status, message) => {
  progress(status, true);
  expect((await complaints())[0]).toContain(`it is as it should be on ${message}`);
});

test("another version is a warning", async () => {
  const object = api.object(DAEMON_SETS, "malla-cni") as FakeObject;
  const labels = { "app.kubernetes.io/version": "0.0.9" };
  api.put(DAEMON_SETS, { ...object, metadata: { ...object.metadata, labels } });
  expect((await complaints()).join()).toContain("it is of version 0.0.9 → malla install-cni");
});
