/** Asks the API of a mesh: one whose address is given, that of this machine, or that of a cluster. */

import { Fault } from "../base/fault.ts";
import { httpGet } from "../host/http-get.ts";
import { environment } from "../host/process.ts";
import { findMesh } from "../local/running-mesh.ts";
import {
  type ClusterFlags,
  CONTROL_NAMESPACE,
  kubeconfigFiles,
  openClient,
} from "./cluster-flags.ts";
import { askViz } from "./cluster/viz-api.ts";
import { meshRunsHere } from "./mesh-note.ts";

/** The bounds of one question. */
const BOUNDS = { timeoutMs: 10_000, bytesMax: 64 * 1_024 * 1_024 };

/** Asks a mesh's API; the shape of the answer is the dashboard's promise. */
export type AskMesh = <T>(path: string) => Promise<T>;

/**
 * The API that a verb asks: at the address that was given; of the cluster that the flags name; of the
 * mesh that runs here; of the cluster that a kubeconfig leads to.
 */
export async function openMesh(
  flags: ClusterFlags & { readonly url?: string },
): Promise<AskMesh> {
  const { url, kubeconfig, context, mallaNamespace = CONTROL_NAMESPACE } = flags;
  if (url !== undefined) return (path) => askMesh(url, path);
  const isNamed = [kubeconfig, context, flags.mallaNamespace].some((flag) => flag !== undefined);
  const hasCluster = kubeconfigFiles(kubeconfig, environment()) !== undefined;
  if (isNamed || (hasCluster && !await meshRunsHere())) {
    return askViz(await openClient(flags), mallaNamespace);
  }
  const { pageUrl } = await findMesh();
  return (path) => askMesh(pageUrl, path);
}

/** Asks the API at an address; the shape of the answer is the dashboard's promise. */
export async function askMesh<T>(url: string, path: string): Promise<T> {
  const { status, text } = await httpGet(`${url.replace(/\/$/, "")}${path}`, BOUNDS);
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    throw new Fault("unavailable", `${url} does not answer like a dashboard of Malla`, { cause });
  }
  if (status === 200) return answer as T;
  const reason = (answer as { readonly error?: unknown } | null)?.error;
  throw new Fault(
    status === 400 ? "invalid_argument" : "unavailable",
    typeof reason === "string" ? reason : `${url} answered with status ${status}`,
  );
}
