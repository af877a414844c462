/** Whether all parts of the control plane are there, ready, of one version, and several where they should be. */

import { VERSION } from "../../base/version.ts";
import { readValues } from "../../config/mod.ts";
import { INSTALLED_KINDS, installedObjects } from "../../install/installed.ts";
import { installObjects } from "../../install/objects.ts";
import { INSTALL_VALUES, type InstallValues } from "../../install/values.ts";
import type { Component } from "../../install/names.ts";
import type { KubeObject } from "../../source/kube/client.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { type ClusterView, fieldOf, listOf, nameOf, someOf } from "./view.ts";

const NAME_LABEL = "app.kubernetes.io/name";
/** A node that goes away is no reason to worry; a program that fails ends more often. */
const RESTARTS_NOTICED = 5;

/** The command that brings an installation to what it should be; `flags` change its values. */
export async function upgradeCommand(view: ClusterView, flags = ""): Promise<string> {
  const stored = await view.stored();
  if (stored?.isHelms === true) return `helm upgrade malla CHART ${flags}`.trimEnd();
  return `malla upgrade ${flags}${flags === "" ? "" : " "}| kubectl apply -f -`;
}

/** `malla-existence` of these parts. */
export function existenceChecks(view: ClusterView, parts: readonly Component[]): Category {
  return {
    name: "malla-existence",
    checks: [
      configured(view),
      ...parts.map((part) => ready(view, part)),
      ...parts.map((part) => stays(view, part)),
    ],
  };
}

/** `malla-config`, `malla-version`, `control-plane-version`, `malla-ha-checks`. */
export function installationChecks(
  view: ClusterView,
  expectedVersion: string | undefined,
): readonly Category[] {
  return [
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

function ready(view: ClusterView, part: Component): Check {
  return {
    name: `${part} is ready`,
    retries: true,
    async run(): Promise<Outcome> {
      const deployment = (await view.deployments()).find(({ metadata }) => metadata.name === part);
      if (deployment === undefined) {
        if (part === "malla-viz" && (await storedValues(view))?.viz.enabled === false) {
          return PASSED;
        }
        return {
          status: "fail",
          message: `there is no Deployment ${part}`,
          hint: await upgradeCommand(view),
        };
      }
      const count = (...path: string[]) => Number(fieldOf(deployment, ...path) ?? 0);
      const wanted = Number(fieldOf(deployment, "spec", "replicas") ?? 1);
      const pods = await podsOf(view, part);
      // Those that end may still be asked, and answer as they were told to before.
      const hasEnding = pods.some(({ metadata }) => metadata.deletionTimestamp !== undefined);
      if (wanted > 0 && isRolledOut(count, wanted) && !hasEnding) return PASSED;
      if (wanted === 0) {
        return {
          status: "fail",
          message: "it was scaled to no replica",
          hint: `kubectl -n ${view.namespace} scale deployment/${part} --replicas=1`,
        };
      }
      const reasons = pods.map(whyNotReady).filter(Boolean);
      return {
        status: "fail",
        message: reasons.join("\n") ||
          (count("status", "updatedReplicas") < wanted
            ? `${count("status", "updatedReplicas")} of ${wanted} replicas are as they should be`
            : "pods of before are still there"),
        hint: `kubectl -n ${view.namespace} describe pods -l ${NAME_LABEL}=${part}; ` +
          `kubectl -n ${view.namespace} logs deployment/${part}`,
      };
    },
  };
}

/** Not only are enough pods ready: they are those that the Deployment asks for now. */
function isRolledOut(count: (...path: string[]) => number, wanted: number): boolean {
  return count("status", "observedGeneration") >= count("metadata", "generation") &&
    count("status", "updatedReplicas") >= wanted &&
    count("status", "readyReplicas") >= wanted &&
    count("status", "replicas") === count("status", "updatedReplicas");
}

/** A part that is ready at this moment may still be one that ends again and again. */
function stays(view: ClusterView, part: Component): Check {
  return {
    name: `${part} does not restart again and again`,
    async run() {
      const found = (await podsOf(view, part)).flatMap((pod) =>
        listOf(pod, "status", "containerStatuses")
          .filter((status) => Number(fieldOf(status, "restartCount") ?? 0) >= RESTARTS_NOTICED)
          .map((status) => {
            const last = fieldOf(status, "lastState", "terminated");
            const why = fieldOf(last, "reason") ?? "no reason given";
            const when = fieldOf(last, "finishedAt");
            return {
              isMemory: why === "OOMKilled",
              text: `${pod.metadata.name}: ${fieldOf(status, "restartCount")} restarts, ` +
                `the last one: ${why}${when === undefined ? "" : ` at ${when}`}`,
            };
          })
      );
      if (found.length === 0) return PASSED;
      const value = `${part.replace("malla-", "")}.resources.limits.memory`;
      return {
        status: "warn",
        message: found.map(({ text }) => text).join("\n"),
        hint: found.some(({ isMemory }) => isMemory)
          ? await upgradeCommand(view, `--set ${value}=1Gi`)
          : `kubectl -n ${view.namespace} logs deployment/${part} --previous`,
      };
    },
  };
}

async function podsOf(view: ClusterView, part: Component): Promise<readonly KubeObject[]> {
  return (await view.controlPods()).filter(({ metadata }) =>
    metadata.labels?.[NAME_LABEL] === part
  );
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
      // Those that go were replaced by others a moment ago.
      const pods = (await view.controlPods()).filter(({ metadata }) =>
        metadata.deletionTimestamp === undefined
      );
      const nodes = new Map<string, Set<unknown>>();
      const counts = new Map<string, number>();
      for (const pod of pods) {
        const part = pod.metadata.labels?.[NAME_LABEL] ?? "";
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
