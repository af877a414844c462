/**
 * How the plugin reaches the cluster: a kubeconfig in JSON, which is YAML too, so that kubectl reads it
 * and the plugin, which starts anew for each pod, need not load what reads YAML.
 */

import { Fault } from "../base/fault.ts";
import { isRecord } from "../source/shape.ts";
import type { KubeAccess } from "../source/kube/access.ts";

/** Who asks, and whom. */
export interface NodeLogin {
  readonly server: string;
  /** The authority of the server's certificate, PEM; absent: the system's. */
  readonly ca?: string;
  readonly token: string;
}

/** Writes the file. */
export function formatKubeconfig({ server, ca, token }: NodeLogin): string {
  const encode = (text: string) => new TextEncoder().encode(text).toBase64();
  const config = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "malla-cni",
    "clusters": [{
      name: "local",
      cluster: {
        server,
        ...(ca === undefined ? {} : { "certificate-authority-data": encode(ca) }),
      },
    }],
    "users": [{ name: "malla-cni", user: { token } }],
    "contexts": [{ name: "malla-cni", context: { cluster: "local", user: "malla-cni" } }],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Reads what was written. Throws `invalid_argument` for any other kubeconfig. */
export function readKubeconfig(text: string): NodeLogin {
  const config = jsonOf(text);
  const cluster = fieldOf(config, "clusters", 0, "cluster");
  const server = fieldOf(cluster, "server");
  const ca = fieldOf(cluster, "certificate-authority-data");
  const token = fieldOf(config, "users", 0, "user", "token");
  if (typeof server !== "string" || typeof token !== "string") {
    throw new Fault(
      "invalid_argument",
      "Cannot read the kubeconfig: expected a server and a token",
    );
  }
  return { server, token, ...(typeof ca === "string" ? { ca: decoded(ca) } : {}) };
}

/** The way to the cluster that a login means. */
export function loginAccess({ server, ca, token }: NodeLogin): KubeAccess {
  return {
    server,
    target: (path) =>
      Promise.resolve({
        url: server + path,
        headers: { authorization: `Bearer ${token}` },
        ...(ca === undefined ? {} : { ca }),
      }),
  };
}

/** The login that a way to the cluster uses at this moment. Throws `failed_precondition` without token. */
export async function loginOf(access: KubeAccess): Promise<NodeLogin> {
  const { headers, ca } = await access.target("");
  const [, value = ""] =
    Object.entries(headers).find(([name]) => name.toLowerCase() === "authorization") ?? [];
  const [, token] = /^Bearer (.+)$/.exec(value) ?? [];
  if (token === undefined) {
    throw new Fault("failed_precondition", `Cannot log in to ${access.server} without a token`);
  }
  return { server: access.server, token, ...(ca === undefined ? {} : { ca }) };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new Fault("invalid_argument", "Cannot read the kubeconfig: expected JSON", { cause });
  }
}

function fieldOf(value: unknown, ...path: readonly (string | number)[]): unknown {
  let found = value;
  for (const step of path) {
    found = Array.isArray(found)
      ? found[Number(step)]
      : isRecord(found)
      ? found[String(step)]
      : undefined;
  }
  return found;
}

function decoded(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(base64));
  } catch (cause) {
    throw new Fault("invalid_argument", "Cannot read the kubeconfig's authority: expected Base64", {
      cause,
    });
  }
}
