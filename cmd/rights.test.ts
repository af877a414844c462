/**
 * What each part of the control plane asks of the API server is granted by its roles, and its roles
 * grant nothing more: the modes run against a server that keeps what it is asked.
 */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterTokenReview, createTokenReviewer } from "../lib/identity/mod.ts";
import type { Component } from "../lib/install/names.ts";
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
async function expectLeast(component: Component, mode?: Mode): Promise<void> {
  const granted = grantedRights(OBJECTS, component);
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
