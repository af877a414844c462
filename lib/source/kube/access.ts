/** How to reach a cluster: as the pod's own service account, or as kubeconfigs say. */

import { Fault } from "../../base/fault.ts";
import { joinPath, readText } from "../../host/files.ts";
import { type HttpTarget, KeptConnections } from "../../host/http-json.ts";
import type { Environment } from "../../config/mod.ts";

/** A way to a cluster's API. */
export interface KubeAccess {
  /** For log lines; no secret. */
  readonly server: string;
  /** Where to ask for a path; asked for each request, because tokens and certificates are rotated. */
  target(path: string): Promise<HttpTarget>;
}

/** What is to be other than a kubeconfig says; fields as kubectl's flags. */
export interface KubeChoice {
  readonly context?: string | undefined;
  /** The API server's address. */
  readonly server?: string | undefined;
  /** Whom to act as, and the group that this user is taken to be in. */
  readonly as?: string | undefined;
  readonly asGroup?: string | undefined;
}

/** Where the kubelet puts what a pod needs to reach the API. */
const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The way that a kubeconfig describes, else the pod's own. Throws as the two below. */
export async function clusterAccess(
  kubeconfig: string | undefined,
  env: Environment,
): Promise<KubeAccess> {
  return kubeconfig === undefined ? inClusterAccess(env) : await kubeconfigAccess(kubeconfig);
}

/** The pod's own way. Throws `failed_precondition` outside of a cluster. */
export function inClusterAccess(env: Environment, folder = SERVICE_ACCOUNT_FOLDER): KubeAccess {
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
  const kept = new KeptConnections();
  return {
    server,
    async target(path) {
      // Both files are rotated by the kubelet, so they are read each time.
      const token = (await readText(joinPath(folder, "token"))).trim();
      const ca = await readText(joinPath(folder, "ca.crt"));
      return { url: server + path, headers: { authorization: `Bearer ${token}` }, ca, kept };
    },
  };
}

/**
 * The way that a kubeconfig's current or chosen context describes. `files` is one path, or several with
 * colons between as in the variable KUBECONFIG. Throws `invalid_argument`.
 */
export async function kubeconfigAccess(
  files: string,
  choice: KubeChoice = {},
): Promise<KubeAccess> {
  const config = await readKubeconfigs(files);
  if (choice.context !== undefined) config.setCurrentContext(choice.context);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const which = choice.context === undefined ? "current" : "chosen";
    throw new Fault(
      "invalid_argument",
      `Cannot use the kubeconfig "${files}": its ${which} context ` +
        `"${config.getCurrentContext()}" names no cluster`,
    );
  }
  const server = (choice.server ?? cluster.server).replace(/\/+$/, "");
  const kept = new KeptConnections();
  return {
    server,
    async target(path) {
      const options: Parameters<typeof config.applyToHTTPSOptions>[0] = {};
      try {
        // May run a program or ask an identity provider.
        await config.applyToHTTPSOptions(options);
      } catch (cause) {
        throw new Fault("unavailable", `Cannot log in as the kubeconfig "${files}" says`, {
          cause,
        });
      }
      const { ca, cert, key, servername, rejectUnauthorized, auth } = options;
      return {
        url: server + path,
        kept,
        headers: {
          ...headersOf(options.headers),
          ...(auth ? { authorization: `Basic ${btoa(auth)}` } : {}),
          ...impersonation(choice),
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

/** Reads the files; of a name that is in several the first counts, as for kubectl. */
async function readKubeconfigs(files: string) {
  // Loaded only here: it weighs some forty megabytes, and a pod does without it.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const all = new KubeConfig();
  const parts: InstanceType<typeof KubeConfig>[] = [];
  for (const file of files.split(":").filter(Boolean)) {
    const part = new KubeConfig();
    try {
      part.loadFromString(await readText(file));
      part.makePathsAbsolute(folderOf(file));
    } catch (cause) {
      throw new Fault("invalid_argument", `Cannot read the kubeconfig "${file}"`, { cause });
    }
    parts.push(part);
  }
  all.loadFromOptions({
    clusters: firstOfName(parts.flatMap(({ clusters }) => clusters)),
    users: firstOfName(parts.flatMap(({ users }) => users)),
    contexts: firstOfName(parts.flatMap(({ contexts }) => contexts)),
    currentContext: parts.map(({ currentContext }) => currentContext).find(Boolean),
  });
  return all;
}

function firstOfName<T extends { readonly name: string }>(all: readonly T[]): T[] {
  const found = new Map<string, T>();
  for (const one of all) if (!found.has(one.name)) found.set(one.name, one);
  return [...found.values()];
}

function impersonation({ as, asGroup }: KubeChoice): Record<string, string> {
  return {
    ...(as === undefined ? {} : { "impersonate-user": as }),
    ...(asGroup === undefined ? {} : { "impersonate-group": asGroup }),
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
