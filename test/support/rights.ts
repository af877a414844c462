/** What was asked of the API, and what roles grant, as lists that can be compared. */

import type { KubeManifest } from "../../lib/install/objects.ts";
import type { FakeRequest } from "./fake-api.ts";

/** A right to one thing: `get secrets/malla-injector-authority in malla`, `list pods everywhere`. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  /** Empty: any. */
  readonly name: string;
  /** Empty: in all namespaces, or belonging to none. */
  readonly namespace: string;
}

/** The rights that a request takes; undefined for one that everybody has. */
export function rightOf({ method, path }: FakeRequest): Right | undefined {
  const url = new URL(path, "http://x");
  const parts = url.pathname.split("/").filter(Boolean);
  const group = parts[0] === "api" ? "" : parts[1] ?? "";
  const rest = parts.slice(parts[0] === "api" ? 2 : 3);
  const isNamespaced = rest[0] === "namespaces" && rest.length > 2;
  const namespace = isNamespaced ? rest[1] ?? "" : "";
  const [resource = "", name = ""] = isNamespaced ? rest.slice(2) : rest;
  if (resource === "") return undefined;
  return { verb: verbOf(method, url, name), group, resource, name, namespace };
}

/** The rights that an account has by the roles among the objects, one by one. */
export function grantedRights(objects: readonly KubeManifest[], account: string): readonly Right[] {
  return objects.filter(({ kind, metadata }) =>
    (kind === "ClusterRole" || kind === "Role") && metadata.name === account
  ).flatMap((role) => {
    const namespace = role.kind === "Role" ? role.metadata.namespace ?? "" : "";
    const rules = role["rules"] as readonly {
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
      readonly verbs: readonly string[];
    }[];
    return rules.flatMap(({ apiGroups, resources, resourceNames = [""], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((name) =>
            verbs.map((verb): Right => ({ verb, group, resource, name, namespace }))
          )
        )
      )
    );
  });
}

/** Whether a granted right covers what was asked. */
export function covers(granted: Right, asked: Right): boolean {
  return granted.verb === asked.verb && granted.group === asked.group &&
    granted.resource === asked.resource &&
    (granted.name === "" || granted.name === asked.name) &&
    (granted.namespace === "" || granted.namespace === asked.namespace);
}

/** For messages. */
export function describeRight({ verb, group, resource, name, namespace }: Right): string {
  const full = group === "" ? resource : `${resource}.${group}`;
  return `${verb} ${full}${name === "" ? "" : `/${name}`}${
    namespace === "" ? "" : ` in ${namespace}`
  }`;
}

function verbOf(method: string, url: URL, name: string): string {
  const verbs: Readonly<Record<string, string>> = {
    POST: "create",
    PUT: "update",
    PATCH: "patch",
    DELETE: "delete",
  };
  const verb = verbs[method];
  if (verb !== undefined) return verb;
  if (url.searchParams.get("watch") === "true") return "watch";
  return name === "" ? "list" : "get";
}
