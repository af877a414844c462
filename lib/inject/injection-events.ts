/** Events about injections: at the workload that makes the pods, where its owner will look. */

import type { KubeClient } from "../source/kube/client.ts";
import type { EventObject, EventRecorder, EventText } from "../source/kube/events.ts";
import type { Admission } from "./webhook.ts";

/** Where workloads are asked for that may be made by others themselves. */
const PLURALS: Readonly<Record<string, string>> = { ReplicaSet: "replicasets", Job: "jobs" };

/** Tells what was decided about a pod, if anybody asked for a proxy or was refused. */
export function recordAdmission(
  admission: Admission,
  recorder: EventRecorder,
  client: KubeClient,
): void {
  const text = textOf(admission);
  if (text === undefined || admission.dryRun) return;
  const { namespace, name, owner } = admission;
  if (owner?.uid === undefined) {
    const pod = { apiVersion: "v1", kind: "Pod", namespace, name };
    recorder.record(`pod ${namespace}/${name}`, () => Promise.resolve(pod), text);
    return;
  }
  const { apiVersion = "v1", kind, uid } = owner;
  const made = { apiVersion, kind, name: owner.name, namespace, uid };
  recorder.record(uid, () => topOwner(client, made), text);
}

function textOf({ resource, outcome, asked, reason = "" }: Admission): EventText | undefined {
  if (resource !== "pod") return undefined;
  switch (outcome) {
    case "injected":
      return { type: "Normal", reason: "Injected", message: "Malla's proxy was added" };
    case "skipped":
      if (!asked) return undefined;
      return {
        type: "Warning",
        reason: "InjectionSkipped",
        message: `Malla's proxy was not added: ${reason}`,
      };
    case "refused":
      return { type: "Warning", reason: "InjectionRefused", message: reason };
    case "failed":
      return {
        type: "Warning",
        reason: "InjectionFailed",
        message: `Malla's proxy was not added: ${reason}`,
      };
  }
}

/** The Deployment of a ReplicaSet, the CronJob of a Job, else the owner itself. */
async function topOwner(client: KubeClient, owner: EventObject): Promise<EventObject> {
  const plural = PLURALS[owner.kind];
  if (plural === undefined) return owner;
  const { apiVersion, namespace, name } = owner;
  const object = await client.get(`/apis/${apiVersion}/namespaces/${namespace}/${plural}/${name}`);
  const above = object?.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (above === undefined) return owner;
  return {
    apiVersion: above.apiVersion,
    kind: above.kind,
    name: above.name,
    namespace,
    uid: above.uid,
  };
}
