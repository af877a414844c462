/**
 * What the control plane keeps of an object: the few facts that its answers are made of. An index of
 * ten thousand pods holds these, not the pods; and an event that changes no fact touches nobody.
 */

import {
  type EndpointSlice,
  type LabelSelector,
  type Namespace,
  type Pod,
  type Probe,
  type Server,
  type Service,
  SERVICE_NAME_LABEL,
  type ServiceProfile,
  type StringMap,
} from "../source/objects.ts";
import { knownPortRanges, type PortRange } from "../mesh/port-range.ts";
import { type InboundPolicy, inboundPolicy, type ProbeRequest } from "../mesh/policy.ts";
import { type ServiceReliability, serviceReliability } from "./reliability.ts";
import { type ProfileConfiguration, profileConfiguration } from "./service-profile.ts";

const OPAQUE_PORTS = "config.linkerd.io/opaque-ports";
const SKIP_INBOUND_PORTS = "config.linkerd.io/skip-inbound-ports";
const REQUIRE_IDENTITY_PORTS = "config.linkerd.io/proxy-require-identity-inbound-ports";
const DEFAULT_INBOUND_POLICY = "config.linkerd.io/default-inbound-policy";
const CONTROL_PLANE_LABEL = "linkerd.io/control-plane-ns";
const TEMPLATE_HASH_LABEL = "pod-template-hash";
const ZONE_LABEL = "topology.kubernetes.io/zone";

/** What the kubelet asks for, and the port where it does. */
export interface ProbeFact extends ProbeRequest {
  readonly port: number;
}

/** The method by which the kubelet asks an application that speaks gRPC. */
const GRPC_CHECK = "/grpc.health.v1.Health/Check";

/** A pod. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  /** Empty while the pod has none, when it has ended, and for a pod in its node's network. */
  readonly ips: readonly string[];
  readonly serviceAccount: string;
  /** The lower-case kind of the workload that the pod belongs to, and its name. */
  readonly owner?: { readonly kind: string; readonly name: string };
  readonly templateHash?: string;
  readonly zone?: string;
  /** The control plane of the pod's proxy; absent without one and in a node's network. */
  readonly controlPlane?: string;
  /** The ports of the pod's own proxy, as its environment tells them. */
  readonly inboundPort?: number;
  readonly controlPort?: number;
  readonly adminPort?: number;
  readonly opaquePorts?: readonly PortRange[];
  readonly skippedPorts: readonly PortRange[];
  readonly identityPorts: readonly PortRange[];
  readonly inboundPolicy?: InboundPolicy;
  readonly probes: readonly ProbeFact[];
  readonly labels: StringMap;
  /** To tell apart two pods of one address: the younger has it, the other is on its way out. */
  readonly createdAt: string;
}

/** A port of a service. */
export interface ServicePortFact {
  readonly name: string;
  readonly port: number;
  readonly appProtocol?: string;
}

/** A service. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly external: boolean;
  /** Without `None`. */
  readonly clusterIps: readonly string[];
  /** The IP version by which pods with both are reached: that of the service's first family. */
  readonly ipVersion: 4 | 6;
  /** TCP ports alone. */
  readonly ports: readonly ServicePortFact[];
  readonly opaquePorts?: readonly PortRange[];
  /** Whether only endpoints on the asker's own node may be used. */
  readonly localOnly: boolean;
  readonly reliability: ServiceReliability;
}

/** One address of a slice that is ready. */
export interface SliceMember {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly pod?: { readonly namespace: string; readonly name: string };
  readonly hintedZones?: readonly string[];
}

/** A slice of a service's endpoints. */
export interface SliceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  /** TCP ports by the service port's name; a port that is absent stands for all. */
  readonly ports: readonly { readonly name: string; readonly port?: number }[];
  readonly members: readonly SliceMember[];
}

/** A server of pods: it is not served, so that all we need is whom it selects. */
export interface ServerFacts {
  readonly namespace: string;
  readonly name: string;
  readonly pods: LabelSelector;
}

/** What a ServiceProfile says; its name is a Service's in DNS. */
export interface ProfileFacts extends ProfileConfiguration {
  readonly namespace: string;
  readonly name: string;
}

/** A namespace. */
export interface NamespaceFacts {
  readonly name: string;
  readonly opaquePorts?: readonly PortRange[];
  readonly inboundPolicy?: InboundPolicy;
}

/** The facts of a pod. */
export function podFacts(pod: Pod): PodFacts {
  const { annotations, labels } = pod.metadata;
  const named = containerPorts(pod);
  const ended = pod.status.phase === "Succeeded" || pod.status.phase === "Failed";
  const hidden = ended || pod.spec.hostNetwork === true;
  const opaque = annotations[OPAQUE_PORTS];
  const meshed = pod.spec.hostNetwork === true ? undefined : labels[CONTROL_PLANE_LABEL];
  return {
    namespace: pod.metadata.namespace,
    name: pod.metadata.name,
    ips: hidden ? [] : podIps(pod),
    serviceAccount: pod.spec.serviceAccountName || "default",
    ...present("owner", workloadOf(pod)),
    ...present("templateHash", labels[TEMPLATE_HASH_LABEL]),
    ...present("zone", labels[ZONE_LABEL]),
    ...present("controlPlane", meshed),
    ...proxyPorts(pod),
    ...present("opaquePorts", opaque === undefined ? undefined : knownPortRanges(opaque, named)),
    skippedPorts: knownPortRanges(annotations[SKIP_INBOUND_PORTS] ?? "", named),
    identityPorts: knownPortRanges(annotations[REQUIRE_IDENTITY_PORTS] ?? "", named),
    ...present("inboundPolicy", inboundPolicy(annotations[DEFAULT_INBOUND_POLICY])),
    probes: probeFacts(pod, named),
    labels,
    createdAt: pod.metadata.creationTimestamp ?? "",
  };
}

/** The facts of a service. */
export function serviceFacts(service: Service): ServiceFacts {
  const { spec, metadata } = service;
  const ports = spec.ports.filter(({ protocol }) => (protocol ?? "TCP") === "TCP").map((port) => ({
    name: port.name ?? "",
    port: port.port,
    ...present("appProtocol", port.appProtocol),
  }));
  const opaque = metadata.annotations[OPAQUE_PORTS];
  const named = new Map(ports.map(({ name, port }) => [name, port]));
  const ips = new Set([
    ...(spec.clusterIP === undefined ? [] : [spec.clusterIP]),
    ...spec.clusterIPs,
  ]);
  const clusterIps = [...ips].filter((ip) => ip !== "" && ip !== "None");
  const [family = clusterIps[0]?.includes(":") ? "IPv6" : "IPv4"] = spec.ipFamilies;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    external: spec.type === "ExternalName",
    clusterIps,
    ipVersion: family === "IPv6" ? 6 : 4,
    ports,
    ...present("opaquePorts", opaque === undefined ? undefined : knownPortRanges(opaque, named)),
    localOnly: spec.internalTrafficPolicy === "Local",
    reliability: serviceReliability(metadata.annotations),
  };
}

/** The facts of a slice; undefined for one that belongs to no service or holds no IP addresses. */
export function sliceFacts(slice: EndpointSlice): SliceFacts | undefined {
  const service = slice.metadata.labels[SERVICE_NAME_LABEL];
  if (service === undefined || slice.addressType === "FQDN") return undefined;
  const namespace = slice.metadata.namespace;
  const members = slice.endpoints.filter(({ conditions }) => conditions.ready !== false)
    .flatMap((endpoint) => {
      const { targetRef, hostname, nodeName, zone, hints } = endpoint;
      const pod = targetRef?.kind === "Pod" && targetRef.name !== undefined
        ? { namespace: targetRef.namespace ?? namespace, name: targetRef.name }
        : undefined;
      return endpoint.addresses.map((ip): SliceMember => ({
        ip,
        ...present("hostname", hostname),
        ...present("nodeName", nodeName),
        ...present("zone", zone),
        ...present("pod", pod),
        ...present("hintedZones", hints?.forZones.map(({ name }) => name)),
      }));
    });
  const ports = slice.ports.filter(({ protocol }) => (protocol ?? "TCP") === "TCP")
    .map(({ name, port }) => ({ name, ...present("port", port) }));
  return { namespace, name: slice.metadata.name, service, ports, members };
}

/** The facts of a server; undefined for one of workloads outside of the cluster. */
export function serverFacts({ metadata, spec }: Server): ServerFacts | undefined {
  if (spec.podSelector === undefined) return undefined;
  return { namespace: metadata.namespace, name: metadata.name, pods: spec.podSelector };
}

/** The facts of a profile. */
export function profileFacts(profile: ServiceProfile): ProfileFacts {
  const { namespace, name } = profile.metadata;
  return { namespace, name, ...profileConfiguration(profile) };
}

/** The facts of a namespace. */
export function namespaceFacts(namespace: Namespace): NamespaceFacts {
  const { name, annotations } = namespace.metadata;
  const opaque = annotations[OPAQUE_PORTS];
  return {
    name,
    ...present("opaquePorts", opaque === undefined ? undefined : knownPortRanges(opaque)),
    ...present("inboundPolicy", inboundPolicy(annotations[DEFAULT_INBOUND_POLICY])),
  };
}

/** A field that is there only when it has a value, so that equal facts have equal fields. */
function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : { [key]: value } as { readonly [P in K]: V };
}

function podIps(pod: Pod): readonly string[] {
  const first = pod.status.podIP === undefined ? [] : [pod.status.podIP];
  return [...new Set([...first, ...pod.status.podIPs.map(({ ip }) => ip)])];
}

/** A ReplicaSet that a Deployment made is named after it and the hash of its template. */
function workloadOf(pod: Pod): { kind: string; name: string } | undefined {
  const owners = pod.metadata.ownerReferences;
  const owner = owners.find(({ controller }) => controller === true) ?? owners[0];
  if (owner === undefined) return undefined;
  const suffix = `-${pod.metadata.labels[TEMPLATE_HASH_LABEL] ?? ""}`;
  if (owner.kind === "ReplicaSet" && suffix !== "-" && owner.name.endsWith(suffix)) {
    return { kind: "deployment", name: owner.name.slice(0, -suffix.length) };
  }
  return { kind: owner.kind.toLowerCase(), name: owner.name };
}

type ProxyPorts = Pick<PodFacts, "inboundPort" | "controlPort" | "adminPort">;

/** A sidecar is told by its environment, not by its container's name. */
function proxyPorts(pod: Pod): ProxyPorts {
  for (const { env } of [...pod.spec.initContainers, ...pod.spec.containers]) {
    const port = (name: string): number | undefined => {
      const value = env.find((variable) => variable.name === name)?.value;
      const text = /:(\d{1,5})$/.exec(value?.trim() ?? "")?.[1];
      return text === undefined ? undefined : Number(text);
    };
    const inboundPort = port("LINKERD2_PROXY_INBOUND_LISTEN_ADDR");
    if (inboundPort === undefined) continue;
    return {
      inboundPort,
      ...present("controlPort", port("LINKERD2_PROXY_CONTROL_LISTEN_ADDR")),
      ...present("adminPort", port("LINKERD2_PROXY_ADMIN_LISTEN_ADDR")),
    };
  }
  return {};
}

function containerPorts(pod: Pod): ReadonlyMap<string, number> {
  const named = new Map<string, number>();
  for (const { ports } of [...pod.spec.initContainers, ...pod.spec.containers]) {
    for (const { name, containerPort } of ports) {
      if (name !== undefined) named.set(name, containerPort);
    }
  }
  return named;
}

function probeFacts(pod: Pod, named: ReadonlyMap<string, number>): readonly ProbeFact[] {
  const facts = new Map<string, ProbeFact>();
  for (const container of [...pod.spec.initContainers, ...pod.spec.containers]) {
    const { livenessProbe, readinessProbe, startupProbe } = container;
    for (const probe of [livenessProbe, readinessProbe, startupProbe]) {
      const fact = probeFact(probe, named);
      if (fact !== undefined) facts.set(`${fact.port} ${fact.path} ${fact.method}`, fact);
    }
  }
  return [...facts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, fact]) => fact);
}

function probeFact(
  probe: Probe | undefined,
  named: ReadonlyMap<string, number>,
): ProbeFact | undefined {
  if (probe?.grpc !== undefined) {
    return { port: probe.grpc.port, method: "POST", path: GRPC_CHECK };
  }
  if (probe?.httpGet === undefined) return undefined;
  const { port, path = "/" } = probe.httpGet;
  const number = typeof port === "number" ? port : named.get(port);
  if (number === undefined) return undefined;
  // Policies match paths without the query, and the kubelet adds the slash that a manifest forgot.
  const bare = path.split("?")[0] ?? "";
  return { port: number, method: "GET", path: bare.startsWith("/") ? bare : `/${bare}` };
}
