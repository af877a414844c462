/** What was asked of the API, as what roles grant is told, so that both can be compared. */

import type { Right } from "../../lib/install/rights.ts";
import type { FakeRequest } from "./fake-api.ts";

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

/** Whether a granted right covers what was asked. */
export function covers(granted: Right, asked: Right): boolean {
  return granted.verb === asked.verb && granted.group === asked.group &&
    granted.resource === asked.resource &&
    (granted.name === "" || granted.name === asked.name) &&
    (granted.namespace === "" || granted.namespace === asked.namespace);
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
