/** Short ways to write mesh objects in tests. Everything that a test does not name has a plain default. */

import type {
  Container,
  EndpointSlice,
  LabelSelector,
  Metadata,
  Namespace,
  Pod,
  Server,
  Service,
  ServicePort,
  ServiceProfile,
  SliceEndpoint,
  SlicePort,
  StringMap,
} from "../../lib/source/objects.ts";
import { SERVICE_NAME_LABEL } from "../../lib/source/objects.ts";

/** `shop/web` is `web` in namespace `shop`; a bare name is in `default`. */
export function metadata(path: string, more: Partial<Metadata> = {}): Metadata {
  const [first = "", second] = path.split("/");
  const [namespace, name] = second === undefined ? ["default", first] : [first, second];
  return { name, namespace, labels: {}, annotations: {}, ownerReferences: [], ...more };
}

/** What a pod of a test may say of itself. */
export interface PodTraits {
  readonly ip?: string;
  readonly labels?: StringMap;
  readonly annotations?: StringMap;
  /** Whether it has a proxy of the control plane `malla`. Default: true. */
  readonly meshed?: boolean;
  readonly ready?: boolean;
  readonly containers?: readonly Container[];
  readonly metadata?: Partial<Metadata>;
  readonly spec?: Partial<Pod["spec"]>;
  readonly status?: Partial<Pod["status"]>;
}

/** A running pod, ready and with a sidecar unless the traits say otherwise. */
export function pod(path: string, traits: PodTraits = {}): Pod {
  const { ip, meshed = true, ready = true } = traits;
  const sidecar = container("linkerd-proxy", {
    env: [
      { name: "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", value: "0.0.0.0:4143" },
      { name: "LINKERD2_PROXY_CONTROL_LISTEN_ADDR", value: "0.0.0.0:4190" },
      { name: "LINKERD2_PROXY_ADMIN_LISTEN_ADDR", value: "0.0.0.0:4191" },
    ],
  });
  return {
    kind: "Pod",
    metadata: metadata(path, {
      labels: { ...(meshed ? { "linkerd.io/control-plane-ns": "malla" } : {}), ...traits.labels },
      annotations: traits.annotations ?? {},
      ...traits.metadata,
    }),
    spec: {
      containers: [...(traits.containers ?? [container("app")]), ...(meshed ? [sidecar] : [])],
      initContainers: [],
      volumes: [],
      ...traits.spec,
    },
    status: {
      phase: "Running",
      ...(ip === undefined ? {} : { podIP: ip }),
      podIPs: ip === undefined ? [] : [{ ip }],
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      ...traits.status,
    },
  };
}

/** A container. */
export function container(name: string, more: Partial<Container> = {}): Container {
  return {
    name,
    command: [],
    args: [],
    env: [],
    envFrom: [],
    ports: [],
    volumeMounts: [],
    ...more,
  };
}

/** A Service; `ports` are numbers, or whole entries. */
export function service(
  path: string,
  ports: readonly (number | ServicePort)[],
  spec: Partial<Service["spec"]> = {},
  annotations: StringMap = {},
): Service {
  return {
    kind: "Service",
    metadata: metadata(path, { annotations }),
    spec: {
      clusterIPs: [],
      ipFamilies: [],
      ports: ports.map((port) => (typeof port === "number" ? { port } : port)),
      ...spec,
    },
  };
}

/** A slice of the service of the same namespace. */
export function slice(
  path: string,
  serviceName: string,
  ports: readonly SlicePort[],
  endpoints: readonly SliceEndpoint[],
): EndpointSlice {
  return {
    kind: "EndpointSlice",
    metadata: metadata(path, { labels: { [SERVICE_NAME_LABEL]: serviceName } }),
    addressType: "IPv4",
    endpoints,
    ports,
  };
}

/** An endpoint that is a pod of a namespace. */
export function podEndpoint(
  path: string,
  ip: string,
  more: Partial<SliceEndpoint> = {},
): SliceEndpoint {
  const { name, namespace } = metadata(path);
  return {
    addresses: [ip],
    conditions: { ready: true },
    targetRef: { kind: "Pod", namespace, name },
    ...more,
  };
}

/** A namespace. */
export function namespace(name: string, annotations: StringMap = {}): Namespace {
  return { kind: "Namespace", metadata: metadata(`/${name}`, { annotations }) };
}

/** A server that selects pods. */
export function server(path: string, podSelector: Partial<LabelSelector> = {}): Server {
  const selector = { matchLabels: {}, matchExpressions: [], ...podSelector };
  return { kind: "Server", metadata: metadata(path), spec: { podSelector: selector } };
}

/** A ServiceProfile; its name is the Service's in DNS. */
export function serviceProfile(
  path: string,
  spec: Partial<ServiceProfile["spec"]>,
  more: Partial<Metadata> = {},
): ServiceProfile {
  const nothing = { routes: [], opaquePorts: [], dstOverrides: [] };
  return { kind: "ServiceProfile", metadata: metadata(path, more), spec: { ...nothing, ...spec } };
}
