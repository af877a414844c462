/** How to reach a cluster: as the pod's own service account, or as a kubeconfig says. */

import { Fault } from "../../base/fault.ts";
import { joinPath, readText } from "../../host/files.ts";
import type { HttpTarget } from "../../host/http-json.ts";

/** A way to a cluster's API. */
export interface KubeAccess {
  /** For log lines; no secret. */
  readonly server: string;
  /** Where to ask for a path; asked for each request, because tokens and certificates are rotated. */
  target(path: string): Promise<HttpTarget>;
}

/** Where the kubelet puts what a pod needs to reach the API. */
const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The way that a kubeconfig describes, else the pod's own. Throws as the two below. */
export async function clusterAccess(
  kubeconfig: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<KubeAccess> {
  return kubeconfig === undefined ? inClusterAccess(env) : await kubeconfigAccess(kubeconfig);
}

/** The pod's own way. Throws `failed_precondition` outside of a cluster. */
export function inClusterAccess(
  env: Readonly<Record<string, string | undefined>>,
  folder = SERVICE_ACCOUNT_FOLDER,
): KubeAccess {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (!host) {
    throw new Fault(
      "failed_precondition",
      "Cannot reach the cluster: KUBERNETES_SERVICE_HOST is not set, expected to run in a pod; " +
        "--help tells of other ways",
    );
  }
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return {
    server,
    async target(path) {
      // Both files are rotated by the kubelet, so they are read each time.
      const token = (await readText(joinPath(folder, "token"))).trim();
      const ca = await readText(joinPath(folder, "ca.crt"));
      return { url: server + path, headers: { authorization: `Bearer ${token}` }, ca };
    },
  };
}

/** The way that a kubeconfig's current context describes. Throws `invalid_argument`. */
export async function kubeconfigAccess(file: string): Promise<KubeAccess> {
  // Loaded only here: it weighs some forty megabytes, and a pod does without it.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    config.loadFromString(await readText(file));
    config.makePathsAbsolute(folderOf(file));
  } catch (cause) {
    throw new Fault("invalid_argument", `Cannot read the kubeconfig "${file}"`, { cause });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new Fault(
      "invalid_argument",
      `Cannot use the kubeconfig "${file}": its current context "${config.getCurrentContext()}" ` +
        "names no cluster",
    );
  }
  const server = cluster.server.replace(/\/+$/, "");
  return {
    server,
    async target(path) {
      const options: Parameters<typeof config.applyToHTTPSOptions>[0] = {};
      try {
        // May run a program or ask an identity provider.
        await config.applyToHTTPSOptions(options);
      } catch (cause) {
        throw new Fault("unavailable", `Cannot log in as the kubeconfig "${file}" says`, { cause });
      }
      const { ca, cert, key, servername, rejectUnauthorized, auth } = options;
      return {
        url: server + path,
        headers: {
          ...headersOf(options.headers),
          ...(auth ? { authorization: `Basic ${btoa(auth)}` } : {}),
        },
        ...(ca ? { ca: textOf(ca) } : {}),
        ...(cert ? { certificate: textOf(cert) } : {}),
        ...(key ? { key: textOf(key) } : {}),
        ...(servername ? { serverName: servername } : {}),
        ...(rejectUnauthorized === false ? { insecure: true } : {}),
      };
    },
  };
}

function headersOf(headers: unknown): Record<string, string> {
  const entries = typeof headers === "object" && headers !== null ? Object.entries(headers) : [];
  return Object.fromEntries(
    entries.flatMap(([name, value]) => typeof value === "string" ? [[name, value]] : []),
  );
}

/** Key material comes as text or as bytes. */
function textOf(material: unknown): string {
  return material instanceof Uint8Array ? new TextDecoder().decode(material) : String(material);
}

function folderOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.lastIndexOf("/")) || "/" : ".";
}
