/** The webhook: reviews in, answers out, and what it does when something is wrong. */

import { afterEach, describe, expect, test } from "bun:test";
import jsonpatch from "fast-json-patch";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeMaterials } from "../../test/support/certificates.ts";
import { Fault } from "../base/fault.ts";
import { ADMISSION_BYTES_MAX } from "../base/limits.ts";
import { systemClock } from "../host/clock.ts";
import { inClusterAccess } from "../source/kube/access.ts";
import { clusterNamespaces } from "./namespaces.ts";
import { controlServices, type InjectOptions } from "./options.ts";
import { DEFAULT_PROXY_CONFIG } from "./proxy-config.ts";
import { type Admission, webhookApp, type WebhookOptions } from "./webhook.ts";

const INJECT: InjectOptions = {
  version: "1.2.3",
  controlPlaneNamespace: "malla",
  clusterDomain: "cluster.local",
  trustDomain: "cluster.local",
  trustAnchors: "PEM",
  ...controlServices("malla", "cluster.local", "cluster.local"),
  clusterNetworks: "10.0.0.0/8",
  ipv6: false,
  injectByDefault: false,
  obeyLinkerd: true,
  proxy: DEFAULT_PROXY_CONFIG,
};

const NAMESPACE = {
  name: "shop",
  annotations: { "malla.dev/inject": "enabled", "config.linkerd.io/opaque-ports": "3306" },
};

const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { generateName: "web-5f6d-", labels: { app: "web" } },
  spec: { containers: [{ name: "app", image: "app" }] },
};

function review(object: unknown, kind = "Pod") {
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "u-1", kind: { version: "v1", kind }, namespace: "shop", object },
  };
}

/** What the webhook answers to a body, and what it told of it. */
async function send(body: unknown, options: Partial<WebhookOptions> = {}) {
  const admissions: Admission[] = [];
  const app = webhookApp({
    inject: INJECT,
    namespace: () => Promise.resolve(NAMESPACE),
    decided: (admission) => void admissions.push(admission),
    ...options,
  });
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const headers = { "content-length": `${text.length}` };
  const answer = await app.fetch(
    new Request("https://injector/", { method: "POST", body: text, headers }),
  );
  return { status: answer.status, text: await answer.text(), admissions };
}

interface Answer {
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly patchType?: string;
    readonly warnings?: readonly string[];
  };
}

describe("reviews", () => {
  test("a pod of a namespace that asks gets a proxy", async () => {
    const { text, admissions } = await send(review(POD));
    const { response } = JSON.parse(text) as Answer;
    expect(response).toMatchObject({ uid: "u-1", allowed: true, patchType: "JSONPatch" });
    const patch = JSON.parse(atob(response.patch ?? ""));
    const patched = jsonpatch.applyPatch(structuredClone(POD), patch).newDocument;
    expect(JSON.stringify(patched)).toContain('"name":"linkerd-proxy"');
    expect(admissions).toEqual([
      { resource: "pod", namespace: "shop", name: "web-5f6d-", outcome: "injected" },
    ]);
  });

  test("a pod that refuses is admitted as it is, without a word", async () => {
    const metadata = { ...POD.metadata, annotations: { "malla.dev/inject": "disabled" } };
    const { text, admissions } = await send(review({ ...POD, metadata }));
    expect((JSON.parse(text) as Answer).response).toEqual({ uid: "u-1", allowed: true });
    expect(admissions[0]).toMatchObject({ outcome: "skipped" });
  });

  test("a wrong annotation admits the pod and warns", async () => {
    const annotations = { "config.linkerd.io/proxy-uid": "zero" };
    const { text, admissions } = await send(review({
      ...POD,
      metadata: { ...POD.metadata, annotations },
    }));
    const { response } = JSON.parse(text) as Answer;
    expect(response.allowed).toBe(true);
    expect(response.patch).toBe(undefined);
    expect(response.warnings?.[0]).toStartWith(
      "not injected by Malla: Cannot use annotation config.linkerd.io/proxy-uid",
    );
    expect(admissions[0]).toMatchObject({ outcome: "failed" });
  });

  test("so does a namespace that nobody can tell of", async () => {
    const namespace = () => Promise.reject(new Fault("internal", `no answer ${"x".repeat(400)}`));
    const { response } = JSON.parse((await send(review(POD), { namespace })).text) as Answer;
    expect(response.allowed).toBe(true);
    expect(response.warnings?.[0]?.length).toBeLessThanOrEqual(250);
  });

  test("a service takes over its namespace's opaque ports", async () => {
    const service = { kind: "Service", metadata: { name: "db" }, spec: {} };
    const { response } = JSON.parse((await send(review(service, "Service"))).text) as Answer;
    expect(JSON.parse(atob(response.patch ?? ""))).toEqual([
      { op: "add", path: "/metadata/annotations", value: {} },
      { op: "add", path: "/metadata/annotations/config.linkerd.io~1opaque-ports", value: "3306" },
    ]);
  });

  test("other kinds are admitted", async () => {
    const { admissions, status } = await send(review({ kind: "Secret" }, "Secret"));
    expect(status).toBe(200);
    expect(admissions[0]).toMatchObject({ outcome: "skipped", reason: "a Secret is not injected" });
  });

  const wrong: [string, unknown][] = [
    ["no JSON", "{"],
    ["no review", {}],
    ["another version", { ...review(POD), apiVersion: "admission.k8s.io/v1beta1" }],
    ["no request", { ...review(POD), request: undefined }],
    ["a list", []],
  ];
  test.each(wrong)("%s is a bad request", async (_title, body) => {
    const { status, text } = await send(body);
    expect(status).toBe(400);
    expect(text).toContain("expected an AdmissionReview");
  });

  test("a body beyond all measure is not read", async () => {
    const { status } = await send("x".repeat(ADMISSION_BYTES_MAX + 1));
    expect(status).toBe(413);
  });
});

describe("namespaces of the cluster", () => {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
  });

  test("are asked of the API server, and kept for a moment", async () => {
    const folder = mkdtempSync(join(tmpdir(), "malla-account-"));
    closers.push(() => rmSync(folder, { recursive: true }));
    const made = makeMaterials(["localhost"]).get("localhost");
    const tls = { cert: made?.certificateChain ?? "", key: made?.privateKey ?? "" };
    writeFileSync(`${folder}/token`, "secret\n");
    writeFileSync(`${folder}/ca.crt`, made?.trustAnchors ?? "");
    const asked: string[] = [];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls,
      fetch(request) {
        asked.push(`${new URL(request.url).pathname} ${request.headers.get("authorization")}`);
        if (request.url.endsWith("/gone")) return new Response("{}", { status: 404 });
        return Response.json({ metadata: { name: "shop", annotations: { a: "b" } } });
      },
    });
    closers.push(() => server.stop(true));
    let nowMs = 0;
    const find = clusterNamespaces(
      inClusterAccess(
        { KUBERNETES_SERVICE_HOST: "localhost", KUBERNETES_SERVICE_PORT: `${server.port}` },
        folder,
      ),
      { ...systemClock, nowMs: () => nowMs },
    );
    expect(await find("shop")).toEqual({ name: "shop", annotations: { a: "b" } });
    await find("shop");
    expect(asked).toEqual(["/api/v1/namespaces/shop Bearer secret"]);
    nowMs += 10_000;
    await find("shop");
    expect(asked).toHaveLength(2);
    await expect(find("gone")).rejects.toThrow("Cannot ask https://localhost");
  });
});
