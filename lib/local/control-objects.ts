/**
 * The control plane's Services as objects, so that it has the same names as in a cluster and its page
 * can be published like any Service. Its endpoint is the mesh's own namespace, which is no pod.
 */

import { CONTROL_PORTS } from "./injection.ts";
import { MESH_ADDRESSES, MESH_NAMES } from "./names.ts";
import type { Manifest } from "./workloads.ts";

/** The live page's Service. */
export const PAGE_SERVICE = { name: "malla-viz", port: 8084 } as const;

/** The namespace, Services and EndpointSlices of the control plane. */
export function controlObjects(): readonly Manifest[] {
  const namespace: Manifest = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: MESH_NAMES.controlPlane },
  };
  return [
    namespace,
    ...serviceObjects("malla-identity", CONTROL_PORTS.identity),
    ...serviceObjects("malla-destination", CONTROL_PORTS.destination),
    ...serviceObjects("malla-policy", CONTROL_PORTS.policy),
    ...serviceObjects(PAGE_SERVICE.name, PAGE_SERVICE.port),
  ];
}

function serviceObjects(name: string, port: number): Manifest[] {
  const metadata = { name, namespace: MESH_NAMES.controlPlane };
  return [
    { apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ name: "main", port }] } },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      endpoints: [{ addresses: [MESH_ADDRESSES.gateway], conditions: { ready: true } }],
      ports: [{ name: "main", port, protocol: "TCP" }],
    },
  ];
}
