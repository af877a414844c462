/** The options of verbs that ask a cluster, and the client that they make. */

import { Fault } from "../base/fault.ts";
import type { Environment } from "../config/mod.ts";
import { exists } from "../host/directory.ts";
import { environment } from "../host/process.ts";
import { inClusterAccess, kubeconfigAccess } from "../source/kube/access.ts";
import { KubeClient } from "../source/kube/client.ts";
import type { Verb } from "./verb.ts";

/** What the options say; the names of the flags are those of kubectl and Linkerd. */
export interface ClusterFlags {
  readonly mallaNamespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly as?: string;
  readonly asGroup?: string;
  readonly apiAddr?: string;
}

/** The namespace of a control plane when nobody says another one. */
export const CONTROL_NAMESPACE = "malla";

/** Adds the options to a verb. */
export function addClusterOptions(verb: Verb): Verb {
  return verb
    .option("-L, --malla-namespace <ns>", `namespace of the control plane (default: malla)`)
    .option(
      "--kubeconfig <file>",
      "how to reach the cluster (default: $KUBECONFIG, ~/.kube/config)",
    )
    .option("--context <name>", "the kubeconfig's context (default: its current one)")
    .option("--as <user>", "act as this user")
    .option("--as-group <group>", "act as a member of this group")
    .option("--api-addr <url>", "address of the API server (default: the kubeconfig's)");
}

/** Where kubeconfigs are: what was given, else as kubectl finds them; undefined when there is none. */
export function kubeconfigFiles(
  given: string | undefined,
  env: Environment,
): string | undefined {
  const named = given ?? (env["KUBECONFIG"] || undefined);
  if (named !== undefined) return named;
  const usual = `${env["HOME"] ?? ""}/.kube/config`;
  return exists(usual) ? usual : undefined;
}

/** A client for the cluster that the options mean. Throws `invalid_argument` or `failed_precondition`. */
export async function openClient(flags: ClusterFlags): Promise<KubeClient> {
  const env = environment();
  const files = kubeconfigFiles(flags.kubeconfig, env);
  if (files === undefined) {
    if (env["KUBERNETES_SERVICE_HOST"]) return new KubeClient(inClusterAccess(env));
    throw new Fault(
      "failed_precondition",
      "Cannot find a cluster: there is neither --kubeconfig, nor $KUBECONFIG, nor ~/.kube/config",
    );
  }
  const { context, as, asGroup, apiAddr } = flags;
  return new KubeClient(
    await kubeconfigAccess(files, { context, as, asGroup, server: apiAddr }),
  );
}
