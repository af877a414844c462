/** How a proxy is to reach a service or an address outside of the mesh. */

import { Fault } from "../base/fault.ts";
import { formatAddress, networkContains, type SocketAddress } from "../mesh/address.ts";
import type {
  Backend,
  ClientPolicy,
  PortProtocol,
  ResourceRef,
  Route,
  RouteAction,
} from "../mesh/policy.ts";
import { serviceFqdn, type ServiceTarget } from "./authority.ts";
import type { ServiceFacts } from "./facts.ts";
import type { View } from "./index.ts";
import { portsContain } from "../mesh/port-range.ts";
import { isServicePortOpaque } from "./profile.ts";
import type { ControlSettings } from "./settings.ts";
import type { Question } from "./topics.ts";

/** How long a proxy waits for bytes that tell the protocol. */
export const DETECT_TIMEOUT_MS = 10_000;

/** What a balancer assumes of an endpoint that has not answered yet, and how fast it forgets. */
const DEFAULT_RTT_MS = 30;
const DECAY_MS = 10_000;

const FORWARD_WEIGHT = 10_000;

/** A policy, or why there is none. */
export type ClientPolicyAnswer =
  | { readonly ok: true; readonly policy: ClientPolicy }
  | { readonly ok: false; readonly message: string };

/** Asks how to reach an address. */
export function addressPolicy(
  address: SocketAddress,
  settings: ControlSettings,
): Question<ClientPolicyAnswer> {
  return {
    key: `client-policy ${formatAddress(address)}`,
    answer(view) {
      const service = view.serviceAt(address.ip);
      if (service !== undefined) {
        return { ok: true, policy: servicePolicy(service, address.port, view, settings) };
      }
      // A proxy then asks for the profile, which tells of a pod what no policy can: who it is.
      if (settings.clusterNetworks.some((network) => networkContains(network, address.ip))) {
        return { ok: false, message: `No service has the address ${address.ip}` };
      }
      if (view.podAt(address.ip) !== undefined) {
        return { ok: false, message: `The address ${address.ip} is a pod's` };
      }
      return { ok: true, policy: egressPolicy(address, settings) };
    },
  };
}

/** Asks how to reach a service by its name. */
export function authorityPolicy(
  target: ServiceTarget,
  settings: ControlSettings,
): Question<ClientPolicyAnswer> {
  const { namespace, service: name, port } = target;
  return {
    key: `client-policy ${name}.${namespace}:${port}`,
    answer(view) {
      const service = view.service(namespace, name);
      return service === undefined
        ? { ok: false, message: `No service "${name}" in namespace "${namespace}"` }
        : { ok: true, policy: servicePolicy(service, port, view, settings) };
    },
  };
}

/** The policy or the fault of an answer. */
export function clientPolicyOf(answer: ClientPolicyAnswer): ClientPolicy | Fault {
  return answer.ok ? answer.policy : new Fault("not_found", answer.message, { source: "upstream" });
}

function servicePolicy(
  service: ServiceFacts,
  port: number,
  view: View,
  settings: ControlSettings,
): ClientPolicy {
  const { namespace, name } = service;
  const parent: ResourceRef = { group: "", kind: "Service", name, namespace, port };
  const listed = service.ports.find((candidate) => candidate.port === port);
  // A headless service is a name for pods, and has the ports that they have.
  if (listed === undefined && service.clusterIps.length > 0) {
    const message = `Service "${name}" in namespace "${namespace}" has no port ${port}`;
    return policy("opaque", parent, "undefined-port", { kind: "fail", status: 403, message });
  }
  const { retry, hedge, timeouts, accrual, penalty } = service.reliability;
  const backend: Backend = {
    resource: parent,
    target: {
      kind: "balancer",
      path: `${serviceFqdn(namespace, name, settings.clusterDomain)}:${port}`,
      defaultRttMs: DEFAULT_RTT_MS,
      decayMs: DECAY_MS,
      ...(penalty === undefined ? {} : { penalty }),
    },
    weight: 1,
  };
  const opaque = isServicePortOpaque(service, port, view, settings);
  const protocol = opaque ? "opaque" : appProtocol(listed?.appProtocol);
  const made = policy(protocol, parent, undefined, { kind: "backends", backends: [backend] });
  return {
    ...made,
    http: {
      ...made.http,
      ...(retry === undefined ? {} : { retry }),
      ...(hedge === undefined ? {} : { hedge }),
      ...(timeouts === undefined ? {} : { timeouts }),
    },
    ...(accrual === undefined ? {} : { accrual }),
  };
}

/** Traffic that leaves the mesh goes where it was going, unchanged. */
function egressPolicy(address: SocketAddress, settings: ControlSettings): ClientPolicy {
  const resource = defaultResource("egress-fallback");
  const endpoint = { address, weight: FORWARD_WEIGHT, labels: {}, hint: "unknown" } as const;
  const backend: Backend = { resource, target: { kind: "forward", endpoint }, weight: 1 };
  const opaque = portsContain(settings.defaultOpaquePorts, address.port);
  return policy(
    opaque ? "opaque" : "detect",
    resource,
    "egress-fallback",
    { kind: "backends", backends: [backend] },
  );
}

function policy(
  protocol: PortProtocol,
  parent: ResourceRef,
  routeName: string | undefined,
  action: RouteAction,
): ClientPolicy {
  const route = (name: string): Route => ({ resource: defaultResource(routeName ?? name), action });
  return {
    protocol,
    detectTimeoutMs: DETECT_TIMEOUT_MS,
    http: route("http"),
    opaque: route("opaq"),
    parent,
  };
}

/** What a service says its port speaks; a protocol that the mesh does not read is opaque to it. */
function appProtocol(text: string | undefined): PortProtocol {
  switch (text) {
    case undefined:
    case "":
      return "detect";
    case "http":
      return "http1";
    case "kubernetes.io/h2c":
      return "http2";
    default:
      return "opaque";
  }
}

function defaultResource(name: string): ResourceRef {
  return { group: "", kind: "default", name, namespace: "", port: 0 };
}
