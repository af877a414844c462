/** `malla uninstall`: the objects of a control plane, for `kubectl delete -f -`. */

import { Fault } from "../base/fault.ts";
import { oneOf } from "../config/mod.ts";
import type { Terminal } from "../host/terminal.ts";
import { installedObjects, meshedPods } from "../install/installed.ts";
import { clusterObjects } from "../install/preflight.ts";
import { readStored } from "../install/stored.ts";
import type { KubeClient } from "../source/kube/client.ts";
import { formatManifests } from "../source/files/manifest-text.ts";
import {
  addClusterOptions,
  type ClusterFlags,
  CONTROL_NAMESPACE,
  openClient,
} from "./cluster-flags.ts";
import { createVerb, runVerb, valueOf } from "./verb.ts";

interface UninstallFlags extends ClusterFlags {
  readonly force?: true;
  readonly output: "yaml" | "json";
}

/** Pods that are named in a refusal; a mesh may have thousands. */
const NAMED_MAX = 10;

/** Runs the verb; resolves to 0, 1 (pods still need the mesh, or there is none) or 64. */
export function runUninstall(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = createVerb(
    "uninstall",
    "The objects of a control plane: malla uninstall | kubectl delete -f -",
    terminal,
  )
    .option("-f, --force", "although pods still have proxies")
    .option("-o, --output <format>", "yaml or json", valueOf(oneOf(["yaml", "json"])), "yaml");
  return runVerb(addClusterOptions(verb), words, terminal, async () => {
    const flags = verb.opts<UninstallFlags>();
    const namespace = flags.mallaNamespace ?? CONTROL_NAMESPACE;
    const client = await openClient(flags);
    if (flags.force !== true) await refuseHelms(client, namespace);
    const objects = await installedObjects(client, namespace);
    if (objects.length === 0) {
      throw new Fault(
        "not_found",
        `Cannot uninstall: nothing of Malla is in namespace "${namespace}"`,
      );
    }
    const meshed = flags.force === true ? [] : await meshedPods(client, namespace);
    if (meshed.length > 0) {
      const named = meshed.slice(0, NAMED_MAX).map((name) => `  ${name}\n`).join("");
      const more = meshed.length > NAMED_MAX ? `  and ${meshed.length - NAMED_MAX} more\n` : "";
      throw new Fault(
        "failed_precondition",
        `Cannot uninstall: ${meshed.length} pods have proxies of this mesh:\n${named}${more}` +
          "Remove the annotation malla.dev/inject (malla uninject does) and restart them, or " +
          "use --force",
      );
    }
    terminal.write(
      flags.output === "yaml"
        ? formatManifests(objects)
        : `${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, null, 2)}\n`,
    );
    return 0;
  });
}

async function refuseHelms(client: KubeClient, namespace: string): Promise<void> {
  const stored = await readStored(clusterObjects(client, namespace));
  if (stored?.isHelms !== true) return;
  throw new Fault(
    "failed_precondition",
    "Cannot uninstall: Helm installed this control plane, so helm uninstall must remove it",
  );
}
