/** The checks of a cluster: all well, and then one thing wrong at a time. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FakeApi, type FakeObject } from "../../../test/support/fake-api.ts";
import {
  fakeCluster,
  fakeInstallation,
  RIGHTS,
  TRIAL_PODS,
} from "../../../test/support/fake-installation.ts";
import { sha256Hex } from "../../host/digest.ts";
import { systemClock } from "../../host/clock.ts";
import { authorityPem, makeIssuer, makeRoot } from "../../pki/issuer.ts";
import { KubeClient } from "../../source/kube/client.ts";
import { type CategoryResult, isPassed, runChecks } from "../check.ts";
import { clusterChecks, type ClusterCheckWish } from "./check-cluster.ts";
import { ClusterView } from "./view.ts";

const DEPLOYMENTS = "/apis/apps/v1/namespaces/malla/deployments";
const SECRETS = "/api/v1/namespaces/malla/secrets";
const MAPS = "/api/v1/namespaces/malla/configmaps";
const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const DAY_MS = 86_400_000;

let api = new FakeApi();

beforeEach(() => {
  api = new FakeApi();
  api.strict = true;
});

afterEach(() => api.stop());

async function check(wish: Partial<ClusterCheckWish> = {}): Promise<readonly CategoryResult[]> {
  const url = `http://127.0.0.1:${api.port}`;
  const client = new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
  const all = { stage: "all", withProxies: true, acceptUnserved: false, ...wish } as const;
  return await runChecks(await clusterChecks(new ClusterView(client, "malla"), all, systemClock));
}

/** What is not well, as `category: check: message → hint`. */
async function complaints(wish: Partial<ClusterCheckWish> = {}): Promise<string[]> {
  return (await check(wish)).flatMap(({ name, results }) =>
    results.filter(({ status }) => status !== "ok").map((result) =>
      `${name}: ${result.name}: ${result.message} → ${result.hint}`
    )
  );
}

/** Changes an object that is there. */
function edit<T extends FakeObject>(
  path: string,
  name: string,
  change: (object: T) => unknown,
): void {
  const object = structuredClone(api.object(path, name)) as T;
  change(object);
  api.put(path, object);
}

function meshedPod(name: string, more: Record<string, unknown> = {}, annotations = {}): void {
  const roots = api.object(MAPS, "malla-identity-trust-roots") as {
    data: Record<string, string>;
  };
  const pod = {
    metadata: {
      name,
      namespace: "shop",
      labels: { "linkerd.io/control-plane-ns": "malla", app: "web" },
      annotations: {
        "linkerd.io/created-by": "malla/injector x",
        "linkerd.io/proxy-version": "0.1.0",
        "linkerd.io/trust-root-sha256": sha256Hex(roots.data["ca-bundle.crt"] ?? ""),
        ...annotations,
      },
    },
    spec: {
      initContainers: [{ name: "linkerd-proxy" }],
      containers: [{ name: "app", ports: [{ name: "http", containerPort: 8080 }] }],
    },
    status: {
      phase: "Running",
      initContainerStatuses: [{ name: "linkerd-proxy", ready: true }],
    },
    ...more,
  };
  api.put("/api/v1/pods", pod);
}

describe("a cluster with an installation", () => {
  beforeEach(async () => {
    await fakeInstallation(api);
    meshedPod("web-1");
  });

  test("that is well passes, in the contract's categories", async () => {
    const results = await check();
    expect(results.map(({ name }) => name)).toEqual([
      ...["kubernetes-api", "kubernetes-version", "gateway-api-crd", "malla-crd"],
      ...[
        "malla-existence",
        "malla-config",
        "malla-version",
        "control-plane-version",
        "malla-ha-checks",
      ],
      "malla-rights",
      ...["malla-identity", "malla-webhooks-and-apisvc-tls", "malla-data-plane"],
      ...["malla-identity-data-plane", "malla-opaque-ports-definition", "malla-viz"],
    ]);
    expect(await complaints()).toEqual([]);
    expect(results.every(({ results }) => results.length > 0)).toBe(true);
  });

  const rows: [string, () => unknown, string, RegExp][] = [
    [
      "Kubernetes too old",
      () => api.documents.set("/version", { gitVersion: "v1.27.3" }),
      "kubernetes-version: Kubernetes is 1.29 or later: it is v1.27.3",
      /native-sidecar=false/,
    ],
    [
      "no API server",
      () => api.documents.set("/version", "hello"),
      "kubernetes-api: the API server answers",
      /kubectl cluster-info/,
    ],
    [
      "a Gateway API of another version",
      () =>
        api.documents.set("/apis/gateway.networking.k8s.io", {
          versions: [{ version: "v1beta1" }],
        }),
      "gateway-api-crd: the Gateway API is absent or v1: the cluster has it as v1beta1 only",
      /kubectl apply .*gateway-api.*standard-install\.yaml brings v1/,
    ],
    [
      "nothing installed",
      () => api.remove(MAPS, "malla-config"),
      'malla-existence: the control plane is installed: there is no ConfigMap malla-config in namespace "malla"',
      /malla install \| kubectl apply/,
    ],
    [
      "a part that does not start",
      () => {
        edit<FakeObject & { status: object }>(DEPLOYMENTS, "malla-injector", (one) => {
          one.status = {};
        });
        edit<FakeObject & { status: object }>(
          "/api/v1/namespaces/malla/pods",
          "malla-injector-0",
          (pod) => {
            const waiting = { reason: "ImagePullBackOff", message: "no such image" };
            pod.status = { containerStatuses: [{ state: { waiting } }], conditions: [] };
          },
        );
      },
      "malla-existence: malla-injector is ready: malla-injector-0 is not ready: ImagePullBackOff",
      /kubectl -n malla logs deployment\/malla-injector/,
    ],
    [
      "a part that ends again and again",
      () =>
        edit<FakeObject & { status: object }>(
          "/api/v1/namespaces/malla/pods",
          "malla-controller-0",
          (pod) => {
            const terminated = { reason: "OOMKilled", finishedAt: "2026-01-01T00:00:00Z" };
            pod.status = {
              ...pod.status,
              containerStatuses: [{ restartCount: 7, lastState: { terminated } }],
            };
          },
        ),
      "malla-existence: malla-controller does not restart again and again: malla-controller-0: 7 restarts, the last one: OOMKilled at 2026",
      /malla upgrade --set controller\.resources\.limits\.memory=1Gi/,
    ],
    [
      "a part that is being replaced",
      () =>
        edit<FakeObject & { status: Record<string, number> }>(
          DEPLOYMENTS,
          "malla-viz",
          ({ status }) => status["updatedReplicas"] = 0,
        ),
      "malla-existence: malla-viz is ready: 0 of 1 replicas are as they should be",
      /kubectl -n malla logs deployment\/malla-viz/,
    ],
    [
      "a part that was scaled away",
      () =>
        edit<FakeObject & { spec: { replicas: number } }>(
          DEPLOYMENTS,
          "malla-identity",
          ({ spec }) => spec.replicas = 0,
        ),
      "malla-existence: malla-identity is ready: it was scaled to no replica",
      /kubectl -n malla scale deployment\/malla-identity --replicas=1/,
    ],
    [
      "a right that somebody took away",
      () =>
        api.reviews.set(RIGHTS, (body) => {
          const { user, resourceAttributes } = (body as {
            spec: { user: string; resourceAttributes: { resource: string; verb: string } };
          }).spec;
          const { resource, verb } = resourceAttributes;
          const isGone = user === "system:serviceaccount:malla:malla-controller" &&
            resource === "endpointslices" && verb === "watch";
          return { status: { allowed: !isGone } };
        }),
      "malla-rights: malla-controller may do what it needs: it may not: watch endpointslices.discovery.k8s.io",
      /malla upgrade/,
    ],
    [
      "an object that somebody removed",
      () => api.remove("/apis/rbac.authorization.k8s.io/v1/clusterroles", "malla-identity"),
      "malla-config: every object of the installation is there: missing: ClusterRole malla-identity",
      /malla upgrade/,
    ],
    [
      "another version",
      () =>
        edit<{ metadata: { name: string; labels: Record<string, string> } }>(
          MAPS,
          "malla-config",
          ({ metadata }) => metadata.labels["app.kubernetes.io/version"] = "0.0.9",
        ),
      "malla-version: the installation is of version 0.1.0: it is of version 0.0.9",
      /malla upgrade/,
    ],
    [
      "two images",
      () =>
        edit<FakeObject & { spec: { containers: { image: string }[] } }>(
          "/api/v1/namespaces/malla/pods",
          "malla-viz-0",
          ({ spec }) => spec.containers = [{ image: "malla/malla:old" }],
        ),
      "control-plane-version: all parts of the control plane run the same image: malla/malla:x: ",
      /rollout status/,
    ],
    [
      "no trust anchors",
      () => api.remove(MAPS, "malla-identity-trust-roots"),
      "malla-identity: the trust anchors are valid: the ConfigMap with the key ca-bundle.crt is missing",
      /malla upgrade/,
    ],
    [
      "an issuer without its Secret",
      () => api.remove(SECRETS, "malla-identity-issuer"),
      "malla-identity: the issuer chains to the trust anchors: the Secret with the issuer is missing",
      /--rotate-issuer/,
    ],
    [
      "no webhook",
      () => api.remove(WEBHOOKS, "injector.malla.dev"),
      "malla-webhooks-and-apisvc-tls: the injector's webhook is configured: there is no Mutating",
      /malla upgrade/,
    ],
    [
      "a webhook that is not believed",
      () =>
        edit<FakeObject & { webhooks: { clientConfig: Record<string, unknown> }[] }>(
          WEBHOOKS,
          "injector.malla.dev",
          ({ webhooks }) => webhooks[0]!.clientConfig["caBundle"] = "",
        ),
      "malla-webhooks-and-apisvc-tls: API servers know the authority of the injector's certificate: caBundle is empty",
      /logs deployment\/malla-injector/,
    ],
    [
      "an injector that adds nothing",
      () => api.reviews.set(TRIAL_PODS, (body) => body),
      'malla-webhooks-and-apisvc-tls: a pod that asks for a proxy gets one: a trial pod in namespace "default" was admitted without a proxy',
      /logs deployment\/malla-injector/,
    ],
    [
      "a proxy that is not ready",
      () => meshedPod("web-2", { status: { phase: "Running", initContainerStatuses: [] } }),
      "malla-data-plane: all proxies are ready: shop/web-2",
      /logs POD -c linkerd-proxy/,
    ],
    [
      "an old proxy",
      () => meshedPod("web-2", {}, { "linkerd.io/proxy-version": "0.0.1" }),
      "malla-data-plane: all proxies are of the control plane's version: shop/web-2",
      /rollout restart/,
    ],
    [
      "a proxy with other anchors",
      () => meshedPod("web-2", {}, { "linkerd.io/trust-root-sha256": "ff" }),
      "malla-identity-data-plane: all proxies trust the anchors of now: shop/web-2",
      /rollout restart/,
    ],
    [
      "a pod that its namespace wants meshed",
      () => {
        const annotations = { "linkerd.io/inject": "enabled" };
        const namespace = { metadata: { name: "late", annotations } };
        api.put("/api/v1/namespaces", namespace);
        const pod = { metadata: { name: "old", namespace: "late" }, status: { phase: "Running" } };
        api.put("/api/v1/pods", pod);
      },
      "malla-data-plane: all pods that ask for a proxy have one: late/old",
      /rollout restart/,
    ],
    [
      "a pod in two meshes",
      () =>
        meshedPod("web-2", {
          spec: {
            initContainers: [{ name: "linkerd-proxy" }],
            containers: [{ name: "app" }, { name: "istio-proxy" }],
          },
        }),
      "malla-data-plane: no pod is in two meshes: shop/web-2: it already has a container istio-proxy, of the mesh Istio",
      /restart the workload/,
    ],
    [
      "a pod with IPv6 that is not redirected",
      () =>
        meshedPod("web-2", {
          spec: {
            initContainers: [{
              name: "linkerd-proxy",
              env: [{ name: "LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS", value: "127.0.0.1:4140" }],
            }],
            containers: [{ name: "app" }],
          },
          status: {
            phase: "Running",
            podIPs: [{ ip: "10.0.0.9" }, { ip: "fd00::9" }],
            initContainerStatuses: [{ name: "linkerd-proxy", ready: true }],
          },
        }),
      "malla-data-plane: all addresses of pods lead to their proxies: they have IPv6, which is not redirected: shop/web-2",
      /disableIPv6=false/,
    ],
    [
      "ports that are opaque on one side",
      () => {
        const annotations = { "config.linkerd.io/opaque-ports": "80" };
        const spec = { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] };
        const service = { metadata: { name: "web", namespace: "shop", annotations }, spec };
        api.put("/api/v1/services", service);
      },
      "malla-opaque-ports-definition: services and their pods name the same opaque ports: port 80 of service shop/web (8080 of pod web-1) is opaque for the service and not for the pod",
      /config\.linkerd\.io\/opaque-ports/,
    ],
    [
      "a dashboard that does not answer",
      () =>
        api.documents.delete("/api/v1/namespaces/malla/services/malla-viz:api/proxy/api/version"),
      "malla-viz: the metrics API answers: There is no dashboard",
      /logs deployment\/malla-viz/,
    ],
  ];
  test.each(rows)("%s", async (_title, spoil, complaint, hint) => {
    spoil();
    const found = await complaints();
    // What follows from it is told as well, such as an object that is missing.
    const [own, ...others] = found.filter((one) => one.startsWith(complaint));
    expect(others).toEqual([]);
    expect(own).toMatch(hint);
    expect(found.length).toBeLessThanOrEqual(3);
  });

  test("a server that is away is named, and nothing else is tried", async () => {
    await api.stop();
    const found = await complaints();
    expect(found).toHaveLength(1);
    expect(found[0]).toStartWith("kubernetes-api: the API server answers: Cannot ask http://127");
    expect(found[0]).toContain("kubectl cluster-info");
  });

  test("rights that are missing are named with the commands that grant them", async () => {
    api.forbid(
      "/api/v1/namespaces/malla/secrets",
      'secrets is forbidden: User "eve" cannot get resource "secrets" in API group "" in the namespace "malla"',
    );
    const [found, ...others] = await complaints();
    expect(others).toEqual([]);
    expect(found).toStartWith("malla-existence: the control plane is installed: Cannot ask http");
    expect(found).toContain('User "eve" cannot get resource "secrets"');
    expect(found).toContain(
      "kubectl create role malla-get-secrets --verb=get --resource=secrets -n",
    );
    expect(found).toContain("--role=malla-get-secrets --user=eve -n malla");
  });

  test("a refusal without a word says how to find out more", async () => {
    api.refusal = 403;
    const [first] = await complaints();
    expect(first).toContain("kubernetes-api: the API server answers: Cannot ask http://127.0.0.1");
    expect(first).toContain("kubectl auth can-i --list");
  });

  test("one part alone", async () => {
    api.remove(SECRETS, "malla-identity-issuer");
    const results = await check({ withProxies: false, part: "malla-identity" });
    expect(results.map(({ name }) => name)).toEqual([
      ...["kubernetes-api", "malla-existence", "malla-rights", "malla-identity"],
    ]);
    expect(isPassed(results)).toBe(false);
    expect(await complaints({ withProxies: false, part: "malla-viz" })).toEqual([]);
  });

  test("without native sidecars an older Kubernetes will do, but not any", async () => {
    await fakeInstallation(api, { proxy: { nativeSidecar: false } });
    const versionCheck = async (gitVersion: string) => {
      api.documents.set("/version", { gitVersion });
      return (await complaints()).filter((one) => one.startsWith("kubernetes-version"));
    };
    expect(await versionCheck("v1.27.3")).toEqual([]);
    expect((await versionCheck("v1.20.0+k3s1"))[0]).toContain("it is v1.20.0+k3s1 → upgrade the");
  });

  test("a namespace that is being deleted", async () => {
    api.put("/api/v1/namespaces", {
      metadata: { name: "shop", deletionTimestamp: "2026-01-01T00:00:00Z" },
    } as FakeObject);
    expect((await complaints({ namespace: "shop" })).join("\n")).toContain(
      'malla-data-plane: the namespace is there: namespace "shop" is being deleted → kubectl wait',
    );
  });

  test("a namespace that is not there", async () => {
    expect((await complaints({ namespace: "none" })).join("\n")).toContain(
      'malla-data-plane: the namespace is there: there is no namespace "none"',
    );
  });
});

describe("a webhook's certificate of somebody else", () => {
  test("is below what API servers know, or is told", async () => {
    const nowMs = Date.now();
    const root = await makeRoot({ name: "theirs", nowMs, lifetimeMs: DAY_MS });
    const { certificate } = authorityPem(
      await makeIssuer(root, { ...{ name: "webhook" }, nowMs, lifetimeMs: DAY_MS }),
    );
    const caBundle = authorityPem(root).certificate;
    await fakeInstallation(api, { injector: { externalSecret: true, caBundle } });
    const bundled = (text: string) =>
      edit<FakeObject & { webhooks: { clientConfig: Record<string, unknown> }[] }>(
        WEBHOOKS,
        "injector.malla.dev",
        ({ webhooks }) => webhooks[0]!.clientConfig["caBundle"] = btoa(text),
      );
    const told = async () =>
      (await complaints()).filter((one) => one.includes("API servers know")).join("\n");
    bundled(caBundle);
    expect(await told()).toContain("there is no Secret malla-injector-tls");
    api.put(SECRETS, {
      metadata: { name: "malla-injector-tls" },
      data: { "tls.crt": btoa(certificate) },
    } as FakeObject);
    expect(await told()).toBe("");
    bundled(authorityPem(await makeRoot({ name: "other", nowMs, lifetimeMs: DAY_MS })).certificate);
    expect(await told()).toContain("caBundle does not hold the authority of the certificate");
    expect(await told()).toContain("malla upgrade | kubectl apply -f -");
  });
});

describe("certificates", () => {
  test.each([
    [300, true, ""],
    [306, true, "malla-identity: the issuer does not end soon: CN=identity"],
    [340, true, "malla-identity: the issuer does not end soon: CN=identity"],
    [
      366,
      false,
      "malla-identity: the issuer chains to the trust anchors: Cannot use the issuer: its certificate ended at",
    ],
    [3_600, false, "malla-identity: the trust anchors are valid: CN=root"],
  ])("made %d days ago", async (days, isFine, complaint) => {
    await fakeInstallation(api, {}, Date.now() - days * DAY_MS);
    const found = (await complaints()).filter((one) => one.startsWith("malla-identity:"));
    if (days === 300) expect(found).toEqual([]);
    else expect(found[0]).toStartWith(complaint);
    if (isFine && complaint !== "") {
      expect(found[0]).toContain("→ malla upgrade --rotate-issuer | kubectl apply -f - makes");
    }
    const identity = (await check()).filter(({ name }) => name === "malla-identity");
    expect(isPassed(identity)).toBe(isFine);
  });

  test.each([[45, 0], [52, 1]])(
    "an issuer for 60 days, made %d days ago, is told when a sixth is left",
    async (days, told) => {
      const nowMs = Date.now() - days * DAY_MS;
      const root = await makeRoot({ name: "theirs", nowMs, lifetimeMs: 3_650 * DAY_MS });
      const issuer = authorityPem(
        await makeIssuer(root, { name: "short", nowMs, lifetimeMs: 60 * DAY_MS }),
      );
      await fakeInstallation(api, {
        identityTrustAnchorsPEM: authorityPem(root).certificate,
        identity: { issuer: { tls: { crtPEM: issuer.certificate, keyPEM: issuer.key } } },
      });
      const found = (await complaints()).filter((one) => one.includes("does not end soon"));
      expect(found).toHaveLength(told);
    },
  );
});

describe("several replicas", () => {
  test("on one node, or only one that pods depend on, are told", async () => {
    await fakeInstallation(api, { controllerReplicas: 2 });
    expect(await complaints({ withProxies: false })).toEqual([]);
    for (const name of ["malla-injector-0", "malla-injector-1"]) {
      edit<FakeObject & { spec: { nodeName: string } }>(
        "/api/v1/namespaces/malla/pods",
        name,
        ({ spec }) => spec.nodeName = "node0",
      );
    }
    expect((await complaints({ withProxies: false })).join("\n")).toContain(
      "malla-ha-checks: replicas of a part are on different nodes: all replicas on one node: malla-injector",
    );
  });

  test("a webhook that refuses pods needs more than one", async () => {
    await fakeInstallation(api, { webhookFailurePolicy: "Fail" });
    expect((await complaints({ withProxies: false })).join("\n")).toContain(
      "malla-ha-checks: a webhook that refuses pods when it is down has several replicas: webhookFailurePolicy is Fail",
    );
  });
});

describe("before an installation", () => {
  const pre = { stage: "pre" } as const;

  test("an empty cluster passes", async () => {
    fakeCluster(api);
    expect(await complaints(pre)).toEqual([]);
  });

  test("missing rights are named with the rule that grants them", async () => {
    fakeCluster(api);
    api.reviews.set("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", (body) => {
      const { resource } = (body as {
        spec: { resourceAttributes: { resource: string } };
      }).spec.resourceAttributes;
      return { status: { allowed: resource !== "clusterroles" } };
    });
    const found = await complaints(pre);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(
      "may create ClusterRole objects: this user may not create clusterroles.rbac.authorization.k8s.io",
    );
    expect(found[0]).toContain("kubectl create clusterrole malla-install-clusterroles");
  });

  test("a namespace that is still being deleted", async () => {
    fakeCluster(api);
    api.put("/api/v1/namespaces", {
      metadata: { name: "malla", deletionTimestamp: "2026-01-01T00:00:00Z" },
    } as FakeObject);
    const found = await complaints(pre);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('namespace "malla" is being deleted → kubectl wait --for=delete');
  });

  test("a policy in a version that nobody here knows", async () => {
    fakeCluster(api);
    const versions = [{ version: "v1beta3" }, { version: "v2" }];
    api.documents.set("/apis/policy.linkerd.io", { versions });
    api.put("/apis/policy.linkerd.io/v2/servers", { metadata: { name: "web", namespace: "shop" } });
    expect((await complaints(pre)).join("\n")).toContain("not served: Server shop/web");
  });

  test("what is installed already, what is not served, and Linkerd", async () => {
    await fakeInstallation(api);
    const server = { metadata: { name: "web", namespace: "shop" }, spec: {} };
    api.put("/apis/policy.linkerd.io/v1beta3/servers", server);
    api.put(WEBHOOKS, { metadata: { name: "linkerd-proxy-injector-webhook-config" } });
    const found = (await complaints(pre)).join("\n");
    expect(found).toContain("no Malla is installed in this namespace yet: MutatingWebhook");
    expect(found).toContain("not served: Server shop/web → remove them, or install with --accept");
    expect(found).toContain("malla install --take-over-linkerd keeps Linkerd's certificates");
    expect(isPassed((await check({ ...pre, acceptUnserved: true })).slice(-1))).toBe(true);
  });
});
