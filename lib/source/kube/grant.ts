/**
 * The command that grants what an API server has refused. It names user, verb and object in its refusal
 * (`User "eve" cannot list resource "pods" in API group "" at the cluster scope`), in words that have
 * not changed since there is RBAC.
 */

import { HttpRefusal } from "../../host/http-json.ts";

const FORBIDDEN = 403;
const REFUSED = new RegExp(
  'User "([^"]+)" cannot (\\S+) (?:resource "([^"]+)" in API group "([^"]*)"|path "([^"]+)")' +
    '(?: in the namespace "([^"]+)")?',
);
const SERVICE_ACCOUNT = "system:serviceaccount:";

/** A role and its binding as commands; undefined for what is no refusal of a right. */
export function grantingCommands(thrown: unknown): string | undefined {
  const refusal = refusalIn(thrown);
  const found = refusal === undefined ? null : REFUSED.exec(refusal.message);
  if (found === null) return undefined;
  const [, user = "", verb = "", resource = "", group = "", path, namespace] = found;
  const name = `malla-${verb}-${resource || "path"}`.replaceAll("/", "-");
  const what = path === undefined
    ? `--resource=${fullName(resource, group)}`
    : `--non-resource-url=${path}`;
  // A namespace is in itself; a role in it could not be made before there is one.
  const [role, place] = namespace === undefined || resource === "namespaces"
    ? ["clusterrole", ""]
    : ["role", ` -n ${namespace}`];
  return `kubectl create ${role} ${name} --verb=${verb} ${what}${place}\n` +
    `kubectl create ${role}binding ${name} --${role}=${name} ${subjectOf(user)}${place}`;
}

/** The refusal that is, or caused, what was thrown. */
function refusalIn(thrown: unknown): HttpRefusal | undefined {
  let error = thrown;
  while (error instanceof Error) {
    if (error instanceof HttpRefusal && error.status === FORBIDDEN) return error;
    error = error.cause;
  }
  return undefined;
}

/** `deployments.apps`, `services/proxy`: as kubectl takes it. */
function fullName(resource: string, group: string): string {
  if (group === "") return resource;
  const [name = "", ...part] = resource.split("/");
  return [`${name}.${group}`, ...part].join("/");
}

function subjectOf(user: string): string {
  if (!user.startsWith(SERVICE_ACCOUNT)) return `--user=${user}`;
  return `--serviceaccount=${user.slice(SERVICE_ACCOUNT.length)}`;
}
