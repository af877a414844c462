/** The shapes of the objects in `objects.ts`, one for each kind. The compiler holds both together. */

import type {
  ConfigMap,
  Container,
  ContainerPort,
  DaemonSet,
  Deployment,
  EndpointSlice,
  EnvFrom,
  EnvVar,
  EnvVarSource,
  HttpGet,
  Job,
  KeySelector,
  KeyToPath,
  Kind,
  LabelRequirement,
  LabelSelector,
  MeshObject,
  Metadata,
  Namespace,
  ObjectOf,
  OwnerReference,
  Pod,
  PodCondition,
  PodSpec,
  PodStatus,
  PodTemplate,
  Probe,
  ProjectedFiles,
  ProjectedSource,
  ReplicaSet,
  Secret,
  Server,
  Service,
  ServiceAccount,
  ServicePort,
  ServiceProfile,
  SliceEndpoint,
  SlicePort,
  SourceName,
  StatefulSet,
  TemplateMetadata,
  Volume,
  VolumeMount,
} from "./objects.ts";
import {
  anything,
  bool,
  integer,
  list,
  literal,
  name,
  object,
  optional,
  portNumber,
  portReference,
  type Shape,
  someList,
  someStringMap,
  string,
  stringMap,
  withDefault,
} from "./shape.ts";

const INTEGER_MAX = 2 ** 31 - 1;

const count = optional(integer(0, INTEGER_MAX));
const text = optional(string());
const flag = optional(bool());
const mode = optional(integer(0, 0o7777));

const ownerReference = object<OwnerReference>({ kind: name(), name: name(), controller: flag });

function metadata(namespace: Shape<string>): Shape<Metadata> {
  return object<Metadata>({
    name: name(),
    namespace,
    labels: stringMap(),
    annotations: stringMap(),
    ownerReferences: list(ownerReference),
    uid: text,
    resourceVersion: text,
    creationTimestamp: text,
    deletionTimestamp: text,
  });
}

/** Of an object in a namespace, which is `default` where the manifest does not say it. */
const namespaced = metadata(withDefault(name(), "default"));
/** Of an object that belongs to the cluster: a namespace that somebody wrote is not read. */
const clusterWide = metadata({ optional: true, read: () => "" });

const keySelector = object<KeySelector>({ name: name(), key: name(), optional: flag });
const sourceName = object<SourceName>({ name: name(), optional: flag });

const envVar = object<EnvVar>({
  name: name(),
  value: text,
  valueFrom: optional(object<EnvVarSource>({
    configMapKeyRef: optional(keySelector),
    secretKeyRef: optional(keySelector),
    fieldRef: optional(object<{ readonly fieldPath: string }>({ fieldPath: name() })),
    resourceFieldRef: optional(object<{ readonly resource: string }>({ resource: name() })),
  })),
});

const envFrom = object<EnvFrom>({
  prefix: text,
  configMapRef: optional(sourceName),
  secretRef: optional(sourceName),
});

const httpGet = object<HttpGet>({
  path: text,
  port: portReference(),
  host: text,
  scheme: text,
  httpHeaders: list(object<HttpGet["httpHeaders"][number]>({ name: name(), value: string() })),
});

const probe = object<Probe>({
  httpGet: optional(httpGet),
  tcpSocket: optional(object<NonNullable<Probe["tcpSocket"]>>({
    port: portReference(),
    host: text,
  })),
  exec: optional(object<NonNullable<Probe["exec"]>>({ command: list(string()) })),
  grpc: optional(object<NonNullable<Probe["grpc"]>>({ port: portNumber(), service: text })),
  initialDelaySeconds: count,
  periodSeconds: count,
  timeoutSeconds: count,
  successThreshold: count,
  failureThreshold: count,
});

const containerPort = object<ContainerPort>({
  name: text,
  containerPort: portNumber(),
  hostPort: optional(integer(0, 65_535)),
  protocol: text,
});

const volumeMount = object<VolumeMount>({
  name: name(),
  mountPath: name("a path"),
  subPath: text,
  readOnly: flag,
});

const container = object<Container>({
  name: name(),
  image: text,
  command: list(string()),
  args: list(string()),
  workingDir: text,
  env: list(envVar),
  envFrom: list(envFrom),
  ports: list(containerPort),
  volumeMounts: list(volumeMount),
  livenessProbe: optional(probe),
  readinessProbe: optional(probe),
  startupProbe: optional(probe),
  restartPolicy: text,
});

const keyToPath = object<KeyToPath>({ key: name(), path: name("a path"), mode });
const projectedFiles = object<ProjectedFiles>({
  name: name(),
  optional: flag,
  items: list(keyToPath),
});

const volume = object<Volume>({
  name: name(),
  configMap: optional(object<NonNullable<Volume["configMap"]>>({
    name: name(),
    optional: flag,
    items: list(keyToPath),
    defaultMode: mode,
  })),
  secret: optional(object<NonNullable<Volume["secret"]>>({
    secretName: name(),
    optional: flag,
    items: list(keyToPath),
    defaultMode: mode,
  })),
  emptyDir: optional(object<NonNullable<Volume["emptyDir"]>>({ medium: text })),
  hostPath: optional(object<NonNullable<Volume["hostPath"]>>({ path: name(), type: text })),
  projected: optional(object<NonNullable<Volume["projected"]>>({
    sources: list(object<ProjectedSource>({
      configMap: optional(projectedFiles),
      secret: optional(projectedFiles),
      serviceAccountToken: optional(object<NonNullable<ProjectedSource["serviceAccountToken"]>>({
        path: name("a path"),
        audience: text,
        expirationSeconds: count,
      })),
    })),
  })),
});

const podSpec = object<PodSpec>({
  containers: someList(container),
  initContainers: list(container),
  volumes: list(volume),
  serviceAccountName: text,
  automountServiceAccountToken: flag,
  hostNetwork: flag,
  nodeName: text,
  hostname: text,
  subdomain: text,
  restartPolicy: text,
  terminationGracePeriodSeconds: count,
});

const podTemplate = object<PodTemplate>({
  metadata: withDefault(
    object<TemplateMetadata>({ labels: stringMap(), annotations: stringMap() }),
    { labels: {}, annotations: {} },
  ),
  spec: podSpec,
});

const NO_STATUS: PodStatus = { podIPs: [], conditions: [] };
const podStatus = object<PodStatus>({
  phase: text,
  podIP: text,
  podIPs: list(object<{ readonly ip: string }>({ ip: name("an IP address") })),
  hostIP: text,
  conditions: list(object<PodCondition>({ type: name(), status: name() })),
});

const labelSelector = optional(object<LabelSelector>({
  matchLabels: stringMap(),
  matchExpressions: list(object<LabelRequirement>({
    key: name(),
    operator: name(),
    values: list(string()),
  })),
}));

const servicePort = object<ServicePort>({
  name: text,
  port: portNumber(),
  targetPort: optional(portReference()),
  protocol: text,
  appProtocol: text,
  nodePort: optional(integer(0, 65_535)),
});

const serviceSpec = object<Service["spec"]>({
  type: text,
  clusterIP: text,
  clusterIPs: list(string()),
  ipFamilies: list(string()),
  selector: optional(someStringMap()),
  ports: list(servicePort),
  publishNotReadyAddresses: flag,
  internalTrafficPolicy: text,
  externalName: text,
});

const sliceEndpoint = object<SliceEndpoint>({
  addresses: someList(name("an IP address")),
  conditions: withDefault(
    object<SliceEndpoint["conditions"]>({ ready: flag, serving: flag, terminating: flag }),
    {},
  ),
  hostname: text,
  nodeName: text,
  zone: text,
  targetRef: optional(object<NonNullable<SliceEndpoint["targetRef"]>>({
    kind: text,
    namespace: text,
    name: text,
    uid: text,
  })),
  hints: optional(object<NonNullable<SliceEndpoint["hints"]>>({
    forZones: list(object<{ readonly name: string }>({ name: name() })),
  })),
});

const slicePort = object<SlicePort>({
  name: withDefault(string(), ""),
  port: optional(portNumber()),
  protocol: text,
});

const SHAPES: { readonly [K in Kind]: Shape<ObjectOf<K>> } = {
  Namespace: object<Namespace>({ kind: literal("Namespace"), metadata: clusterWide }),
  ServiceAccount: object<ServiceAccount>({ kind: literal("ServiceAccount"), metadata: namespaced }),
  ConfigMap: object<ConfigMap>({
    kind: literal("ConfigMap"),
    metadata: namespaced,
    data: stringMap(),
    binaryData: stringMap(),
  }),
  Secret: object<Secret>({
    kind: literal("Secret"),
    metadata: namespaced,
    type: text,
    data: stringMap(),
    stringData: stringMap(),
  }),
  Pod: object<Pod>({
    kind: literal("Pod"),
    metadata: namespaced,
    spec: podSpec,
    status: withDefault(podStatus, NO_STATUS),
  }),
  Service: object<Service>({
    kind: literal("Service"),
    metadata: namespaced,
    spec: serviceSpec,
  }),
  EndpointSlice: object<EndpointSlice>({
    kind: literal("EndpointSlice"),
    metadata: namespaced,
    addressType: name(),
    endpoints: list(sliceEndpoint),
    ports: list(slicePort),
  }),
  Deployment: object<Deployment>({
    kind: literal("Deployment"),
    metadata: namespaced,
    spec: object<Deployment["spec"]>({
      replicas: count,
      selector: labelSelector,
      template: podTemplate,
    }),
  }),
  ReplicaSet: object<ReplicaSet>({
    kind: literal("ReplicaSet"),
    metadata: namespaced,
    spec: object<ReplicaSet["spec"]>({
      replicas: count,
      selector: labelSelector,
      template: podTemplate,
    }),
  }),
  StatefulSet: object<StatefulSet>({
    kind: literal("StatefulSet"),
    metadata: namespaced,
    spec: object<StatefulSet["spec"]>({
      replicas: count,
      selector: labelSelector,
      serviceName: text,
      template: podTemplate,
    }),
  }),
  DaemonSet: object<DaemonSet>({
    kind: literal("DaemonSet"),
    metadata: namespaced,
    spec: object<DaemonSet["spec"]>({ selector: labelSelector, template: podTemplate }),
  }),
  Job: object<Job>({
    kind: literal("Job"),
    metadata: namespaced,
    spec: object<Job["spec"]>({
      completions: count,
      parallelism: count,
      backoffLimit: count,
      template: podTemplate,
    }),
  }),
  Server: object<Server>({
    kind: literal("Server"),
    metadata: namespaced,
    spec: object<Server["spec"]>({ podSelector: labelSelector }),
  }),
  ServiceProfile: object<ServiceProfile>({
    kind: literal("ServiceProfile"),
    metadata: namespaced,
    spec: object<ServiceProfile["spec"]>({
      routes: list(anything()),
      retryBudget: anything(),
      opaquePorts: list(string("a port in quotes")),
      dstOverrides: list(anything()),
    }),
  }),
};

/** The API group and version in which the mesh reads a kind. */
export const API_VERSIONS: Readonly<Record<Kind, string>> = {
  Namespace: "v1",
  ServiceAccount: "v1",
  ConfigMap: "v1",
  Secret: "v1",
  Pod: "v1",
  Service: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Deployment: "apps/v1",
  ReplicaSet: "apps/v1",
  StatefulSet: "apps/v1",
  DaemonSet: "apps/v1",
  Job: "batch/v1",
  Server: "policy.linkerd.io/v1beta3",
  ServiceProfile: "linkerd.io/v1alpha2",
};

/** Other versions in which a kind may be found, newest first; what the mesh reads is the same in all. */
const OTHER_VERSIONS: Readonly<Partial<Record<Kind, readonly string[]>>> = {
  Server: ["policy.linkerd.io/v1beta2", "policy.linkerd.io/v1beta1", "policy.linkerd.io/v1alpha1"],
  ServiceProfile: ["linkerd.io/v1alpha1"],
};

/** All versions of a kind, the preferred one first. */
export function versionsOf(kind: Kind): readonly string[] {
  return [API_VERSIONS[kind], ...OTHER_VERSIONS[kind] ?? []];
}

/** The kind that a manifest's `apiVersion` and `kind` name, if the mesh reads it. */
export function knownKind(apiVersion: unknown, kind: unknown): Kind | undefined {
  const known = KINDS.find((candidate) => candidate === kind);
  return known !== undefined && versionsOf(known).some((version) => version === apiVersion)
    ? known
    : undefined;
}

/** The shape of a kind. */
export function shapeOf(kind: Kind): Shape<MeshObject> {
  return SHAPES[kind];
}

/** The kinds that belong to a namespace, and those that do not, as one list. */
export const KINDS: readonly Kind[] = Object.keys(API_VERSIONS).filter(isKind);

function isKind(text: string): text is Kind {
  return text in SHAPES;
}
