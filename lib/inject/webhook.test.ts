/** The webhook: reviews in, answers out, and what it does when something is wrong. */

import { describe, expect, test } from "bun:test";
import jsonpatch from "fast-json-patch";
import { Fault } from "../base/fault.ts";
import { ADMISSION_BYTES_MAX } from "../base/limits.ts";
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
    surroundings: () => Promise.resolve({ namespace: NAMESPACE, obeyLinkerd: true }),
    onInvalid: "refuse",
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
    expect(admissions).toEqual([{
      resource: "pod",
      namespace: "shop",
      name: "web-5f6d-",
      outcome: "injected",
      asked: true,
      dryRun: false,
    }]);
  });

  test("a pod that refuses is admitted as it is, without a word", async () => {
    const metadata = { ...POD.metadata, annotations: { "malla.dev/inject": "disabled" } };
    const { text, admissions } = await send(review({ ...POD, metadata }));
    expect((JSON.parse(text) as Answer).response).toEqual({ uid: "u-1", allowed: true });
    expect(admissions[0]).toMatchObject({ outcome: "skipped" });
  });

  const annotations = { "config.linkerd.io/proxy-uid": "zero" };
  const WRONG = { ...POD, metadata: { ...POD.metadata, annotations } };

  test("a wrong annotation refuses the pod and says what is wrong", async () => {
    const { text, admissions } = await send(review(WRONG));
    expect(JSON.parse(text).response).toEqual({
      uid: "u-1",
      allowed: false,
      status: {
        code: 400,
        message: "Cannot use annotation config.linkerd.io/proxy-uid of pod web-5f6d-: " +
          'expected a whole number from 1 to 4294967294, got "zero"',
      },
    });
    expect(admissions[0]).toMatchObject({ outcome: "refused" });
  });

  test("or admits it with a warning, where that is the policy", async () => {
    const { text, admissions } = await send(review(WRONG), { onInvalid: "admit" });
    const { response } = JSON.parse(text) as Answer;
    expect(response.allowed).toBe(true);
    expect(response.patch).toBe(undefined);
    expect(response.warnings?.[0]).toStartWith(
      "not injected by Malla: Cannot use annotation config.linkerd.io/proxy-uid",
    );
    expect(admissions[0]).toMatchObject({ outcome: "skipped", asked: true });
  });

  test("without the surroundings there is no answer: the failure policy decides", async () => {
    const surroundings = () => Promise.reject(new Fault("internal", "no answer"));
    const { status, text, admissions } = await send(review(POD), { surroundings });
    expect({ status, text }).toEqual({ status: 503, text: "no answer\n" });
    expect(admissions[0]).toMatchObject({ outcome: "failed", reason: "no answer" });
  });

  test("beside Linkerd its words do not count, and Malla's do", async () => {
    const linkerds = {
      "linkerd.io/inject": "enabled",
      "config.linkerd.io/proxy-version": "edge-1",
    };
    const beside = (own: Record<string, string>) =>
      send(review(POD), {
        surroundings: () =>
          Promise.resolve({
            namespace: { name: "shop", annotations: { ...linkerds, ...own } },
            obeyLinkerd: false,
          }),
      });
    expect((await beside({})).admissions[0]).toMatchObject({ outcome: "skipped", asked: false });
    const { text } = await beside({
      "malla.dev/inject": "enabled",
      "config.malla.dev/proxy-cpu-request": "10m",
    });
    const patch = atob((JSON.parse(text) as Answer).response.patch ?? "");
    expect(patch).toContain('"image":"malla/malla:1.2.3"');
    expect(patch).toContain('"requests":{"cpu":"10m"}');
    expect(patch).toContain('config.linkerd.io~1proxy-cpu-request","value":"10m"');
  });

  test("a pod that an unserved Server selects denies, and its owner is warned", async () => {
    const pods = { matchLabels: { app: "web" }, matchExpressions: [] };
    const ask = (labels: Record<string, string>) =>
      send(review({ ...POD, metadata: { ...POD.metadata, labels } }), {
        surroundings: () =>
          Promise.resolve({
            namespace: { ...NAMESPACE, unserved: [{ title: 'Server "web"', pods }] },
            obeyLinkerd: true,
          }),
      });
    const selected = JSON.parse((await ask({ app: "web" })).text) as Answer;
    const env = '"LINKERD2_PROXY_INBOUND_DEFAULT_POLICY","value":';
    expect(atob(selected.response.patch ?? "")).toContain(`${env}"deny"`);
    expect(selected.response.warnings?.[0]).toBe(
      'Server "web" is not served by Malla yet: it refuses all clients of this pod',
    );
    const other = JSON.parse((await ask({ app: "db" })).text) as Answer;
    expect(atob(other.response.patch ?? "")).toContain(`${env}"all-unauthenticated"`);
    expect(other.response.warnings).toBe(undefined);
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
