/** What checks of a cluster look at: each thing is asked for once, when the first check wants it. */

import type { YamlMap } from "../../config/mod.ts";
import { WEBHOOK_CONFIGURATION } from "../../inject/names.ts";
import { proxiedPods } from "../../install/installed.ts";
import { COMPONENTS, INSTALLATION_LABEL } from "../../install/names.ts";
import { clusterObjects } from "../../install/preflight.ts";
import { readStored, type StoredInstallation } from "../../install/stored.ts";
import type { KubeClient, KubeObject } from "../../source/kube/client.ts";

const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/** One cluster and the installation in it that is checked. */
export class ClusterView {
  readonly client: KubeClient;
  /** The control plane's. */
  readonly namespace: string;
  readonly #known = new Map<string, Promise<unknown>>();

  constructor(client: KubeClient, namespace: string) {
    this.client = client;
    this.namespace = namespace;
  }

  /** Forgets what was asked, so that a check that waits sees what is now. */
  refresh(): void {
    this.#known.clear();
  }

  /** `v1.35.4`. */
  version(): Promise<string> {
    return this.#once("version", async () => {
      const answer = await this.client.ask("/version") as
        | { readonly gitVersion?: unknown }
        | undefined;
      return typeof answer?.gitVersion === "string" ? answer.gitVersion : "";
    });
  }

  /** What the installation left; undefined when there is none. */
  stored(): Promise<StoredInstallation | undefined> {
    return this.#once("stored", () => readStored(clusterObjects(this.client, this.namespace)));
  }

  /** A ConfigMap or Secret of the control plane's namespace. */
  object(kind: "ConfigMap" | "Secret", name: string): Promise<YamlMap | undefined> {
    return this.#once(
      `${kind} ${name}`,
      () => clusterObjects(this.client, this.namespace)(kind, name),
    );
  }

  /** The Deployments of the control plane that are there. */
  deployments(): Promise<readonly KubeObject[]> {
    return this.#once("deployments", async () => {
      const path = `/apis/apps/v1/namespaces/${this.namespace}/deployments`;
      return await this.client.list(path, `${INSTALLATION_LABEL}=${this.namespace}`) ?? [];
    });
  }

  /** The pods of the control plane. */
  controlPods(): Promise<readonly KubeObject[]> {
    return this.#once("control pods", async () => {
      const path = `/api/v1/namespaces/${this.namespace}/pods`;
      const pods = await this.client.list(path, `${INSTALLATION_LABEL}=${this.namespace}`) ?? [];
      const names = new Set<string>(COMPONENTS);
      return pods.filter(({ metadata }) =>
        names.has(metadata.labels?.["app.kubernetes.io/name"] ?? "")
      );
    });
  }

  /** The injector's webhook configuration. */
  webhook(): Promise<KubeObject | undefined> {
    return this.#once("webhook", () => this.client.get(`${WEBHOOKS}/${WEBHOOK_CONFIGURATION}`));
  }

  /** The pods that have a proxy of this mesh. */
  proxied(): Promise<readonly KubeObject[]> {
    return this.#once("proxied", () => proxiedPods(this.client, this.namespace));
  }

  namespaces(): Promise<readonly KubeObject[]> {
    return this.#once("namespaces", async () => await this.client.list("/api/v1/namespaces") ?? []);
  }

  pods(): Promise<readonly KubeObject[]> {
    return this.#once("pods", async () => await this.client.list("/api/v1/pods") ?? []);
  }

  #once<T>(key: string, ask: () => Promise<T>): Promise<T> {
    // A key stands for one question, so what is kept under it has that question's type.
    const known = this.#known.get(key) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const answer = ask();
    this.#known.set(key, answer);
    return answer;
  }
}

/** Reads a field of foreign JSON by its path. */
export function fieldOf(object: unknown, ...path: readonly (string | number)[]): unknown {
  let value = object;
  for (const step of path) {
    value = typeof value === "object" && value !== null
      ? (value as Readonly<Record<string | number, unknown>>)[step]
      : undefined;
  }
  return value;
}

/** The same as a list; empty when it is none. */
export function listOf(object: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const value = fieldOf(object, ...path);
  return Array.isArray(value) ? value : [];
}

/** `namespace/name`. */
export function nameOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** Some names for a message, and how many more there are. */
export function someOf(names: readonly string[], max = 10): string {
  const more = names.length > max ? `\nand ${names.length - max} more` : "";
  return names.slice(0, max).join("\n") + more;
}
