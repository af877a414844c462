/**
 * The Kubernetes objects that the mesh reads, with Kubernetes' own field names, and of each only the
 * fields that are read. Maps and lists that Kubernetes may leave out are empty here, so that nobody
 * has to ask. Their shapes, for checking foreign input, are in `shapes.ts`.
 */

/** A map of strings, as labels and annotations are. */
export type StringMap = Readonly<Record<string, string>>;

/** The object that controls another one. */
export interface OwnerReference {
  readonly kind: string;
  readonly name: string;
  readonly controller?: boolean;
}

/** `metadata` of any object. `namespace` is empty for objects that belong to the cluster. */
export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly ownerReferences: readonly OwnerReference[];
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
}

/** `metadata` of a pod template. */
export interface TemplateMetadata {
  readonly labels: StringMap;
  readonly annotations: StringMap;
}

/** A namespace. */
export interface Namespace {
  readonly kind: "Namespace";
  readonly metadata: Metadata;
}

/** A service account; its name is a part of an identity. */
export interface ServiceAccount {
  readonly kind: "ServiceAccount";
  readonly metadata: Metadata;
}

/** A ConfigMap. Binary data is in base64. */
export interface ConfigMap {
  readonly kind: "ConfigMap";
  readonly metadata: Metadata;
  readonly data: StringMap;
  readonly binaryData: StringMap;
}

/** A Secret. `data` is in base64, `stringData` (which wins) is plain. */
export interface Secret {
  readonly kind: "Secret";
  readonly metadata: Metadata;
  readonly type?: string;
  readonly data: StringMap;
  readonly stringData: StringMap;
}

/** A port that a container listens on. */
export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly hostPort?: number;
  readonly protocol?: string;
}

/** Picks one key of a ConfigMap or Secret. */
export interface KeySelector {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

/** A ConfigMap or Secret as a whole. */
export interface SourceName {
  readonly name: string;
  readonly optional?: boolean;
}

/** A variable's value that is not written in place. */
export interface EnvVarSource {
  readonly configMapKeyRef?: KeySelector;
  readonly secretKeyRef?: KeySelector;
  readonly fieldRef?: { readonly fieldPath: string };
  readonly resourceFieldRef?: { readonly resource: string };
}

/** A variable of a container's environment. */
export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: EnvVarSource;
}

/** Variables taken from all keys of a ConfigMap or Secret. */
export interface EnvFrom {
  readonly prefix?: string;
  readonly configMapRef?: SourceName;
  readonly secretRef?: SourceName;
}

/** A port by number or by a container port's name. */
export type PortReference = number | string;

/** An HTTP request. */
export interface HttpGet {
  readonly path?: string;
  readonly port: PortReference;
  readonly host?: string;
  readonly scheme?: string;
  readonly httpHeaders: readonly { readonly name: string; readonly value: string }[];
}

/** A check of a container; exactly one of the four actions is expected to be there. */
export interface Probe {
  readonly httpGet?: HttpGet;
  readonly tcpSocket?: { readonly port: PortReference; readonly host?: string };
  readonly exec?: { readonly command: readonly string[] };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
}

/** Where a volume appears in a container. */
export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly readOnly?: boolean;
}

/** A container. */
export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir?: string;
  readonly env: readonly EnvVar[];
  readonly envFrom: readonly EnvFrom[];
  readonly ports: readonly ContainerPort[];
  readonly volumeMounts: readonly VolumeMount[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  /** `Always` on an init container makes it a native sidecar. */
  readonly restartPolicy?: string;
}

/** One key of a volume's source and the file that it becomes. */
export interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode?: number;
}

/** A ConfigMap or Secret as files. */
export interface ProjectedFiles {
  readonly name: string;
  readonly optional?: boolean;
  readonly items: readonly KeyToPath[];
}

/** A volume of a pod; the sources that we do not read leave all fields but the name absent. */
export interface Volume {
  readonly name: string;
  readonly configMap?: ProjectedFiles & { readonly defaultMode?: number };
  readonly secret?: {
    readonly secretName: string;
    readonly optional?: boolean;
    readonly items: readonly KeyToPath[];
    readonly defaultMode?: number;
  };
  readonly emptyDir?: { readonly medium?: string };
  readonly hostPath?: { readonly path: string; readonly type?: string };
  readonly projected?: { readonly sources: readonly ProjectedSource[] };
}

/** One part of a projected volume. */
export interface ProjectedSource {
  readonly configMap?: ProjectedFiles;
  readonly secret?: ProjectedFiles;
  readonly serviceAccountToken?: {
    readonly path: string;
    readonly audience?: string;
    readonly expirationSeconds?: number;
  };
}

/** What runs in a pod. */
export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  readonly volumes: readonly Volume[];
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly nodeName?: string;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly restartPolicy?: string;
  readonly terminationGracePeriodSeconds?: number;
}

/** A condition of a pod, such as `Ready`. */
export interface PodCondition {
  readonly type: string;
  readonly status: string;
}

/** What was observed of a pod. */
export interface PodStatus {
  readonly phase?: string;
  readonly podIP?: string;
  readonly podIPs: readonly { readonly ip: string }[];
  readonly hostIP?: string;
  readonly conditions: readonly PodCondition[];
}

/** A pod. */
export interface Pod {
  readonly kind: "Pod";
  readonly metadata: Metadata;
  readonly spec: PodSpec;
  readonly status: PodStatus;
}

/** Whether a pod says of itself that it takes connections. */
export function isReady({ status }: Pod): boolean {
  return status.conditions.some(({ type, status: value }) => type === "Ready" && value === "True");
}

/** The pod that a workload makes copies of. */
export interface PodTemplate {
  readonly metadata: TemplateMetadata;
  readonly spec: PodSpec;
}

/** One condition on labels: `In`, `NotIn`, `Exists` or `DoesNotExist`. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** Picks objects by labels: all conditions must hold. */
export interface LabelSelector {
  readonly matchLabels: StringMap;
  readonly matchExpressions: readonly LabelRequirement[];
}

/** A workload of equal pods. */
export interface Deployment {
  readonly kind: "Deployment";
  readonly metadata: Metadata;
  readonly spec: {
    readonly replicas?: number;
    readonly selector?: LabelSelector;
    readonly template: PodTemplate;
  };
}

/** What a Deployment makes its pods with; also usable alone. */
export interface ReplicaSet {
  readonly kind: "ReplicaSet";
  readonly metadata: Metadata;
  readonly spec: {
    readonly replicas?: number;
    readonly selector?: LabelSelector;
    readonly template: PodTemplate;
  };
}

/** A workload of numbered pods with names of their own. */
export interface StatefulSet {
  readonly kind: "StatefulSet";
  readonly metadata: Metadata;
  readonly spec: {
    readonly replicas?: number;
    readonly selector?: LabelSelector;
    readonly serviceName?: string;
    readonly template: PodTemplate;
  };
}

/** A workload with one pod on each node. */
export interface DaemonSet {
  readonly kind: "DaemonSet";
  readonly metadata: Metadata;
  readonly spec: { readonly selector?: LabelSelector; readonly template: PodTemplate };
}

/** A workload that ends. */
export interface Job {
  readonly kind: "Job";
  readonly metadata: Metadata;
  readonly spec: {
    readonly completions?: number;
    readonly parallelism?: number;
    readonly backoffLimit?: number;
    readonly template: PodTemplate;
  };
}

/** A port of a Service. */
export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  /** Absent: the same as `port`. */
  readonly targetPort?: PortReference;
  readonly protocol?: string;
  readonly appProtocol?: string;
  readonly nodePort?: number;
}

/** A name and address for a set of pods. */
export interface Service {
  readonly kind: "Service";
  readonly metadata: Metadata;
  readonly spec: {
    readonly type?: string;
    /** `None` makes the service headless. */
    readonly clusterIP?: string;
    readonly clusterIPs: readonly string[];
    readonly ipFamilies: readonly string[];
    /** Absent or empty: the endpoints come from elsewhere. */
    readonly selector?: StringMap;
    readonly ports: readonly ServicePort[];
    readonly publishNotReadyAddresses?: boolean;
    readonly internalTrafficPolicy?: string;
    readonly externalName?: string;
  };
}

/** One pod or foreign host behind a Service. */
export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions: {
    /** Absent means true. */
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly targetRef?: {
    readonly kind?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
  };
  readonly hints?: { readonly forZones: readonly { readonly name: string }[] };
}

/** A port of all endpoints of a slice. */
export interface SlicePort {
  /** The Service port's name; empty when it has none. */
  readonly name: string;
  /** Absent: every port. */
  readonly port?: number;
  readonly protocol?: string;
}

/** Endpoints of a Service, named by the label `kubernetes.io/service-name`. */
export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly metadata: Metadata;
  readonly addressType: string;
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly SlicePort[];
}

/**
 * Says who may reach a port of pods (`policy.linkerd.io`). What it says is not served yet; that it
 * selects pods is enough to refuse whoever it might not admit.
 */
export interface Server {
  readonly kind: "Server";
  readonly metadata: Metadata;
  /** Without a selector of pods it is about workloads outside of the cluster. */
  readonly spec: { readonly podSelector?: LabelSelector };
}

/**
 * Says what happens to the requests of a Service (`linkerd.io`); its name is the Service's in DNS. What
 * stands in its lists is checked by whoever serves it, so that one wrong route does not take the others
 * with it.
 */
export interface ServiceProfile {
  readonly kind: "ServiceProfile";
  readonly metadata: Metadata;
  readonly spec: {
    readonly routes: readonly unknown[];
    readonly retryBudget?: unknown;
    readonly opaquePorts: readonly string[];
    readonly dstOverrides: readonly unknown[];
  };
}

/** Any object that the mesh reads. */
export type MeshObject =
  | Namespace
  | ServiceAccount
  | ConfigMap
  | Secret
  | Pod
  | Service
  | EndpointSlice
  | Deployment
  | ReplicaSet
  | StatefulSet
  | DaemonSet
  | Job
  | Server
  | ServiceProfile;

/** The kinds of object that the mesh reads. */
export type Kind = MeshObject["kind"];

/** The object type of a kind. */
export type ObjectOf<K extends Kind> = Extract<MeshObject, { readonly kind: K }>;

/** Names an object. */
export interface ObjectRef {
  readonly kind: Kind;
  /** Empty for objects that belong to the cluster. */
  readonly namespace: string;
  readonly name: string;
}

/** The label of an EndpointSlice that names its Service. */
export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** The kinds whose objects belong to no namespace. */
const CLUSTER_KINDS: ReadonlySet<string> = new Set<Kind>(["Namespace"]);

/** Whether objects of this kind belong to a namespace. */
export function isNamespaced(kind: Kind): boolean {
  return !CLUSTER_KINDS.has(kind);
}

/** The name of an object. */
export function refOf(object: MeshObject): ObjectRef {
  const { namespace, name } = object.metadata;
  return { kind: object.kind, namespace, name };
}

/** A text that tells objects apart; for maps. */
export function refKey(ref: ObjectRef): string {
  return `${ref.kind}/${ref.namespace}/${ref.name}`;
}

/** Whether the labels have all the pairs. An empty selector matches nothing, as for a Service. */
export function labelsMatch(selector: StringMap, labels: StringMap): boolean {
  const pairs = Object.entries(selector);
  return pairs.length > 0 && pairs.every(([key, value]) => labels[key] === value);
}

/** Whether labels meet a selector. Other than above, one without conditions matches everything. */
export function selectorMatches(selector: LabelSelector, labels: StringMap): boolean {
  const pairs = Object.entries(selector.matchLabels);
  return pairs.every(([key, value]) => labels[key] === value) &&
    selector.matchExpressions.every((requirement) => requirementMet(requirement, labels));
}

function requirementMet(
  { key, operator, values }: LabelRequirement,
  labels: StringMap,
): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      // Selectors pick those whom a policy protects: one that we cannot read must not let them off.
      return true;
  }
}
