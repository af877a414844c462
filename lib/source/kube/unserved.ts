/**
 * Objects of the contract that the mesh does not serve yet. None of them may fail open: one that
 * admits or refuses clients stops an installation, and a route is left alone with a warning. Whoever
 * teaches the mesh to serve a kind takes it off the table here.
 */

import { isRecord } from "../shape.ts";
import type { KubeClient, KubeObject } from "./client.ts";

/** A kind of object that is not served. */
export interface UnservedKind {
  readonly group: string;
  /** Newest first. */
  readonly versions: readonly string[];
  readonly kind: string;
  readonly plural: string;
  /** Whether it says who may reach whom (or how often), or where requests go and how. */
  readonly purpose: "authorization" | "route";
}

/** One such object. */
export interface UnservedObject {
  readonly kind: UnservedKind;
  readonly apiVersion: string;
  readonly object: KubeObject;
}

const POLICY = "policy.linkerd.io";
const GATEWAY = "gateway.networking.k8s.io";

/** The kind that selects pods; the others refer to it, or to namespaces as a whole. */
export const SERVER_KIND: UnservedKind = {
  group: POLICY,
  versions: ["v1beta3", "v1beta2", "v1beta1", "v1alpha1"],
  kind: "Server",
  plural: "servers",
  purpose: "authorization",
};

/** The kind that says which addresses outside of the cluster pods may reach. */
export const EGRESS_KIND: UnservedKind = authorization("EgressNetwork", "egressnetworks", [
  "v1alpha1",
]);

/** All of them. */
export const UNSERVED_KINDS: readonly UnservedKind[] = [
  SERVER_KIND,
  authorization("ServerAuthorization", "serverauthorizations", ["v1beta1", "v1alpha1"]),
  authorization("AuthorizationPolicy", "authorizationpolicies", ["v1alpha1"]),
  authorization("HTTPLocalRateLimitPolicy", "httplocalratelimitpolicies", ["v1alpha1"]),
  EGRESS_KIND,
  route(POLICY, "HTTPRoute", "httproutes", ["v1beta3", "v1beta2", "v1beta1", "v1alpha1"]),
  route(GATEWAY, "HTTPRoute", "httproutes", ["v1", "v1beta1"]),
  route(GATEWAY, "GRPCRoute", "grpcroutes", ["v1", "v1alpha2"]),
  route(GATEWAY, "TLSRoute", "tlsroutes", ["v1", "v1alpha3", "v1alpha2"]),
  route(GATEWAY, "TCPRoute", "tcproutes", ["v1alpha2"]),
];

/** Kinds of parents by which a route is meant for a mesh and not for an ingress. */
const MESH_PARENTS: ReadonlySet<unknown> = new Set(["Service", "Server", "EgressNetwork"]);

/** The objects of the kinds that are in a cluster; kinds that it does not know have none. */
export async function findUnserved(
  client: KubeClient,
  kinds: readonly UnservedKind[] = UNSERVED_KINDS,
): Promise<readonly UnservedObject[]> {
  const found = await Promise.all(kinds.map(async (kind) => {
    const served = await listServed(client, kind, "");
    return (served?.objects ?? []).filter((object) => concernsMesh(kind, object))
      .map((object) => ({ kind, apiVersion: `${kind.group}/${served?.version}`, object }));
  }));
  return found.flat();
}

/**
 * The objects of a kind in the first version that the cluster has, of one namespace or ("") of all. A
 * version that nobody here has heard of counts, too: what it says may not be known, but that it says
 * something is. Undefined when the cluster has none.
 */
export async function listServed(
  client: KubeClient,
  kind: UnservedKind,
  namespace: string,
): Promise<{ readonly version: string; readonly objects: readonly KubeObject[] } | undefined> {
  const place = namespace === "" ? "" : `namespaces/${encodeURIComponent(namespace)}/`;
  const listIn = async (version: string) => {
    const path = `/apis/${kind.group}/${version}/${place}${kind.plural}`;
    const objects = await client.list(path);
    return objects === undefined ? undefined : { version, objects };
  };
  for (const version of kind.versions) {
    const found = await listIn(version);
    if (found !== undefined) return found;
  }
  const group = await client.ask(`/apis/${kind.group}`);
  for (const version of unknownVersions(group, kind.versions)) {
    const found = await listIn(version);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The versions of an API group, as its discovery document tells, that are not among the known ones. */
export function unknownVersions(group: unknown, known: readonly string[]): readonly string[] {
  const versions = isRecord(group) ? group["versions"] : undefined;
  return (Array.isArray(versions) ? versions : []).flatMap((one: unknown) => {
    const version = isRecord(one) ? one["version"] : undefined;
    return typeof version === "string" && !known.includes(version) ? [version] : [];
  });
}

/** `Server shop/web`, for messages. */
export function titleOf({ kind, object }: UnservedObject): string {
  const { namespace, name } = object.metadata;
  return `${kind.kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}

function authorization(kind: string, plural: string, versions: readonly string[]): UnservedKind {
  return { group: POLICY, versions, kind, plural, purpose: "authorization" };
}

function route(
  group: string,
  kind: string,
  plural: string,
  versions: readonly string[],
): UnservedKind {
  return { group, versions, kind, plural, purpose: "route" };
}

/** The routes of an ingress are none of our business. */
function concernsMesh({ purpose }: UnservedKind, { spec }: KubeObject): boolean {
  if (purpose === "authorization") return true;
  const parents = isRecord(spec) ? spec["parentRefs"] : undefined;
  return Array.isArray(parents) &&
    parents.some((parent: unknown) => isRecord(parent) && MESH_PARENTS.has(parent["kind"]));
}
