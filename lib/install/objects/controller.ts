/** The controller: destination and policy in one process. */

import { SERVER_KIND, UNSERVED_KINDS } from "../../source/kube/unserved.ts";
import { CONTROLLER_LEASE, PORTS } from "../names.ts";
import { type TemplateMap, text } from "../template.ts";
import {
  clusterRole,
  deployment,
  disruptionBudget,
  identityToken,
  lease,
  listenAt,
  meshFlags,
  networkPolicy,
  type ObjectTemplate,
  role,
  type Rule,
  service,
  serviceAccount,
  TRUST_ROOTS_FLAG,
  trustRoots,
  v,
} from "./common.ts";

const NAME = "malla-controller";

/** Its account and rights: to follow what its answers are made of, and to tell what it cannot serve. */
export function controllerAccess(): readonly ObjectTemplate[] {
  const follow = ["list", "watch"];
  return [
    serviceAccount(NAME),
    ...clusterRole(NAME, [
      { apiGroups: [""], resources: ["namespaces", "pods", "services"], verbs: follow },
      { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: follow },
      { apiGroups: [SERVER_KIND.group], resources: [SERVER_KIND.plural], verbs: follow },
      { apiGroups: ["linkerd.io"], resources: ["serviceprofiles"], verbs: follow },
      ...unservedRules(),
      { apiGroups: [""], resources: ["events"], verbs: ["create"] },
    ]),
    ...role(NAME, [{
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: [CONTROLLER_LEASE],
      verbs: ["get", "update"],
    }]),
    lease(NAME, CONTROLLER_LEASE),
  ];
}

/** What is not served is listed, so that it can be told. */
function unservedRules(): readonly Rule[] {
  const kinds = UNSERVED_KINDS.filter((kind) => kind !== SERVER_KIND);
  const groups = [...new Set(kinds.map(({ group }) => group))];
  return groups.map((group) => ({
    apiGroups: [group],
    resources: kinds.filter((kind) => kind.group === group).map(({ plural }) => plural),
    verbs: ["list"],
  }));
}

/** Its pods and services, with the contract's names for what it serves. */
export function controllerWorkload(): readonly ObjectTemplate[] {
  const admin = { port: PORTS.controllerAdmin, target: "admin" };
  const destination = { grpc: { port: PORTS.destination, target: "destination" }, admin };
  const policy = { grpc: { port: PORTS.policy, target: "policy" } };
  return [
    service(NAME, "malla-destination", destination),
    service(NAME, "malla-destination-headless", destination, true),
    service(NAME, "malla-policy", policy),
    service(NAME, "malla-policy-headless", policy, true),
    controllerDeployment(),
    disruptionBudget(NAME),
    networkPolicy(NAME, ["destination", "policy", "admin"]),
  ];
}

function controllerDeployment(): TemplateMap {
  const roots = trustRoots();
  const token = identityToken();
  return deployment({
    component: NAME,
    replicas: v.controllerReplicas,
    resources: v.controller.resources,
    args: [
      "controller",
      ...meshFlags(),
      TRUST_ROOTS_FLAG,
      text`--cluster-networks=${v.clusterNetworks}`,
      text`--default-inbound-policy=${v.proxy.defaultInboundPolicy}`,
      text`--default-opaque-ports=${v.proxy.opaquePorts}`,
      text`--accept-unserved-policy=${v.acceptUnservedPolicy}`,
      text`--destination-listen=${listenAt(PORTS.destination)}`,
      text`--policy-listen=${listenAt(PORTS.policy)}`,
      text`--admin-listen=${listenAt(PORTS.controllerAdmin)}`,
    ],
    ports: { destination: PORTS.destination, policy: PORTS.policy, admin: PORTS.controllerAdmin },
    probePort: "admin",
    volumes: [roots.volume, token.volume],
    mounts: [roots.mount, token.mount],
  });
}
