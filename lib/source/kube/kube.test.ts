/** A cluster as a source, against a small API server on loopback. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeMaterials } from "../../../test/support/certificates.ts";
import { FakeApi } from "../../../test/support/fake-api.ts";
import { container } from "../../../test/support/objects.ts";
import { KUBE_WATCH_SECONDS } from "../../base/limits.ts";
import { type Clock, systemClock } from "../../host/clock.ts";
import type { Problem, SourceWatcher } from "../mod.ts";
import type { Kind, MeshObject, ObjectRef } from "../objects.ts";
import { inClusterAccess, type KubeAccess, kubeconfigAccess, kubeSource } from "./mod.ts";

const PODS = "/api/v1/pods";
const SLICES = "/apis/discovery.k8s.io/v1/endpointslices";

const ends: (() => unknown)[] = [];
let api = new FakeApi();

beforeEach(() => {
  api = new FakeApi();
});

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await api.stop();
});

/** Pauses are over at once: what a test waits for is never time. */
const hasty: Clock = { ...systemClock, after: (_delay, call) => systemClock.after(0, call) };

class Follower implements SourceWatcher {
  readonly objects = new Map<string, MeshObject>();
  readonly events: string[] = [];
  found: readonly Problem[] = [];
  #wake: (() => void)[] = [];

  applied(object: MeshObject): void {
    this.objects.set(object.metadata.name, object);
    this.#happened(`+ ${object.kind} ${object.metadata.name}`);
  }

  deleted(ref: ObjectRef): void {
    this.objects.delete(ref.name);
    this.#happened(`- ${ref.kind} ${ref.name}`);
  }

  synced(): void {
    this.#happened("synced");
  }

  problems(problems: readonly Problem[]): void {
    this.found = problems;
    this.#happened("problems");
  }

  news(): string[] {
    return this.events.splice(0);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => void this.#wake.push(resolve));
  }

  #happened(event: string): void {
    this.events.push(event);
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function plainAccess(): KubeAccess {
  const server = `http://127.0.0.1:${api.port}`;
  return { server, target: (path) => Promise.resolve({ url: server + path, headers: {} }) };
}

async function follow(
  kinds: readonly Kind[] = ["Pod"],
  access = plainAccess(),
  watchSeconds = KUBE_WATCH_SECONDS,
): Promise<Follower> {
  const follower = new Follower();
  const watch = await kubeSource(access, hasty, () => 0, watchSeconds)
    .watch(new Set(kinds), follower);
  ends.push(() => watch.stop());
  return follower;
}

function turn(): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Waits until the server has as many watches; each of them tells from then on. */
async function watched(count = 1): Promise<void> {
  while (api.watches < count) await turn();
}

function pod(name: string, more: Record<string, unknown> = {}) {
  return {
    metadata: { name, namespace: "shop" },
    spec: { containers: [{ name: "app", resources: { limits: { cpu: "1" } } }] },
    status: { podIP: "10.42.0.1", startTime: "2026-01-01T00:00:00Z" },
    ...more,
  };
}

test("lists, then watches; objects are typed, and without what nobody reads", async () => {
  api.put(PODS, pod("a"));
  const follower = await follow();
  await watched();
  api.put(PODS, pod("b"));
  api.put(PODS, pod("a", { status: { podIP: "10.42.0.9" } }));
  api.remove(PODS, "b");
  await follower.until(() => follower.events.includes("- Pod b"));
  expect(follower.news()).toEqual(["+ Pod a", "synced", "+ Pod b", "+ Pod a", "- Pod b"]);
  expect(follower.objects.get("a") as unknown).toEqual({
    kind: "Pod",
    metadata: {
      name: "a",
      namespace: "shop",
      labels: {},
      annotations: {},
      ownerReferences: [],
      resourceVersion: "103",
    },
    spec: {
      containers: [container("app")],
      initContainers: [],
      volumes: [],
    },
    status: { podIP: "10.42.0.9", podIPs: [], conditions: [] },
  });
});

test("is synced when all kinds are listed", async () => {
  api.put(PODS, pod("a"));
  api.put(SLICES, {
    metadata: { name: "s", namespace: "shop" },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.42.0.1"] }],
    ports: [{ name: null, port: 80 }],
  });
  const follower = await follow(["Pod", "EndpointSlice"]);
  await follower.until(() => follower.events.includes("synced"));
  expect([...follower.objects.keys()].sort()).toEqual(["a", "s"]);
});

test("reads a long list in pages", async () => {
  for (let index = 0; index < 1_200; index++) api.put(PODS, pod(`p${index}`));
  const follower = await follow();
  await follower.until(() => follower.events.includes("synced"));
  expect(follower.objects.size).toBe(1_200);
  await watched();
  expect(api.requests.filter(({ path }) => path.includes("limit=500"))).toHaveLength(3);
});

describe("after a gap", () => {
  test("a watch goes on where it was", async () => {
    api.put(PODS, pod("a"));
    const follower = await follow();
    await watched();
    api.put(PODS, pod("b"));
    await follower.until(() => follower.objects.has("b"));
    api.endWatches();
    await watched();
    expect(api.requests.at(-1)?.path).toContain("resourceVersion=102");
    expect(api.requests.filter(({ path }) => path.includes("limit="))).toHaveLength(1);
  });

  test.each([["at once", false], ["in the stream", true]])(
    "a version that is too old (told %s) leads to a new list, which tells what is gone",
    async (_, inStream) => {
      for (const name of ["a", "b"]) api.put(PODS, pod(name));
      const follower = await follow();
      await watched();
      follower.news();
      api.remove(PODS, "a", true);
      api.put(PODS, pod("c"), true);
      if (inStream) {
        api.send(PODS, { type: "ERROR", object: { code: 410, message: "expired" } });
      } else {
        api.oldest = 103;
        api.endWatches();
      }
      await follower.until(() => follower.events.includes("- Pod a"));
      expect([...follower.objects.keys()].sort()).toEqual(["b", "c"]);
      expect(follower.news().filter((event) => event !== "problems"))
        .toEqual(["+ Pod b", "+ Pod c", "- Pod a"]);
    },
  );

  test("a watch that is cut without a word is noticed, and goes on where it was", async () => {
    api.put(PODS, pod("a"));
    const follower = await follow(["Pod"], plainAccess(), 1);
    await watched();
    api.loseWatches();
    await follower.until(() => follower.found.length > 0);
    expect(follower.found[0]?.message).toContain("nothing came for 1200 ms");
    await watched();
    api.put(PODS, pod("b"));
    await follower.until(() => follower.objects.has("b"));
    expect(follower.found).toEqual([]);
    const asked = api.requests.map(({ path }) => path).filter((path) => path.includes("watch="));
    expect(asked.at(-1)).toContain("timeoutSeconds=1&resourceVersion=101");
  });

  test("watches in which nothing happens follow each other without a pause", async () => {
    const pauses: number[] = [];
    const clock: Clock = {
      ...systemClock,
      after(delayMs, call) {
        pauses.push(delayMs);
        return systemClock.after(0, call);
      },
    };
    const watch = await kubeSource(plainAccess(), clock, () => 0, 1)
      .watch(new Set(["Pod"]), new Follower());
    ends.push(() => watch.stop());
    const asked = () => api.requests.filter(({ path }) => path.includes("watch=")).length;
    while (asked() < 3) await turn();
    expect(pauses).toEqual([]);
    // One that is ended at once is another matter.
    await watched();
    api.endWatches();
    while (asked() < 4) await turn();
    expect(pauses).toEqual([250]);
  });

  test("a bookmark moves the version without an object", async () => {
    api.put(PODS, pod("a"));
    await follow();
    await watched();
    api.send(PODS, { type: "BOOKMARK", object: { metadata: { resourceVersion: "777" } } });
    api.endWatches();
    await watched();
    expect(api.requests.at(-1)?.path).toContain("resourceVersion=777");
  });
});

describe("trouble", () => {
  test("with the server is told, and over when it is", async () => {
    api.refusal = 403;
    const follower = await follow();
    await follower.until(() => follower.found.length > 0);
    expect(follower.found[0]?.message).toContain("Cannot follow pods: ");
    expect(follower.found[0]?.message).toContain("the server answers 403");
    api.put(PODS, pod("a"));
    api.refusal = undefined;
    await follower.until(() => follower.events.includes("synced"));
    expect(follower.found).toEqual([]);
  });

  test("pauses grow while we are refused, and stay short while nobody answers", async () => {
    const pauses: number[] = [];
    const clock: Clock = {
      ...hasty,
      after(delayMs, call) {
        pauses.push(delayMs);
        return systemClock.after(0, call);
      },
    };
    // A port where nobody listens any more.
    const gone = new FakeApi();
    const { port } = gone;
    await gone.stop();
    let at = port;
    const access: KubeAccess = {
      server: "x",
      target: (path) => Promise.resolve({ url: `http://127.0.0.1:${at}${path}`, headers: {} }),
    };
    api.refusal = 403;
    const follower = new Follower();
    const watch = await kubeSource(access, clock, () => 0).watch(new Set(["Pod"]), follower);
    ends.push(() => watch.stop());
    while (pauses.length < 20) await turn();
    at = api.port;
    const refused = pauses.length + 1;
    while (pauses.length < refused + 20) await turn();
    expect(Math.max(...pauses.slice(0, 20))).toBe(1_000);
    expect(pauses).toContain(30_000);
    // What was waited for before it answered does not count.
    expect(pauses[pauses.indexOf(2_000) - 3]).toBe(250);
  });

  test("is over when the cluster answers, though nothing happens in it", async () => {
    api.put(PODS, pod("a"));
    const follower = await follow();
    await watched();
    api.refusal = 503;
    api.endWatches();
    await follower.until(() => follower.found.length > 0);
    api.refusal = undefined;
    await follower.until(() => follower.found.length === 0);
    expect(api.requests.filter(({ path }) => path.includes("limit="))).toHaveLength(1);
  });

  test("with an object is told by its field; what it was stays", async () => {
    api.put(PODS, pod("a"));
    const follower = await follow();
    await watched();
    api.put(PODS, pod("a", { spec: { containers: [{ name: 5 }] } }));
    await follower.until(() => follower.found.length > 0);
    expect(follower.found.map(({ message }) => message))
      .toEqual(['Pod "shop/a": spec.containers[0].name: expected a name, found 5']);
    expect(follower.objects.has("a")).toBe(true);
    api.remove(PODS, "a");
    await follower.until(() => follower.events.includes("- Pod a"));
    expect(follower.found).toEqual([]);
  });

  test("with an event that is none is survived", async () => {
    const follower = await follow();
    await watched();
    api.send(PODS, "this is no event at all");
    await follower.until(() => follower.found.length > 0);
    while (api.requests.filter(({ path }) => path.includes("watch=")).length < 2) await turn();
    await watched();
    api.put(PODS, pod("a"));
    await follower.until(() => follower.objects.has("a"));
  });
});

test("a kind that the cluster does not know has no objects, until it does", async () => {
  const servers = (version: string) => `/apis/policy.linkerd.io/${version}/servers`;
  api.strict = true;
  const follower = await follow(["Server"]);
  await follower.until(() => follower.events.includes("synced"));
  expect(follower.found).toEqual([]);
  const spec = { podSelector: { matchLabels: { app: "web" } }, port: 80 };
  // Of two versions the newer one is read.
  api.put(servers("v1alpha1"), { metadata: { name: "old", namespace: "shop" }, spec });
  api.put(servers("v1beta1"), { metadata: { name: "web", namespace: "shop" }, spec });
  await follower.until(() => follower.objects.has("web"));
  expect([...follower.objects.keys()]).toEqual(["web"]);
  expect(follower.objects.get("web")).toMatchObject({
    kind: "Server",
    spec: { podSelector: { matchLabels: { app: "web" }, matchExpressions: [] } },
  });
});

test("a kind in a version that nobody here knows is followed all the same", async () => {
  api.strict = true;
  const versions = [{ version: "v1beta3" }, { version: "v2" }];
  api.documents.set("/apis/policy.linkerd.io", { versions });
  const spec = { podSelector: { matchLabels: { app: "web" } }, port: 80 };
  api.put("/apis/policy.linkerd.io/v2/servers", { metadata: { name: "a", namespace: "s" }, spec });
  const follower = await follow(["Server"]);
  await follower.until(() => follower.objects.has("a"));
});

test("after the end nothing is told, and nothing is asked", async () => {
  const follower = new Follower();
  const watch = await kubeSource(plainAccess(), hasty, () => 0).watch(new Set(["Pod"]), follower);
  await watched();
  watch.stop();
  while (api.watches > 0) await turn();
  const asked = api.requests.length;
  const second = await follow();
  api.put(PODS, pod("a"));
  await second.until(() => second.objects.has("a"));
  expect(follower.objects.size).toBe(0);
  expect(api.requests.slice(asked).filter(({ path }) => path.includes("limit="))).toHaveLength(1);
});

describe("access", () => {
  let folder = "";

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "malla-kube-"));
    ends.push(() => rm(folder, { recursive: true, force: true }));
  });

  test("from a pod shows its token and believes only its own authority", async () => {
    const [first, second] = [makeMaterials(["localhost"]), makeMaterials(["localhost"])];
    const server = first.get("localhost");
    const secure = new FakeApi({
      cert: server?.certificateChain ?? "",
      key: server?.privateKey ?? "",
    });
    ends.push(() => secure.stop());
    secure.put(PODS, pod("a"));
    const env = { KUBERNETES_SERVICE_HOST: "localhost", KUBERNETES_SERVICE_PORT: `${secure.port}` };
    await writeFile(join(folder, "token"), "secret\n");
    await writeFile(join(folder, "ca.crt"), second.get("localhost")?.trustAnchors ?? "");
    const follower = await follow(["Pod"], inClusterAccess(env, folder));
    await follower.until(() => follower.found.length > 0);
    expect(secure.requests).toEqual([]);
    await writeFile(join(folder, "ca.crt"), server?.trustAnchors ?? "");
    await follower.until(() => follower.objects.has("a"));
    expect(secure.requests[0]?.headers.get("authorization")).toBe("Bearer secret");
  });

  test("outside of a pod is refused with what to do", () => {
    expect(() => inClusterAccess({})).toThrow("KUBERNETES_SERVICE_HOST is not set");
  });

  test("by a kubeconfig uses its context's server, authority and user", async () => {
    const server = makeMaterials(["localhost"]).get("localhost");
    const secure = new FakeApi({
      cert: server?.certificateChain ?? "",
      key: server?.privateKey ?? "",
    });
    ends.push(() => secure.stop());
    const file = join(folder, "config");
    const config = secure.kubeconfig({ token: "open sesame" }, server?.trustAnchors ?? "");
    await writeFile(file, config);
    secure.put(PODS, pod("a"));
    const follower = await follow(["Pod"], await kubeconfigAccess(file));
    await follower.until(() => follower.objects.has("a"));
    expect(secure.requests[0]?.headers.get("authorization")).toBe("Bearer open sesame");
    await writeFile(
      file,
      config.replace('"current-context":"here"', '"current-context":"nowhere"'),
    );
    await expect(kubeconfigAccess(file)).rejects.toThrow(
      'its current context "nowhere" names no cluster',
    );
    await expect(kubeconfigAccess(join(folder, "none"))).rejects.toThrow(
      "Cannot read the kubeconfig",
    );
  });
});
