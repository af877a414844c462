/** The injector and its cluster: what it asks, what it tells there, and its own certificates. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FakeApi } from "../../test/support/fake-api.ts";
import { ManualClock } from "../../test/support/fake-control.ts";
import { until } from "../../test/support/malla.ts";
import { EVENTS_PENDING_MAX } from "../base/limits.ts";
import { readCertificate } from "../host/x509.ts";
import { fromPem } from "../pki/pem.ts";
import { verifyLeaf } from "../pki/verify.ts";
import { KubeClient } from "../source/kube/client.ts";
import { EventRecorder } from "../source/kube/events.ts";
import { recordAdmission } from "./injection-events.ts";
import { clusterSurroundings, LINKERD_WEBHOOK } from "./surroundings.ts";
import type { Admission } from "./webhook.ts";
import { authorityFields, nextState, readAuthorities, trustedBundle } from "./webhook-authority.ts";
import { OwnTls, type WebhookTls } from "./webhook-tls.ts";

const NAMESPACES = "/api/v1/namespaces";
const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const SECRETS = "/api/v1/namespaces/malla/secrets";
const DAY_MS = 86_400_000;

let api = new FakeApi();
let clock = new ManualClock();

beforeEach(() => {
  api = new FakeApi();
  api.strict = true;
  clock = new ManualClock();
});

afterEach(() => api.stop());

function client(): KubeClient {
  const url = `http://127.0.0.1:${api.port}`;
  return new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
}

function asked(): string[] {
  return api.requests.splice(0).map(({ method, path }) => `${method} ${path}`);
}

describe("surroundings", () => {
  const SERVERS = "/apis/policy.linkerd.io/v1beta1/namespaces/shop/servers";

  function find(more: { takeOverLinkerd?: boolean; acceptUnserved?: boolean } = {}) {
    const options = { takeOverLinkerd: false, acceptUnserved: false, ...more };
    return clusterSurroundings({ client: client(), clock, ...options });
  }

  test("are asked for and kept for a moment", async () => {
    const namespace = { metadata: { name: "shop", annotations: { a: "b" } } };
    api.put(NAMESPACES, namespace);
    const look = find({ acceptUnserved: true });
    const expected = {
      namespace: { name: "shop", annotations: { a: "b" }, unserved: [] },
      obeyLinkerd: true,
    };
    expect(await look("shop")).toEqual(expected);
    await look("shop");
    expect(asked()).toHaveLength(2);
    clock.advance(10_000);
    await look("shop");
    expect(asked()).toHaveLength(2);
  });

  test("name Linkerd's injector, unless it is to be taken over", async () => {
    api.put(WEBHOOKS, { metadata: { name: LINKERD_WEBHOOK } });
    expect((await find()("shop")).obeyLinkerd).toBe(false);
    expect((await find({ takeOverLinkerd: true })("shop")).obeyLinkerd).toBe(true);
  });

  test("hold the servers that select pods, in whatever version the cluster has them", async () => {
    const server = (name: string, spec: unknown) => ({ metadata: { name }, spec });
    api.put(SERVERS, server("web", { podSelector: { matchLabels: { app: "web" } }, port: 80 }));
    api.put(SERVERS, server("vm", { externalWorkloadSelector: {}, port: 80 }));
    const expression = { key: "tier", operator: "Exists" };
    api.put(SERVERS, server("all", { podSelector: { matchExpressions: [expression] } }));
    const { namespace } = await find()("shop");
    expect(namespace.unserved).toEqual([
      { title: 'Server "web"', pods: { matchLabels: { app: "web" }, matchExpressions: [] } },
      {
        title: 'Server "all"',
        pods: { matchLabels: {}, matchExpressions: [{ ...expression, values: [] }] },
      },
    ]);
  });

  test("hold servers of a version that nobody here knows", async () => {
    const versions = [{ version: "v1" }];
    api.documents.set("/apis/policy.linkerd.io", { versions });
    const selector = { matchLabels: { app: "web" } };
    api.put("/apis/policy.linkerd.io/v1/namespaces/shop/servers", {
      ...{ metadata: { name: "web" } },
      ...{ spec: { podSelector: selector } },
    });
    const { namespace } = await find()("shop");
    expect(namespace.unserved?.map(({ title }) => title)).toEqual(['Server "web"']);
  });

  test("reject when the cluster does not answer, and ask anew", async () => {
    const look = find();
    api.refusal = 500;
    await expect(look("shop")).rejects.toThrow("the server answers 500");
    api.refusal = undefined;
    expect((await look("shop")).namespace.annotations).toEqual({});
  });
});

describe("events", () => {
  const EVENTS = "/api/v1/namespaces/shop/events";
  const owner = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    name: "web-5f6d",
    uid: "rs-1",
    controller: true,
  };
  const POD: Admission = {
    resource: "pod",
    namespace: "shop",
    name: "web-5f6d-",
    outcome: "injected",
    asked: true,
    dryRun: false,
    owner,
  };

  function recorderFor(failures: unknown[] = []): EventRecorder {
    const source = { component: "malla-injector", instance: "pod-1" };
    return new EventRecorder(client(), clock, source, (reason) => void failures.push(reason));
  }

  function written(): Record<string, unknown>[] {
    return api.requests.filter(({ method }) => method === "POST")
      .map(({ body }) => body as Record<string, unknown>);
  }

  test("are about the Deployment, say why, and are not repeated", async () => {
    const deployment = { ...owner, kind: "Deployment", name: "web", uid: "d-1" };
    const set = { metadata: { name: "web-5f6d", ownerReferences: [deployment] } };
    api.put("/apis/apps/v1/namespaces/shop/replicasets", set);
    const recorder = recorderFor();
    const skipped = { ...POD, outcome: "skipped", reason: "hostNetwork is on" } as const;
    for (let index = 0; index < 3; index++) recordAdmission(skipped, recorder, client());
    await until(() => written().length > 0);
    clock.advance(700_000);
    recordAdmission(skipped, recorder, client());
    await until(() => written().length > 1);
    expect(written()).toHaveLength(2);
    expect(written()[0]).toMatchObject({
      kind: "Event",
      involvedObject: { apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "d-1" },
      type: "Warning",
      reason: "InjectionSkipped",
      message: "Malla's proxy was not added: hostNetwork is on",
      reportingComponent: "malla-injector",
      metadata: { namespace: "shop" },
    });
  });

  test("are not written of pods that nobody asked for, of dry runs and of services", async () => {
    const recorder = recorderFor();
    const skipped = { ...POD, outcome: "skipped", reason: "x" } as const;
    recordAdmission({ ...skipped, asked: false }, recorder, client());
    recordAdmission({ ...POD, dryRun: true }, recorder, client());
    recordAdmission({ ...POD, resource: "service" }, recorder, client());
    const bare: Admission = {
      resource: "pod",
      namespace: "shop",
      name: "alone",
      outcome: "refused",
      reason: "wrong",
      asked: true,
      dryRun: false,
    };
    recordAdmission(bare, recorder, client());
    await until(() => written().length > 0);
    expect(written()).toMatchObject([{
      reason: "InjectionRefused",
      involvedObject: { kind: "Pod", name: "alone" },
    }]);
  });

  test("are bounded, and a failure is told and tried again", async () => {
    const failures: unknown[] = [];
    const recorder = recorderFor(failures);
    api.refusal = 403;
    for (let index = 0; index < EVENTS_PENDING_MAX + 10; index++) {
      recordAdmission({ ...POD, owner: { ...owner, uid: `u-${index}` } }, recorder, client());
    }
    await until(() => failures.length === EVENTS_PENDING_MAX);
    api.refusal = undefined;
    api.put(EVENTS, { metadata: { name: "other" } });
    recordAdmission({ ...POD, owner: { ...owner, uid: "u-0" } }, recorder, client());
    await until(() => written().length > 0);
  });
});

describe("the authority", () => {
  test("is made, prepared, announced and replaced", async () => {
    const nowMs = Date.UTC(2026, 0, 1);
    const first = await nextState({}, "", nowMs) ?? {};
    expect(await nextState(first, trustedBundle(first), nowMs + 200 * DAY_MS)).toBe(undefined);
    const laterMs = nowMs + 250 * DAY_MS;
    const prepared = await nextState(first, trustedBundle(first), laterMs) ?? {};
    expect(prepared.current).toBe(first.current);
    // Not before API servers believe it, and not before they had time to hear of it.
    const muchLaterMs = laterMs + DAY_MS;
    expect(await nextState(prepared, trustedBundle(first), muchLaterMs)).toBe(undefined);
    expect(await nextState(prepared, trustedBundle(prepared), laterMs + 60_000)).toBe(undefined);
    const replaced = await nextState(prepared, trustedBundle(prepared), muchLaterMs) ?? {};
    expect(replaced.current).toBe(prepared.next);
    expect(trustedBundle(replaced)).toBe(trustedBundle(prepared));
    expect(await nextState(replaced, trustedBundle(replaced), muchLaterMs)).toBe(undefined);
  });

  test("is made anew when it has ended or cannot be read", async () => {
    const nowMs = Date.UTC(2026, 0, 1);
    const first = await nextState({}, "", nowMs) ?? {};
    const next = await nextState(first, trustedBundle(first), nowMs + 400 * DAY_MS);
    expect(next?.current).not.toBe(first.current);
    const fields = authorityFields(first);
    expect((await readAuthorities(fields)).problems).toEqual([]);
    const { state, problems } = await readAuthorities({ ...fields, "ca.key": "nonsense" });
    expect(state.current).toBe(undefined);
    expect(problems[0]).toContain("Cannot use ca.crt and ca.key: Cannot read a private key");
  });
});

describe("certificates of our own", () => {
  const place = {
    namespace: "malla",
    secret: "authority",
    configuration: "injector.malla.dev",
    dnsName: "malla-injector.malla.svc",
  };

  function replica(leads: boolean) {
    const shown: WebhookTls[] = [];
    const failures: string[] = [];
    const events = {
      changed: (tls: WebhookTls) => void shown.push(tls),
      failed: (reason: string) => void failures.push(reason),
    };
    const own = new OwnTls({ client: client(), clock, place, leads: () => leads, events });
    own.start();
    return { own, shown, failures };
  }

  function bundle(): string {
    const configuration = api.object(WEBHOOKS, place.configuration) as {
      webhooks: { clientConfig: { caBundle?: string } }[];
    };
    return atob(configuration.webhooks[0]?.clientConfig.caBundle ?? "");
  }

  /** Throws unless an API server would believe the replica. */
  function believe(tls: WebhookTls | undefined): void {
    const [leaf = new Uint8Array()] = fromPem("CERTIFICATE", tls?.cert ?? "");
    verifyLeaf({
      leaf,
      intermediates: [],
      trustAnchors: fromPem("CERTIFICATE", bundle()).map(readCertificate),
      dnsName: place.dnsName,
      publicDer: readCertificate(leaf).publicDer,
      nowMs: clock.nowMs(),
    });
  }

  beforeEach(() => {
    api.put(SECRETS, { metadata: { name: "authority" } });
    const webhooks = [{ name: "pods.injector.malla.dev", clientConfig: { service: {} } }];
    const configuration = { metadata: { name: place.configuration }, webhooks };
    api.put(WEBHOOKS, configuration);
  });

  test("a follower waits for the leader; both are believed, and renew in time", async () => {
    const follower = replica(false);
    const leader = replica(true);
    await until(() => leader.shown.length === 1);
    expect(follower.shown).toEqual([]);
    clock.advance(10_000);
    await until(() => follower.shown.length === 1);
    for (const { shown } of [leader, follower]) believe(shown[0]);
    clock.advance(0.8 * DAY_MS);
    await until(() => leader.shown.length > 1 && follower.shown.length > 1);
    for (const { shown } of [leader, follower]) believe(shown.at(-1));
    for (const { own, failures } of [leader, follower]) {
      own.stop();
      expect(failures).toEqual([]);
    }
  });

  test("through a change of the authority every replica is believed at every moment", async () => {
    const [leader, follower] = [replica(true), replica(false)];
    await until(() => leader.shown.length > 0);
    const end = clock.nowMs() + 260 * DAY_MS;
    clock.advance(10_000);
    await until(() => follower.shown.length > 0);
    const shown = [leader, follower].map((one) => one.shown.length);
    clock.advance(end - clock.nowMs());
    // Nobody could renew while the time jumped.
    await until(() => {
      clock.advance(10_000);
      return [leader, follower].every((one, index) => one.shown.length > (shown[index] ?? 0));
    });
    const before = bundle();
    const believed = () => {
      clock.advance(10_000);
      believe(leader.shown.at(-1));
      believe(follower.shown.at(-1));
    };
    await until(() => {
      believed();
      return fromPem("CERTIFICATE", bundle()).length === 2;
    });
    expect(bundle()).toContain(before);
    const used = leader.shown.length;
    const followed = follower.shown.length;
    await until(() => {
      believed();
      return leader.shown.length > used && follower.shown.length > followed;
    });
    leader.own.stop();
    follower.own.stop();
  });

  test("what somebody else writes is left to him, also when that is decided meanwhile", async () => {
    const leader = replica(true);
    await until(() => bundle() !== "");
    const theirs = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const hand = (annotations: Record<string, string>) => {
      const object = structuredClone(api.object(WEBHOOKS, place.configuration)) as {
        metadata: { name: string; annotations?: Record<string, string> };
        webhooks: { clientConfig: { caBundle: string } }[];
      };
      object.metadata.annotations = annotations;
      for (const { clientConfig } of object.webhooks) clientConfig.caBundle = btoa(theirs);
      api.put(WEBHOOKS, object);
    };
    hand({ "malla.dev/ca-bundle": "external" });
    const looks = () =>
      api.requests.filter(({ path }) => path.endsWith(place.configuration)).length;
    const before = looks();
    await until(() => {
      clock.advance(10_000);
      return looks() > before + 2;
    });
    expect(bundle()).toBe(theirs);
    // Ours again: it is written again.
    hand({});
    await until(() => {
      clock.advance(10_000);
      return bundle() !== theirs;
    });
    // Read before, written after somebody else: refused, and read again.
    const patches = api.requests.filter(({ method }) => method === "PATCH");
    expect(patches.length).toBeGreaterThan(1);
    for (const { body } of patches) {
      expect(body).toContainEqual(
        expect.objectContaining({ op: "add", path: "/metadata/resourceVersion" }),
      );
    }
    expect(leader.failures).toEqual([]);
    leader.own.stop();
  });

  test("what is missing is told", async () => {
    api.remove(WEBHOOKS, place.configuration);
    const leader = replica(true);
    await until(() => leader.failures.length > 0);
    expect(leader.failures[0]).toBe(
      'Cannot find the MutatingWebhookConfiguration "injector.malla.dev"',
    );
    leader.own.stop();
    api.remove(SECRETS, "authority");
    const follower = replica(false);
    await until(() => follower.failures.length > 0);
    expect(follower.failures[0]).toBe(
      'Cannot find the Secret "authority" in namespace "malla"',
    );
    follower.own.stop();
  });
});
