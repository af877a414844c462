/**
 * What each part of the control plane asks of the API server is granted by its roles, and its roles
 * grant nothing more: the modes run against a server that keeps what it is asked.
 */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterTokenReview, createTokenReviewer } from "../lib/identity/mod.ts";
import { cniManifests, readCniValues } from "../lib/install/cni.ts";
import { CNI, type Component } from "../lib/install/names.ts";
import { installObjects } from "../lib/install/objects.ts";
import { kubeconfigAccess } from "../lib/source/kube/access.ts";
import { UNSERVED_KINDS } from "../lib/source/kube/unserved.ts";
import { FakeApi } from "../test/support/fake-api.ts";
import { putManifest } from "../test/support/fake-installation.ts";
import { valuesOf } from "../test/support/install.ts";
import { freePorts, Mode, SOURCE, until } from "../test/support/malla.ts";
import { describeRight, grantedRights, type Right } from "../lib/install/rights.ts";
import { covers, rightOf } from "../test/support/rights.ts";

const OBJECTS = installObjects(valuesOf("default"), "malla");
const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/** Modes start from their source; a busy machine takes its time for that. */
const START_MS = 60_000;
const ANCHOR = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

let api = new FakeApi();
let folder = "";
const modes: Mode[] = [];

beforeEach(() => {
  api = new FakeApi();
  api.strict = true;
  folder = mkdtempSync(join(tmpdir(), "malla-rights-"));
  writeFileSync(`${folder}/kubeconfig`, api.kubeconfig({ token: "x" }));
  writeFileSync(`${folder}/ca.pem`, ANCHOR);
  for (const plural of ["namespaces", "pods", "services"]) prepare(`/api/v1/${plural}`);
  prepare("/apis/discovery.k8s.io/v1/endpointslices");
  prepare("/apis/apps/v1/replicasets");
  for (const object of OBJECTS) {
    if (["Lease", "Secret", "MutatingWebhookConfiguration"].includes(object.kind)) {
      putManifest(api, object);
    }
  }
});

afterEach(async () => {
  await Promise.all(modes.splice(0).map((mode) => mode.stop("SIGKILL")));
  await api.stop();
  rmSync(folder, { recursive: true });
});

/** A collection that the server knows, with nothing in it. */
function prepare(path: string): void {
  api.put(path, { metadata: { name: "x", namespace: "x" } }, true);
  api.remove(path, "x", true);
}

function start(mode: string, ...args: string[]): Mode {
  const words = [mode, "--source=kube", `--kubeconfig=${folder}/kubeconfig`, ...args];
  const started = new Mode(words, { HOSTNAME: "pod-1" }, SOURCE);
  modes.push(started);
  return started;
}

function asked(): Right[] {
  return api.requests.flatMap((request) => rightOf(request) ?? []);
}

/** Waits until every right was used, and then looks whether anything else was asked. */
async function expectLeast(
  component: Component | typeof CNI,
  mode?: Mode,
  objects = OBJECTS,
): Promise<void> {
  const granted = grantedRights(objects, component);
  const unused = () => granted.filter((right) => !asked().some((one) => covers(right, one)));
  await until(() => {
    if (unused().length === 0) return true;
    if (mode?.process.exitCode !== null && mode !== undefined) throw new Error(mode.output);
    return false;
  }).catch((cause) => {
    throw new Error(`never used: ${unused().map(describeRight).join(", ")}`, { cause });
  });
  const beyond = asked().filter((one) => !granted.some((right) => covers(right, one)));
  expect([...new Set(beyond.map(describeRight))]).toEqual([]);
}

test("the controller", async () => {
  for (const { group, versions, plural } of UNSERVED_KINDS) {
    prepare(`/apis/${group}/${versions[0]}/${plural}`);
  }
  prepare("/apis/linkerd.io/v1alpha2/serviceprofiles");
  const server = { metadata: { name: "web", namespace: "shop", uid: "s" }, spec: {} };
  api.put("/apis/policy.linkerd.io/v1beta3/servers", server);
  const [first, second, third] = await freePorts(3);
  const mode = start(
    "controller",
    ...["--plaintext", `--destination-listen=127.0.0.1:${first}`],
    ...[`--policy-listen=127.0.0.1:${second}`, `--admin-listen=127.0.0.1:${third}`],
    `--trust-anchors-file=${folder}/ca.pem`,
  );
  await expectLeast("malla-controller", mode);
}, START_MS);

test("the injector", async () => {
  prepare("/apis/policy.linkerd.io/v1beta3/namespaces/shop/servers");
  const namespace = { metadata: { name: "shop", annotations: { "malla.dev/inject": "enabled" } } };
  api.put("/api/v1/namespaces", namespace);
  const [port, admin] = await freePorts(2);
  const mode = start(
    "injector",
    ...[`--listen=127.0.0.1:${port}`, `--admin-listen=127.0.0.1:${admin}`],
    `--trust-anchors-file=${folder}/ca.pem`,
  );
  await mode.says("certified");
  const owners = [["ReplicaSet", "apps/v1"], ["Job", "batch/v1"]];
  for (const [kind = "", apiVersion = ""] of owners) await review(port ?? 0, kind, apiVersion);
  await expectLeast("malla-injector", mode);
}, START_MS);

/** Sends a pod for review, as the API server does that believes the webhook's caBundle. */
async function review(port: number, kind: string, apiVersion: string): Promise<void> {
  const configuration = () =>
    api.object(WEBHOOKS, "injector.malla.dev") as {
      webhooks: { clientConfig: { caBundle?: string } }[];
    };
  const bundle = () => configuration().webhooks[0]?.clientConfig.caBundle;
  await until(() => bundle() !== undefined);
  const owner = { apiVersion, kind, name: "owner", uid: kind, controller: true };
  const object = {
    metadata: { generateName: "p-", ownerReferences: [owner] },
    spec: { containers: [{ name: "app" }] },
  };
  const request = { uid: "1", kind: { kind: "Pod" }, namespace: "shop", object };
  const answer = await fetch(`https://127.0.0.1:${port}/`, {
    method: "POST",
    body: JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request }),
    tls: { ca: atob(bundle() ?? ""), serverName: "malla-injector.malla.svc" },
  });
  expect(await answer.json()).toMatchObject({
    response: { allowed: true, patchType: "JSONPatch" },
  });
}

test("the dashboard", async () => {
  const [first, second] = await freePorts(2);
  const listen = [`--api-listen=127.0.0.1:${first}`, `--page-listen=127.0.0.1:${second}`];
  const mode = start("viz", ...listen);
  await expectLeast("malla-viz", mode);
}, START_MS);

test("the CNI plugin", async () => {
  const net = `${folder}/net`;
  mkdirSync(net);
  const plugins = [{ type: "bridge" }];
  writeFileSync(`${net}/10.conflist`, JSON.stringify({ cniVersion: "1.0.0", plugins }));
  const pod = {
    metadata: {
      name: "early",
      namespace: "shop",
      uid: "u1",
      labels: { "linkerd.io/control-plane-ns": "malla" },
      ownerReferences: [{ controller: true }],
    },
    status: {
      startTime: "2026-01-01T00:00:00Z",
      initContainerStatuses: [
        { name: "linkerd-network-validator", state: { terminated: { exitCode: 1 } } },
      ],
    },
  };
  api.put("/api/v1/pods", pod);
  api.put("/api/v1/namespaces/shop/pods", pod);
  const [admin = 0] = await freePorts(1);
  const node = new Mode(
    [
      ...["cni-node", `--kubeconfig=${folder}/kubeconfig`, "--node-name=node1"],
      ...["--dest-cni-net-dir=/net", "--dest-cni-bin-dir=/bin", `--host-root=${folder}`],
      `--admin-listen=127.0.0.1:${admin}`,
    ],
    {},
    SOURCE,
  );
  modes.push(node);
  await node.says("deleted a pod that came before the plugin");
  expect(await (await fetch(`http://127.0.0.1:${admin}/ready`)).text()).toBe("ready\n");
  const configuration = JSON.parse(readFileSync(`${net}/10.conflist`, "utf8")) as {
    readonly plugins: readonly { readonly type: string; readonly kubeconfig?: string }[];
  };
  const entry = configuration.plugins.at(-1);
  const input = { ...entry, cniVersion: "1.0.0", prevResult: {} };
  const asked = await callPlugin({
    ...input,
    kubeconfig: `${folder}${entry?.kubeconfig}`,
  });
  expect(asked).toEqual({ cniVersion: "1.0.0" });
  const granted = cniManifests(readCniValues("test", []), "linkerd-cni");
  await expectLeast(CNI, node, granted);
  expect(await node.stop()).toBe(0);
  expect(JSON.parse(readFileSync(`${net}/10.conflist`, "utf8")).plugins).toEqual(plugins);
}, START_MS);

/** Calls the plugin for a pod, as a runtime does. */
async function callPlugin(input: object): Promise<unknown> {
  const plugin = Bun.spawn([...SOURCE], {
    env: {
      PATH: process.env["PATH"] ?? "",
      CNI_COMMAND: "ADD",
      CNI_NETNS: "/nowhere",
      CNI_ARGS: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=other",
    },
    stdin: new Blob([JSON.stringify(input)]),
    stdout: "pipe",
  });
  return JSON.parse(await new Response(plugin.stdout).text()) as unknown;
}

test("the identity service", async () => {
  api.reviews.set("/apis/authentication.k8s.io/v1/tokenreviews", () => ({
    status: {
      authenticated: true,
      audiences: ["identity.l5d.io"],
      user: { username: "system:serviceaccount:shop:web" },
    },
  }));
  const access = await kubeconfigAccess(`${folder}/kubeconfig`);
  expect(await createTokenReviewer(clusterTokenReview(access)).review("token")).toEqual({
    namespace: "shop",
    serviceAccount: "web",
  });
  await expectLeast("malla-identity");
});

test("a right too many or too few is noticed", () => {
  const right = { verb: "get", group: "", resource: "secrets", name: "a", namespace: "malla" };
  expect(covers(right, right)).toBe(true);
  expect(covers({ ...right, name: "" }, right)).toBe(true);
  expect(covers(right, { ...right, name: "b" })).toBe(false);
  expect(covers(right, { ...right, namespace: "other" })).toBe(false);
  expect(covers({ ...right, verb: "list" }, right)).toBe(false);
  expect(grantedRights(OBJECTS, "malla-injector").map(describeRight)).toContain(
    "update secrets/malla-injector-authority in malla",
  );
});
