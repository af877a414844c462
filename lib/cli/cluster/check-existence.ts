/** Whether all parts of the control plane are there, ready, of one version, and several where they should be. */

import { VERSION } from "../../base/version.ts";
import { readValues } from "../../config/mod.ts";
import { INSTALLED_KINDS, installedObjects } from "../../install/installed.ts";
import { installObjects } from "../../install/objects.ts";
import { INSTALL_VALUES, type InstallValues } from "../../install/values.ts";
import type { KubeObject } from "../../source/kube/client.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { type ClusterView, fieldOf, listOf, nameOf, someOf } from "./view.ts";

/** The command that brings an installation to what it should be; `flags` change its values. */
export async function upgradeCommand(view: ClusterView, flags = ""): Promise<string> {
  const stored = await view.stored();
  if (stored?.isHelms === true) return `helm upgrade malla CHART ${flags}`.trimEnd();
  return `malla upgrade ${flags}${flags === "" ? "" : " "}| kubectl apply -f -`;
}

/** `malla-existence`, `malla-config`, `malla-version`, `control-plane-version`, `malla-ha-checks`. */
export function existenceChecks(
  view: ClusterView,
  expectedVersion: string | undefined,
): readonly Category[] {
  return [
    { name: "malla-existence", checks: [configured(view), ready(view)] },
    { name: "malla-config", checks: [complete(view)] },
    { name: "malla-version", checks: [cliVersion(view, expectedVersion ?? VERSION)] },
    { name: "control-plane-version", checks: [oneImage(view)] },
    { name: "malla-ha-checks", checks: [replicated(view), spread(view)] },
  ];
}

/** The values of the installation; undefined when there is none or they cannot be read. */
export async function storedValues(view: ClusterView): Promise<InstallValues | undefined> {
  const stored = await view.stored();
  return stored === undefined
    ? undefined
    : readValues("the installation", INSTALL_VALUES, [stored.layer]);
}

function configured(view: ClusterView): Check {
  return {
    name: "the control plane is installed",
    isBasis: "of all",
    async run() {
      if (await view.stored() !== undefined) return PASSED;
      return {
        status: "fail",
        message: `there is no ConfigMap malla-config in namespace "${view.namespace}"`,
        hint: "malla install | kubectl apply -f -, or name the namespace with --malla-namespace",
      };
    },
  };
}

function ready(view: ClusterView): Check {
  return {
    name: "the control plane's pods are ready",
    isBasis: true,
    retries: true,
    async run() {
      const lagging = (await view.deployments()).filter((deployment) =>
        Number(fieldOf(deployment, "status", "readyReplicas") ?? 0) <
          Number(fieldOf(deployment, "spec", "replicas") ?? 1)
      );
      if (lagging.length === 0) return PASSED;
      const pods = await view.controlPods();
      const messages = lagging.map((deployment) => {
        const name = deployment.metadata.name;
        const own = pods.filter(({ metadata }) =>
          metadata.labels?.["app.kubernetes.io/name"] === name
        );
        return `${name}: ${own.map(whyNotReady).filter(Boolean).join("; ") || "it has no pod"}`;
      });
      return {
        status: "fail",
        message: messages.join("\n"),
        hint: `kubectl -n ${view.namespace} describe pods; kubectl -n ${view.namespace} logs ` +
          `deployment/${lagging[0]?.metadata.name}`,
      };
    },
  };
}

/** Empty when it is ready. */
function whyNotReady(pod: KubeObject): string {
  const conditions = listOf(pod, "status", "conditions");
  const isReady = conditions.some((one) =>
    fieldOf(one, "type") === "Ready" && fieldOf(one, "status") === "True"
  );
  if (isReady) return "";
  const states = listOf(pod, "status", "containerStatuses").flatMap((status) => {
    const waiting = fieldOf(status, "state", "waiting");
    const ended = fieldOf(status, "lastState", "terminated", "message");
    const words = [fieldOf(waiting, "reason"), fieldOf(waiting, "message"), ended];
    return words.filter((word) => typeof word === "string");
  });
  const unscheduled = conditions.filter((one) => fieldOf(one, "status") === "False")
    .map((one) => fieldOf(one, "message")).filter((word) => typeof word === "string");
  return `${pod.metadata.name} is not ready${
    [...states, ...unscheduled].map((word) => `: ${word}`)[0] ?? ""
  }`;
}

function complete(view: ClusterView): Check {
  return {
    name: "every object of the installation is there",
    async run(): Promise<Outcome> {
      const values = await storedValues(view);
      if (values === undefined) return { status: "fail", message: "its values cannot be read" };
      const found = new Set(
        (await installedObjects(view.client, view.namespace)).map(({ kind, metadata }) =>
          `${kind} ${metadata.name}`
        ),
      );
      const kinds = new Set(INSTALLED_KINDS.map(({ kind }) => kind));
      const missing = installObjects(values, view.namespace)
        .filter(({ kind }) => kinds.has(kind))
        .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
        .filter((title) => !found.has(title));
      if (missing.length === 0) return PASSED;
      return {
        status: "fail",
        message: `missing: ${someOf(missing)}`,
        hint: await upgradeCommand(view),
      };
    },
  };
}

function cliVersion(view: ClusterView, expected: string): Check {
  return {
    name: `the installation is of version ${expected}`,
    async run() {
      const version = (await view.stored())?.version ?? "";
      if (version === expected) return PASSED;
      return {
        status: "warn",
        message: `it is of version ${version}`,
        hint: await upgradeCommand(view),
      };
    },
  };
}

function oneImage(view: ClusterView): Check {
  return {
    name: "all parts of the control plane run the same image",
    async run() {
      const images = new Map<string, string[]>();
      for (const pod of await view.controlPods()) {
        const image = String(fieldOf(pod, "spec", "containers", 0, "image"));
        images.set(image, [...images.get(image) ?? [], pod.metadata.name]);
      }
      if (images.size <= 1) return PASSED;
      const message = [...images].map(([image, pods]) => `${image}: ${pods.join(", ")}`).join("\n");
      return {
        status: "warn",
        message,
        hint: `kubectl -n ${view.namespace} rollout status deployment, or ` +
          await upgradeCommand(view),
      };
    },
  };
}

function replicated(view: ClusterView): Check {
  return {
    name: "a webhook that refuses pods when it is down has several replicas",
    async run() {
      const values = await storedValues(view);
      if (values === undefined || values.webhookFailurePolicy !== "Fail") return PASSED;
      if (values.controllerReplicas > 1) return PASSED;
      return {
        status: "warn",
        message:
          "webhookFailurePolicy is Fail with one replica: while its node is replaced no pod " +
          "can be created in the namespaces that it sees",
        hint: await upgradeCommand(view, "--set controllerReplicas=3"),
      };
    },
  };
}

function spread(view: ClusterView): Check {
  return {
    name: "replicas of a part are on different nodes",
    async run() {
      const pods = await view.controlPods();
      const nodes = new Map<string, Set<unknown>>();
      const counts = new Map<string, number>();
      for (const pod of pods) {
        const part = pod.metadata.labels?.["app.kubernetes.io/name"] ?? "";
        counts.set(part, (counts.get(part) ?? 0) + 1);
        nodes.set(part, (nodes.get(part) ?? new Set()).add(fieldOf(pod, "spec", "nodeName")));
      }
      const crowded = [...counts].filter(([part, count]) =>
        count > 1 && nodes.get(part)?.size === 1
      )
        .map(([part]) => part);
      if (crowded.length === 0) return PASSED;
      return {
        status: "warn",
        message: `all replicas on one node: ${crowded.join(", ")}`,
        hint:
          `add nodes; ${await upgradeCommand(view, "--set enableTopologySpread=true")} spreads ` +
          "replicas over them",
      };
    },
  };
}

/** Names of pods, for other checks. */
export function namesOf(pods: readonly KubeObject[]): string {
  return someOf(pods.map(nameOf));
}
