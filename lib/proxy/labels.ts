/**
 * The label sets of the byte path's metrics, as the contract has them. Made once per connection or
 * endpoint, never per request.
 */

import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Authorization, ResourceRef, ServerPolicy } from "../mesh/policy.ts";
import type { Labels } from "../telemetry/metric.ts";
import type { EndpointState } from "./balance.ts";

/** Why a connection is or is not secured. */
export interface TlsState {
  /** The peer's identity, where TLS was mutual. */
  readonly peerId: string | null;
  /** TLS was terminated or made by us. */
  readonly terminated: boolean;
  /** SNI of TLS that passes through untouched. */
  readonly passedServerName: string | null;
  /** Goes with the absence of TLS. */
  readonly noTlsReason: string;
}

/** A client on this machine: no TLS, and none is needed. */
export const FROM_APPLICATION: TlsState = {
  peerId: null,
  terminated: false,
  passedServerName: null,
  noTlsReason: "loopback",
};

/** TLS that somebody else speaks through us. */
export function passedTls(serverName: string | null): TlsState {
  return {
    peerId: null,
    terminated: false,
    passedServerName: serverName ?? "",
    noTlsReason: "",
  };
}

/** `target_addr`, `target_ip`, `target_port`. */
export function targetLabels(target: SocketAddress): Labels {
  return {
    target_addr: formatAddress(target),
    target_ip: target.ip,
    target_port: String(target.port),
  };
}

/** `tls`, and the client's id or why there is none. */
export function clientTlsLabels(state: TlsState): Labels {
  if (state.terminated) return { tls: "true", client_id: state.peerId ?? "" };
  if (state.passedServerName !== null) return { tls: "opaque", sni: state.passedServerName };
  return { tls: "no_identity", no_tls_reason: state.noTlsReason };
}

/**
 * An endpoint of an outbound target: address, TLS, and what the discovery said of it. `client`: what the
 * application speaks through us; shown where we add no TLS of our own.
 */
export function endpointLabels(state: EndpointState, client: TlsState = FROM_APPLICATION): Labels {
  const { address, identity, labels } = state.endpoint;
  const made: Record<string, string> = { direction: "outbound", ...targetLabels(address) };
  if (identity !== undefined) {
    made["tls"] = "true";
    made["server_id"] = identity.name;
  } else if (client.passedServerName === null) {
    made["tls"] = "no_identity";
    made["no_tls_reason"] = "not_provided_by_service_discovery";
  } else Object.assign(made, clientTlsLabels(client));
  for (const [name, value] of Object.entries(state.setLabels)) made[`dst_${name}`] = value;
  for (const [name, value] of Object.entries(labels)) made[`dst_${name}`] = value;
  return made;
}

/** `srv_*`: the policy of an inbound port. */
export function serverLabels(policy: ServerPolicy, port: number): Labels {
  const { group, kind, name } = policy.resource;
  return { srv_group: group, srv_kind: kind, srv_name: name, srv_port: String(port) };
}

/** `authz_*`: what admitted the client. */
export function authorizationLabels(authorization: Authorization): Labels {
  return refLabels("authz", authorization.resource);
}

/** `<prefix>_group`, `_kind`, `_name` of an object. */
export function refLabels(prefix: string, ref: ResourceRef): Labels {
  return {
    [`${prefix}_group`]: ref.group,
    [`${prefix}_kind`]: ref.kind,
    [`${prefix}_name`]: ref.name,
  };
}

/** `protocol` and `parent_*`: a connection and what it leads to. */
export function protocolLabels(protocol: string, parent: ResourceRef): Labels {
  return { protocol, ...parentLabels(parent) };
}

function parentLabels(parent: ResourceRef): Labels {
  return {
    ...refLabels("parent", parent),
    parent_namespace: parent.namespace,
    parent_port: parent.port === 0 ? "" : String(parent.port),
  };
}

/** `parent_*` and `route_*`: the route that a request took, and what it belongs to. */
export function routeLabels(parent: ResourceRef, route: ResourceRef): Labels {
  return {
    ...parentLabels(parent),
    ...refLabels("route", route),
    route_namespace: route.namespace,
  };
}

/** The same for a route of a ServiceProfile, which is named by itself and not by the profile. */
export function profileRouteLabels(
  labels: Labels,
  name: string,
  profile: ResourceRef | undefined,
): Labels {
  return {
    ...labels,
    route_group: "linkerd.io",
    route_kind: "ServiceProfile",
    route_name: name,
    route_namespace: profile?.namespace ?? "",
  };
}

/** A route's labels with a blank `hostname`, which the contract shows only where it is asked for. */
export function hostless(labels: Labels): Labels {
  return { ...labels, hostname: "" };
}

/** `parent_*` and `route_*` of an inbound port: no route object configures any, but probes have their own. */
export function inboundRouteLabels(
  policy: ServerPolicy,
  target: SocketAddress,
  name: "default" | "probe",
): Labels {
  const parent = { ...policy.resource, port: target.port };
  const route = { group: "", kind: "default", name, namespace: "", port: 0 };
  return routeLabels(parent, route);
}

/** `parent_*` and `backend_*`: a balancer and what it stands for. */
export function balancerLabels(parent: ResourceRef, backend: ResourceRef): Labels {
  return backendLabels(parentLabels(parent), backend);
}

/** A route's labels with `backend_*`: the backend that an attempt went to. */
export function backendLabels(route: Labels, backend: ResourceRef): Labels {
  return {
    ...route,
    ...refLabels("backend", backend),
    backend_namespace: backend.namespace,
    backend_port: backend.port === 0 ? "" : String(backend.port),
  };
}
