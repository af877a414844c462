/** A cluster of the fake API with an installation in it that is well, for tests of what looks at one. */

import { installationManifests, planInstallation } from "../../lib/install/installation.ts";
import { COMPONENTS } from "../../lib/install/names.ts";
import type { KubeManifest } from "../../lib/install/objects.ts";
import { collectionPath, INSTALLED_KINDS } from "../../lib/install/installed.ts";
import { authorityFields, nextState, trustedBundle } from "../../lib/inject/webhook-authority.ts";
import type { YamlMap } from "../../lib/config/mod.ts";
import type { FakeApi } from "./fake-api.ts";

const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/** What accounts may is asked here. */
export const RIGHTS = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/** Where a trial pod is posted. */
export const TRIAL_PODS = "/api/v1/namespaces/default/pods";

/** Puts an empty cluster of a version that will do into the API: everything may be created. */
export function fakeCluster(api: FakeApi): void {
  api.documents.set("/version", { gitVersion: "v1.35.4" });
  api.reviews.set(REVIEWS, () => ({ status: { allowed: true } }));
  api.reviews.set(RIGHTS, () => ({ status: { allowed: true } }));
  api.reviews.set(
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    (body) => body,
  );
}

/** Puts an installation of these values into it, with everything that runs in it ready. */
export async function fakeInstallation(
  api: FakeApi,
  values: YamlMap = {},
  nowMs: number = Date.now(),
): Promise<readonly KubeManifest[]> {
  fakeCluster(api);
  const layers = [{ name: "test", tree: values }];
  const plan = await planInstallation({ verb: "install", namespace: "malla", layers, nowMs });
  const objects = installationManifests(plan);
  for (const object of objects) putManifest(api, object);
  await certifyWebhook(api, nowMs);
  for (const component of COMPONENTS) startComponent(api, component);
  const labels = { "kubernetes.io/metadata.name": "default" };
  api.put("/api/v1/namespaces", { metadata: { name: "default", labels } });
  api.reviews.set(TRIAL_PODS, (body) => {
    const pod = body as { readonly spec: object };
    return { ...pod, spec: { ...pod.spec, initContainers: [{ name: "linkerd-proxy" }] } };
  });
  const viz = "/api/v1/namespaces/malla/services/malla-viz:api/proxy";
  api.documents.set(`${viz}/api/version`, { version: "x" });
  api.documents.set(`${viz}/api/health`, { components: [], pods: [] });
  return objects;
}

/** Puts one object where its kind belongs. */
export function putManifest(api: FakeApi, object: KubeManifest): void {
  const kind = INSTALLED_KINDS.find((one) => one.kind === object.kind);
  if (kind === undefined) throw new Error(`unknown kind ${object.kind}`);
  const manifest = object as typeof object & { metadata: { labels: Record<string, string> } };
  api.put(collectionPath(kind, "malla"), manifest);
}

async function certifyWebhook(api: FakeApi, nowMs: number): Promise<void> {
  const state = await nextState({}, "", nowMs) ?? {};
  const encode = (text: string) => new TextEncoder().encode(text).toBase64();
  const secrets = "/api/v1/namespaces/malla/secrets";
  const secret = api.object(secrets, "malla-injector-authority") as
    | { metadata: { name: string } }
    | undefined;
  // Somebody else writes the webhook's certificate.
  if (secret === undefined) return;
  const fields = Object.entries(authorityFields(state));
  const data = Object.fromEntries(fields.map(([key, text]) => [key, encode(text)]));
  const filled = { ...secret, data };
  api.put(secrets, filled);
  const configuration = structuredClone(api.object(WEBHOOKS, "injector.malla.dev")) as {
    metadata: { name: string };
    webhooks: { clientConfig: { caBundle?: string } }[];
  };
  const [webhook] = configuration.webhooks;
  if (webhook !== undefined) webhook.clientConfig.caBundle = encode(trustedBundle(state));
  api.put(WEBHOOKS, configuration);
}

function startComponent(api: FakeApi, component: string): void {
  const deployments = "/apis/apps/v1/namespaces/malla/deployments";
  const deployment = api.object(deployments, component) as
    | { metadata: { name: string }; spec: { replicas: number } }
    | undefined;
  if (deployment === undefined) return;
  const { replicas } = deployment.spec;
  const started = {
    ...deployment,
    status: { replicas, updatedReplicas: replicas, readyReplicas: replicas },
  };
  api.put(deployments, started);
  for (let index = 0; index < replicas; index++) {
    const pod = {
      metadata: {
        name: `${component}-${index}`,
        namespace: "malla",
        labels: { "app.kubernetes.io/name": component, "malla.dev/control-plane-ns": "malla" },
      },
      spec: { nodeName: `node${index}`, containers: [{ image: "malla/malla:x" }] },
      status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
    };
    api.put("/api/v1/namespaces/malla/pods", pod);
    api.put("/api/v1/pods", pod);
  }
}
