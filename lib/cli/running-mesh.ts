/** Asks the API of a mesh: that of this machine, or the one whose address is given. */

import { Fault } from "../base/fault.ts";
import { httpGet } from "../host/http-get.ts";
import { findMesh } from "../local/running-mesh.ts";

/** The bounds of one question. */
const BOUNDS = { timeoutMs: 10_000, bytesMax: 64 * 1_024 * 1_024 };

/** The address of the API that a verb asks: the one that was given, else this machine's mesh's. */
export async function meshUrl(given: string | undefined): Promise<string> {
  return given ?? (await findMesh()).pageUrl;
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
