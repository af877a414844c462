/** Puts the proxy beside a pod's containers, by the same patch as in a cluster, and reads the result. */

import { VERSION } from "../base/version.ts";
import {
  applyPatch,
  DEFAULT_PROXY_CONFIG,
  type InjectNamespace,
  type InjectOptions,
  injectPod,
} from "../inject/mod.ts";
import { identityName } from "../mesh/identity.ts";
import { checkPod } from "../inject/mod.ts";
import type { PreparedPod } from "./mesh.ts";
import { clusterNetworks, MESH_ADDRESSES, MESH_NAMES, type MeshNetworks } from "./names.ts";
import { readPod } from "./pod-model.ts";
import { Reader } from "./reader.ts";
import type { Manifest, PodPlan } from "./workloads.ts";

/** SO_MARK of the proxies' own connections; the redirect lets them pass. Any number would do. */
export const PROXY_MARK = 2102;

/** Where the parts of the control plane listen, in the mesh's own namespace. */
export const CONTROL_PORTS = { identity: 8080, destination: 8086, policy: 8090 } as const;

/** How pods are injected on a laptop: all that do not refuse, with proxies exempted by their mark. */
export function injectOptions(
  trustAnchors: string,
  proxyLogLevel: string,
  networks: readonly MeshNetworks[],
): InjectOptions {
  const { gateway } = MESH_ADDRESSES;
  const service = (port: number, serviceAccount: string) => ({
    address: `${gateway}:${port}`,
    identity: controlIdentity(serviceAccount),
  });
  return {
    version: VERSION,
    controlPlaneNamespace: MESH_NAMES.controlPlane,
    clusterDomain: MESH_NAMES.domain,
    trustDomain: MESH_NAMES.domain,
    trustAnchors,
    identity: service(CONTROL_PORTS.identity, "malla-identity"),
    destination: service(CONTROL_PORTS.destination, "malla-controller"),
    policy: service(CONTROL_PORTS.policy, "malla-controller"),
    clusterNetworks: clusterNetworks(networks),
    ipv6: networks.some(({ version }) => version === 6),
    mark: PROXY_MARK,
    injectByDefault: true,
    obeyLinkerd: true,
    proxy: { ...DEFAULT_PROXY_CONFIG, logLevel: proxyLogLevel },
  };
}

/** The identity of a part of the control plane. */
export function controlIdentity(serviceAccount: string): string {
  return identityName({
    serviceAccount,
    namespace: MESH_NAMES.controlPlane,
    controlPlaneNamespace: MESH_NAMES.controlPlane,
    trustDomain: MESH_NAMES.domain,
  });
}

/** Injects a planned pod, unless it refuses. Throws a fault for wrong annotations. */
export function preparePod(
  plan: PodPlan,
  namespaces: ReadonlyMap<string, InjectNamespace>,
  options: InjectOptions,
  warn: (text: string) => void,
): PreparedPod {
  const { pod } = plan;
  checkPod(pod, "");
  const namespace = namespaces.get(plan.namespace) ?? { name: plan.namespace, annotations: {} };
  const injection = injectPod(pod, namespace, options);
  for (const warning of injection.warnings) warn(`pod ${plan.name}: ${warning}`);
  const object: Manifest = applyPatch(plan.pod, injection.patch);
  return { object, model: readPod(new Reader(object)) };
}

/** The namespaces among the manifests, with their annotations. */
export function namespacesOf(objects: readonly Manifest[]): ReadonlyMap<string, InjectNamespace> {
  const found = new Map<string, InjectNamespace>();
  for (const manifest of objects) {
    const object = new Reader(manifest);
    if (object.at("kind").value !== "Namespace") continue;
    const metadata = object.at("metadata");
    const name = metadata.at("name").text();
    found.set(name, { name, annotations: metadata.at("annotations").textMap() });
  }
  return found;
}
