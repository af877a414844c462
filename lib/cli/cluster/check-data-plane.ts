/** Whether the pods of the mesh have ready proxies of this version that trust the anchors of now. */

import { sha256Hex } from "../../host/digest.ts";
import { INJECT_ANNOTATION, LINKERD_INJECT_ANNOTATION } from "../../inject/decision.ts";
import { foreignMesh } from "../../inject/foreign.ts";
import { PROXY_CONTAINER } from "../../inject/mod.ts";
import type { Pod } from "../../inject/object.ts";
import { isRunning } from "../../install/installed.ts";
import { namespaceObstacle } from "../../install/preflight.ts";
import type { KubeObject } from "../../source/kube/client.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { namesOf, upgradeCommand } from "./check-existence.ts";
import { trustAnchorsOf } from "./check-identity.ts";
import { type ClusterView, fieldOf, listOf, someOf } from "./view.ts";

/** Where a proxy listens for its application's connections. */
const OUTBOUND_ADDRESSES = "LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS";
const RESTART = "kubectl -n NAMESPACE rollout restart deployment/NAME";

/** `malla-data-plane`, `malla-identity-data-plane`, of all namespaces or of one. */
export function dataPlaneChecks(
  view: ClusterView,
  namespace: string | undefined,
): readonly Category[] {
  const mine = (pods: readonly KubeObject[]) =>
    pods.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
  return [
    {
      name: "malla-data-plane",
      checks: [
        namespaceExists(view, namespace),
        ready(view, mine),
        current(view, mine),
        unmeshed(view, mine),
        oneMesh(view, mine),
        redirected(view, mine),
      ],
    },
    { name: "malla-identity-data-plane", checks: [anchors(view, mine)] },
  ];
}

type Mine = (pods: readonly KubeObject[]) => readonly KubeObject[];

function namespaceExists(view: ClusterView, namespace: string | undefined): Check {
  return {
    name: namespace === undefined ? "there are meshed pods" : "the namespace is there",
    isBasis: true,
    async run(): Promise<Outcome> {
      if (namespace === undefined) {
        if ((await view.proxied()).length > 0) return PASSED;
        return {
          status: "warn",
          message: "no pod has a proxy of this mesh",
          hint:
            "kubectl annotate namespace NAME malla.dev/inject=enabled, and restart its workloads",
        };
      }
      if (await view.client.get(`/api/v1/namespaces/${namespace}`) === undefined) {
        return {
          status: "fail",
          message: `there is no namespace "${namespace}"`,
          hint: "kubectl get namespaces lists them",
        };
      }
      const obstacle = await namespaceObstacle(view.client, namespace);
      return obstacle === undefined ? PASSED : { status: "fail", ...obstacle };
    },
  };
}

function ready(view: ClusterView, mine: Mine): Check {
  return {
    name: "all proxies are ready",
    retries: true,
    async run() {
      const running = mine(await view.proxied()).filter(isRunning);
      const failing = running.filter((pod) => !isProxyReady(pod));
      if (failing.length === 0) return PASSED;
      return {
        status: "fail",
        message: namesOf(failing),
        hint: `kubectl -n NAMESPACE logs POD -c ${PROXY_CONTAINER} says what the proxy waits for`,
      };
    },
  };
}

function current(view: ClusterView, mine: Mine): Check {
  return {
    name: "all proxies are of the control plane's version",
    async run() {
      const version = (await view.stored())?.version ?? "";
      const old = mine(await view.proxied()).filter(isRunning).filter(({ metadata }) =>
        metadata.annotations?.["linkerd.io/proxy-version"] !== version
      );
      if (old.length === 0) return PASSED;
      return { status: "warn", message: namesOf(old), hint: `${RESTART} renews them` };
    },
  };
}

function anchors(view: ClusterView, mine: Mine): Check {
  return {
    name: "all proxies trust the anchors of now",
    async run() {
      const hash = sha256Hex(await trustAnchorsOf(view) ?? "");
      const old = mine(await view.proxied()).filter(isRunning).filter(({ metadata }) =>
        metadata.annotations?.["linkerd.io/trust-root-sha256"] !== hash
      );
      if (old.length === 0) return PASSED;
      return { status: "warn", message: namesOf(old), hint: `${RESTART} renews them` };
    },
  };
}

/** Pods that were there before their namespace asked, or while the injector was away. */
function unmeshed(view: ClusterView, mine: Mine): Check {
  return {
    name: "all pods that ask for a proxy have one",
    async run() {
      const asking = new Map(
        (await view.namespaces()).map(({ metadata }) =>
          [metadata.name, wordOf(metadata.annotations)] as const
        ),
      );
      const without = mine(await view.pods()).filter(isRunning).filter((pod) => {
        const { annotations, namespace = "" } = pod.metadata;
        const word = wordOf(annotations) ?? asking.get(namespace);
        return (word === "enabled" || word === "ingress") &&
          fieldOf(pod, "spec", "hostNetwork") !== true && !hasProxy(pod);
      });
      if (without.length === 0) return PASSED;
      return { status: "warn", message: namesOf(without), hint: `${RESTART} gives them one` };
    },
  };
}

/** Two redirects in one pod send its connections in circles. */
function oneMesh(view: ClusterView, mine: Mine): Check {
  return {
    name: "no pod is in two meshes",
    async run() {
      const namespaces = new Map(
        (await view.namespaces()).map(({ metadata }) => [metadata.name, metadata.labels ?? {}]),
      );
      const found = mine(await view.proxied()).filter(isRunning).flatMap((pod) => {
        const { namespace = "", name } = pod.metadata;
        const labels = namespaces.get(namespace) ?? {};
        const reason = foreignMesh(podOf(pod), { name: namespace, annotations: {}, labels });
        return reason === undefined ? [] : [`${namespace}/${name}: ${reason}`];
      });
      if (found.length === 0) return PASSED;
      return {
        status: "fail",
        message: someOf(found),
        hint: "take the words of one mesh away from pod and namespace, and restart the workload",
      };
    },
  };
}

/** What comes to an address that is not redirected meets no policy, and no encryption. */
function redirected(view: ClusterView, mine: Mine): Check {
  return {
    name: "all addresses of pods lead to their proxies",
    async run() {
      const open = mine(await view.proxied()).filter(isRunning)
        .filter((pod) => hasIPv6(pod) && !listensOnIPv6(pod));
      if (open.length === 0) return PASSED;
      return {
        status: "fail",
        message: `they have IPv6, which is not redirected: ${namesOf(open)}`,
        hint: `${await upgradeCommand(view, "--set disableIPv6=false")}; ${RESTART} renews them`,
      };
    },
  };
}

function hasIPv6(pod: KubeObject): boolean {
  return listOf(pod, "status", "podIPs").some((one) => String(fieldOf(one, "ip")).includes(":"));
}

function listensOnIPv6(pod: KubeObject): boolean {
  return containers(pod, "spec", "initContainers", "containers").some((container) =>
    fieldOf(container, "name") === PROXY_CONTAINER &&
    listOf(container, "env").some((one) =>
      fieldOf(one, "name") === OUTBOUND_ADDRESSES && String(fieldOf(one, "value")).includes("[")
    )
  );
}

/** As injection reads it; what the cluster gives has these fields. */
function podOf(pod: KubeObject): Pod {
  const { metadata } = pod;
  const named = (list: string) =>
    listOf(pod, "spec", list).map((one) => ({ name: String(fieldOf(one, "name")) }));
  return {
    metadata: {
      name: metadata.name,
      annotations: metadata.annotations ?? {},
      labels: metadata.labels ?? {},
    },
    spec: { containers: named("containers"), initContainers: named("initContainers") },
  };
}

function wordOf(annotations: Readonly<Record<string, string>> | undefined): string | undefined {
  return annotations?.[INJECT_ANNOTATION] ?? annotations?.[LINKERD_INJECT_ANNOTATION];
}

function hasProxy(pod: KubeObject): boolean {
  return containers(pod, "spec", "initContainers", "containers")
    .some((container) => fieldOf(container, "name") === PROXY_CONTAINER);
}

function isProxyReady(pod: KubeObject): boolean {
  return containers(pod, "status", "initContainerStatuses", "containerStatuses").some((status) =>
    fieldOf(status, "name") === PROXY_CONTAINER && fieldOf(status, "ready") === true
  );
}

function containers(
  pod: KubeObject,
  part: string,
  ...lists: readonly string[]
): readonly unknown[] {
  return lists.flatMap((list) => listOf(pod, part, list));
}
