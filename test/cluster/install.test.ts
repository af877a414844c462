/**
 * An installation as its users live with it, in a real cluster: installed and checked, asked for what is
 * wrong, renewed, taken over from Linkerd, and gone without a trace.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { COMPONENTS } from "../../lib/install/names.ts";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, installMalla, malla } from "./control-plane.ts";
import { LINKERD, LINKERD_WEBHOOK, linkerdObjects } from "./linkerd.ts";
import { APPS_IMAGE, MALLA_IMAGE, meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { SHOP, SHOP_URL, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";

const obstacle = meshObstacle();
if (obstacle !== null) console.warn(`skipped: an installation in a cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 180_000;

interface KubeObject {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly data?: Readonly<Record<string, string>>;
}

interface EventList {
  readonly items: readonly {
    readonly reason: string;
    readonly message: string;
    readonly involvedObject: { readonly kind: string; readonly name: string };
  }[];
}

/** A custom resource of the contract, as far as these tests go: any spec will do. */
function definition(group: string, plural: string, kind: string, version: string) {
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: { kind, plural },
      scope: "Namespaced",
      versions: [{
        name: version,
        served: true,
        storage: true,
        schema: { openAPIV3Schema: schema },
      }],
    },
  };
}

describe.skipIf(obstacle !== null)("an installation", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startMeshWorld("test-install", 1);
    await cluster.apply(shopObjects());
    for (const workload of ["web", "client"]) await cluster.rollout(SHOP, `deployment/${workload}`);
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  const run = (...args: string[]) => malla(cluster, args);

  /** Runs the verb, expects it to succeed, and applies what it printed. */
  const apply = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    if (code !== 0) throw new Error(`malla ${args.join(" ")}: ${stderr}`);
    await cluster.apply(stdout);
  };

  const status = async () => {
    const target = { namespace: SHOP, pod: "deployment/client", container: "client" };
    const words = `curl -s -o /dev/null -m 10 -w %{http_code} ${SHOP_URL}`;
    return (await cluster.exec(target, words.split(" "))).stdout;
  };

  const eventsOf = async (namespace: string, reason: string) => {
    const list = await cluster.get("events", "-n", namespace) as EventList;
    return list.items.filter((event) => event.reason === reason).map((event) =>
      `${event.involvedObject.kind}/${event.involvedObject.name}: ${event.message}`
    );
  };

  const sleeper = (name: string, annotations: Record<string, string>, spec: object = {}) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: {
          containers: [{ name: "app", image: APPS_IMAGE, command: ["sleep", "1000000"] }],
          terminationGracePeriodSeconds: 0,
          ...spec,
        },
      },
    },
  });

  test("is all green, and its dashboard answers", async () => {
    const { code, stdout } = await run("check", "--proxy", "-o", "json");
    const { success, categories } = JSON.parse(stdout);
    const checks = categories.flatMap((category: { checks: object[] }) => category.checks);
    expect(checks.filter((check: { result: string }) => check.result !== "success")).toEqual([]);
    expect({ code, success }).toEqual({ code: 0, success: true });
    await waitFor("the edge", async () => {
      expect(await status()).toBe("200");
      const { stdout: text } = await run("edges", "deploy", "-n", SHOP, "-o", "json");
      const edges = JSON.parse(text) as { src: string; dst: string; no_tls_reason: string }[];
      return edges.some(({ src, dst }) => src === "client" && dst === "web");
    });
    await waitFor("the success rate", async () => {
      const { stdout: table } = await run("stat", "deploy", "-n", SHOP);
      return /web +2\/2 +100\.00%/.test(table);
    });
  }, TEST_MS);

  test("is not installed twice, and an upgrade without a wish changes nothing", async () => {
    const second = await run("install");
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("malla upgrade changes it");
    const before = await run("upgrade");
    await cluster.apply(before.stdout);
    const changed = await cluster.tryKubectl(["diff", "--server-side", "-f", "-"], {
      input: before.stdout,
    });
    expect(changed.stdout).toBe("");
    expect((await run("upgrade")).stdout).toBe(before.stdout);
  }, TEST_MS);

  test("says at the workload why there is no proxy, and refuses wrong annotations", async () => {
    await cluster.apply([
      sleeper("host", { "malla.dev/inject": "enabled" }, { hostNetwork: true }),
      sleeper("wrong", { "malla.dev/inject": "enabled", "config.linkerd.io/proxy-uid": "zero" }),
    ]);
    await waitFor("the events", async () => {
      const skipped = await eventsOf("default", "InjectionSkipped");
      const refused = await eventsOf("default", "InjectionRefused");
      return skipped.some((text) => text.startsWith("Deployment/host: ")) &&
        refused.some((text) => text.startsWith("Deployment/wrong: "));
    });
    expect(await eventsOf("default", "InjectionSkipped")).toEqual([
      "Deployment/host: Malla's proxy was not added: hostNetwork is on: there is no pod network",
    ]);
    expect((await eventsOf("default", "InjectionRefused"))[0]).toContain(
      'expected a whole number from 1 to 4294967294, got "zero"',
    );
    await cluster.kubectl(["delete", "deployment", "host", "wrong", "--wait=false"]);
  }, TEST_MS);

  test("lets nothing fail open that is not served", async () => {
    await cluster.apply([
      definition("policy.linkerd.io", "servers", "Server", "v1beta1"),
      definition("policy.linkerd.io", "httproutes", "HTTPRoute", "v1beta3"),
    ]);
    const selector = { matchLabels: { app: "web" } };
    const parentRefs = [{ kind: "Service", name: "web" }];
    const objects = [
      {
        apiVersion: "policy.linkerd.io/v1beta1",
        kind: "Server",
        metadata: { name: "web", namespace: SHOP },
        spec: { podSelector: selector, port: 8080 },
      },
      {
        apiVersion: "policy.linkerd.io/v1beta3",
        kind: "HTTPRoute",
        metadata: { name: "web", namespace: SHOP },
        spec: { parentRefs },
      },
    ];
    await waitFor("the new kinds", async () => {
      const words = ["apply", "--server-side", "-f", "-"];
      const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
      return (await cluster.tryKubectl(words, { input })).code === 0;
    });
    await waitFor("the refusal", async () => await status() === "403");
    await waitFor("the events", async () => (await eventsOf(SHOP, "NotServed")).length === 2);
    expect((await eventsOf(SHOP, "NotServed")).sort()).toEqual([
      "HTTPRoute/web: Malla does not serve HTTPRoute (policy.linkerd.io) yet: it has no effect",
      "Server/web: Malla does not serve Server (policy.linkerd.io) yet: " +
      "the pods that it selects refuse all clients",
    ]);
    const pre = await run("check", "--pre", "-o", "short");
    expect(pre.code).toBe(1);
    expect(pre.stdout).toContain(`Server ${SHOP}/web`);
    const installed = await run("install", "--force");
    expect([installed.code, installed.stdout]).toEqual([1, ""]);
    expect(installed.stderr).toContain(`Server ${SHOP}/web`);
    await cluster.kubectl(["delete", "crd", "servers.policy.linkerd.io"]);
    await cluster.kubectl(["delete", "crd", "httproutes.policy.linkerd.io"]);
    await waitFor("the admission", async () => await status() === "200");
  }, TEST_MS);

  test("renews its issuer without a restart, and pods are certified by it", async () => {
    const uid = async () => {
      const { items } = await cluster.get("pods", "-n", CONTROL_NAMESPACE) as {
        items: KubeObject[];
      };
      return items.map(({ metadata }) => metadata.uid).sort();
    };
    const pods = await uid();
    await apply("upgrade", "--rotate-issuer");
    await waitFor("the new issuer", async () => {
      const words = ["-n", CONTROL_NAMESPACE, "logs", "deployment/malla-identity"];
      const log = await cluster.kubectl(words);
      return log.split("issuer is loaded").length > 2;
    });
    expect(await uid()).toEqual(pods);
    await cluster.kubectl(["-n", SHOP, "rollout", "restart", "deployment/client"]);
    await cluster.rollout(SHOP, "deployment/client");
    expect(await status()).toBe("200");
    expect((await run("check", "-o", "short")).code).toBe(0);
  }, TEST_MS);

  test("beside Linkerd's injector obeys its own words alone", async () => {
    await cluster.apply([{
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name: LINKERD_WEBHOOK },
    }]);
    // What the injector asked a moment ago it still believes.
    await waitFor("the injector to know", async () => {
      const annotations = { "linkerd.io/inject": "enabled" };
      const trial = await cluster.kubectl(["create", "--dry-run=server", "-o", "json", "-f", "-"], {
        input: JSON.stringify({
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: "trial", namespace: "default", annotations },
          spec: { containers: [{ name: "app", image: APPS_IMAGE }] },
        }),
      });
      return !trial.includes("linkerd-proxy");
    });
    await cluster.apply([
      sleeper("theirs", { "linkerd.io/inject": "enabled" }),
      sleeper("ours", { "malla.dev/inject": "enabled" }),
    ]);
    for (const name of ["theirs", "ours"]) await cluster.rollout("default", `deployment/${name}`);
    const containers = async (name: string) => {
      const { items } = await cluster.get("pods", "-l", `app=${name}`) as {
        items: { spec: { initContainers?: { name: string }[] } }[];
      };
      return (items[0]?.spec.initContainers ?? []).map((container) => container.name);
    };
    expect(await containers("theirs")).toEqual([]);
    expect(await containers("ours")).toEqual(["linkerd-init", "linkerd-proxy"]);
    await cluster.kubectl([
      ...["delete", "mutatingwebhookconfiguration", LINKERD_WEBHOOK],
    ]);
    await cluster.kubectl(["delete", "deployment", "theirs", "ours", "--wait=false"]);
  }, TEST_MS);

  const scaleInjector = (replicas: number) =>
    cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "scale", "deployment/malla-injector"],
      `--replicas=${replicas}`,
    ]);

  /** Resolves when no injector is left. */
  const endInjector = async () => {
    await scaleInjector(0);
    await cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "wait", "--for=delete", "pod", "--timeout=60s"],
      ...["-l", "app.kubernetes.io/name=malla-injector"],
    ]);
  };

  test("never blocks the cluster when the injector is down", async () => {
    await endInjector();
    await cluster.apply([sleeper("plain", { "malla.dev/inject": "enabled" })]);
    await cluster.rollout("default", "deployment/plain");
    const { code, stdout } = await run("check", "--proxy", "--wait", "1s", "-o", "short");
    expect(code).toBe(1);
    expect(stdout).toContain("was admitted without a proxy");
    expect(stdout).toContain("default/plain-");
    await scaleInjector(1);
    await cluster.rollout(CONTROL_NAMESPACE, "deployment/malla-injector");
    // Ready is not yet reached: nodes hear of the endpoint a moment later. The check waits for that.
    expect((await run("check", "-o", "short")).code).toBe(0);
    await cluster.kubectl(["rollout", "restart", "deployment/plain"]);
    await cluster.rollout("default", "deployment/plain");
    await waitFor(
      "no complaint",
      async () => !(await run("check", "--proxy", "-o", "short")).stdout.includes("default/plain-"),
    );
    await cluster.kubectl(["delete", "deployment", "plain", "--wait=false"]);
  }, TEST_MS);

  test("refuses pods without an injector where it must not fail open, and no others", async () => {
    await apply("upgrade", "--set", "webhookFailurePolicy=Fail");
    await endInjector();
    const asking = { "malla.dev/inject": "enabled" };
    const pod = (namespace: string) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "alone", namespace, annotations: asking },
      spec: {
        containers: [{ name: "app", image: APPS_IMAGE, command: ["sleep", "1000000"] }],
        terminationGracePeriodSeconds: 0,
      },
    });
    const create = (namespace: string) =>
      cluster.tryKubectl(["create", "-f", "-"], { input: JSON.stringify(pod(namespace)) });
    const refused = await create("default");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('failed calling webhook "proxy.injector.malla.dev"');
    // A namespace that is exempt, and those without which no injector would ever come back.
    await cluster.apply([{
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: "exempt",
        labels: { "config.linkerd.io/admission-webhooks": "disabled" },
        annotations: asking,
      },
    }]);
    await waitFor("a pod of the exempt namespace", async () => (await create("exempt")).code === 0);
    await cluster.kubectl(["-n", "exempt", "wait", "--for=condition=Ready", "pod/alone"]);
    const { spec } = await cluster.get("pod", "alone", "-n", "exempt") as {
      spec: { initContainers?: unknown };
    };
    expect(spec.initContainers).toBe(undefined);
    await cluster.kubectl(["-n", "kube-system", "rollout", "restart", "deployment/coredns"]);
    await cluster.rollout("kube-system", "deployment/coredns");
    await scaleInjector(1);
    await cluster.kubectl(["-n", CONTROL_NAMESPACE, "delete", "pod", "--all"]);
    for (const part of COMPONENTS) await cluster.rollout(CONTROL_NAMESPACE, `deployment/${part}`);
    await waitFor("an injected pod", async () => (await create("default")).code === 0);
    const injected = await cluster.get("pod", "alone") as {
      spec: { initContainers: { name: string }[] };
    };
    expect(injected.spec.initContainers.map(({ name }) => name)).toContain("linkerd-proxy");
    await cluster.kubectl(["delete", "pod", "alone"]);
    await cluster.kubectl(["delete", "namespace", "exempt", "--wait=false"]);
    await apply("upgrade", "--set", "webhookFailurePolicy=Ignore");
  }, TEST_MS);

  test("is not ready without a right, and says which", async () => {
    await cluster.kubectl(["delete", "clusterrolebinding", "malla-injector"]);
    await cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "wait", "--for=condition=Ready=false", "pod", "--timeout=60s"],
      ...["-l", "app.kubernetes.io/name=malla-injector"],
    ]);
    const words = ["-n", CONTROL_NAMESPACE, "logs", "deployment/malla-injector"];
    const log = await cluster.kubectl(words);
    expect(log).toMatch(/cannot decide on any pod .*cannot (?:get|list) resource/);
    await apply("upgrade");
    await cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "wait", "--for=condition=Ready", "pod", "--timeout=60s"],
      ...["-l", "app.kubernetes.io/name=malla-injector"],
    ]);
    expect((await run("check", "-o", "short")).code).toBe(0);
  }, TEST_MS);

  test("is refused to go while it is needed, and goes without a trace", async () => {
    const refused = await run("uninstall");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`  ${SHOP}/`);
    await cluster.kubectl(["delete", "namespace", SHOP]);
    await cluster.kubectl(["delete", "deployment", "-n", "default", "--all"]);
    await waitFor("the last pod", async () => (await run("uninstall")).code === 0);
    const { stdout } = await run("uninstall");
    await cluster.kubectl(["delete", "-f", "-"], { input: stdout });
    expect((await run("check", "--pre")).code).toBe(0);
    expect((await run("uninstall")).stderr).toContain("nothing of Malla is in namespace");
  }, TEST_MS);

  test("tells a person without rights which are missing, and what grants them", async () => {
    const asEve = async () => await run("check", "--pre", "--as", "eve", "-o", "short");
    const { code, stdout } = await asEve();
    expect(code).toBe(1);
    for (const kind of ["namespaces", "clusterroles.rbac.authorization.k8s.io"]) {
      expect(stdout).toContain(`this user may not create ${kind}`);
    }
    expect(stdout).toContain("kubectl create clusterrole malla-install-clusterroles --verb=create");
    const refusal = 'User "eve" cannot get resource "namespaces"';
    expect(stdout).toContain(refusal);
    const commands = stdout.split("\n").flatMap((line) =>
      /kubectl (create \S+ malla-get-namespaces .*)$/.exec(line)?.[1] ?? []
    );
    expect(commands).toHaveLength(2);
    for (const command of commands) await cluster.kubectl(command.split(" "));
    expect((await asEve()).stdout).not.toContain(refusal);
    for (const kind of ["clusterrole", "clusterrolebinding"]) {
      await cluster.kubectl(["delete", kind, "malla-get-namespaces"]);
    }
  }, TEST_MS);

  test("waits for a namespace that is still being deleted", async () => {
    const held = { name: "held", namespace: CONTROL_NAMESPACE };
    await cluster.apply([
      { apiVersion: "v1", kind: "Namespace", metadata: { name: CONTROL_NAMESPACE } },
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...held, finalizers: ["malla.test/hold"] },
      },
    ]);
    await cluster.kubectl(["delete", "namespace", CONTROL_NAMESPACE, "--wait=false"]);
    const message = `namespace "${CONTROL_NAMESPACE}" is being deleted`;
    const pre = await run("check", "--pre", "--wait", "1s", "-o", "short");
    expect([pre.code, pre.stdout.includes(message)]).toEqual([1, true]);
    const refused = await run("install");
    expect([refused.code, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toContain(message);
    await cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "patch", "configmap", held.name, "--type=merge"],
      ...["-p", `{"metadata":{"finalizers":null}}`],
    ]);
    await cluster.kubectl([
      ...["wait", "--for=delete", `namespace/${CONTROL_NAMESPACE}`, "--timeout=60s"],
    ]);
    expect((await run("check", "--pre")).code).toBe(0);
    expect((await run("install")).code).toBe(0);
  }, TEST_MS);

  test("takes Linkerd's place with its namespace, anchors and issuer", async () => {
    const namespace = LINKERD;
    await cluster.apply(await linkerdObjects());
    await installMalla(cluster, MALLA_IMAGE, { args: ["--take-over-linkerd"], namespace });
    expect((await run("check", "-L", namespace, "-o", "short")).code).toBe(0);
    await cluster.apply(shopObjects());
    for (const workload of ["web", "client"]) await cluster.rollout(SHOP, `deployment/${workload}`);
    const target = { namespace: SHOP, pod: "deployment/client", container: "client" };
    const { stdout } = await cluster.exec(target, ["curl", "-s", "-m", "10", SHOP_URL]);
    expect(stdout).toBe(`hello client.${SHOP}.serviceaccount.identity.linkerd.cluster.local\n`);
    const removal = await run("uninstall", "-L", namespace, "--force");
    expect(removal.stdout).not.toContain("kind: Namespace");
    expect(removal.stdout).not.toContain("linkerd-identity-issuer");
    await cluster.kubectl(["delete", "-f", "-"], { input: removal.stdout });
    await cluster.kubectl(["delete", "mutatingwebhookconfiguration", LINKERD_WEBHOOK]);
    await cluster.kubectl(["delete", "namespace", namespace, SHOP, "--wait=false"]);
  }, TEST_MS);
});
