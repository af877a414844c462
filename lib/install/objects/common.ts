/** What the objects of all components have in common: labels, containers, policies. */

import { VERSION } from "../../base/version.ts";
import { TOKEN_DIR, TOKEN_NAME } from "../../inject/environment.ts";
import { TOKEN_AUDIENCE } from "../../mesh/identity.ts";
import { type Component, COMPONENT_LABEL, INSTALLATION_LABEL, TRUST_ROOTS_KEY } from "../names.ts";
import {
  choose,
  Encoded,
  Merged,
  NAMESPACE,
  orElse,
  type Ref,
  refsOf,
  type Template,
  type TemplateMap,
  text,
  type TextPart,
  type When,
  when,
} from "../template.ts";
import { INSTALL_VALUES } from "../values.ts";

/** An object of an installation, perhaps under a condition. */
export type ObjectTemplate = TemplateMap | When;

/** The values, as templates refer to them. */
export const v = refsOf(INSTALL_VALUES);

/** The trust domain: the cluster's domain, unless another one is given. */
export const TRUST_DOMAIN = orElse(v.identityTrustDomain, v.clusterDomain);

/** The image of the control plane. */
export const IMAGE = text`${v.image.name}:${v.image.version}`;

/** Where the trust anchors are mounted. */
export const TRUST_ROOTS_FOLDER = "/var/run/malla/identity/trust-roots";

const LIVENESS_DELAY_SECONDS = 10;

/** Any address, of the families that pods have. */
export function listenAt(port: number): TextPart {
  return choose(v.disableIPv6, `0.0.0.0:${port}`, `[::]:${port}`);
}

/** The labels of a component's objects. */
export function labelsOf(component: Component): TemplateMap {
  return {
    "app.kubernetes.io/name": component,
    "app.kubernetes.io/part-of": "malla",
    "app.kubernetes.io/version": VERSION,
    [INSTALLATION_LABEL]: NAMESPACE,
  };
}

/** The labels by which a component's pods are found: they must never change. */
export function selectorOf(component: Component): TemplateMap {
  return { "app.kubernetes.io/name": component, [INSTALLATION_LABEL]: NAMESPACE };
}

/** `metadata` of an object in the control plane's namespace. */
export function metadata(
  component: Component,
  name: string | Ref,
  more: TemplateMap = {},
): TemplateMap {
  return { name, namespace: NAMESPACE, labels: labelsOf(component), ...more };
}

/** `metadata` of an object that belongs to the cluster. */
export function clusterMetadata(
  component: Component,
  name: string,
  more: TemplateMap = {},
): TemplateMap {
  return { name, labels: labelsOf(component), ...more };
}

/** What a component's pods are made of. */
export interface Workload {
  readonly component: Component;
  readonly replicas: Template;
  readonly resources: Ref;
  readonly args: readonly Template[];
  readonly ports: Readonly<Record<string, number>>;
  /** The port of `/live` and `/ready`, by its name. */
  readonly probePort: string;
  readonly volumes: readonly Template[];
  readonly mounts: readonly Template[];
}

/** The Deployment of a component. */
export function deployment(workload: Workload): TemplateMap {
  const { component, replicas } = workload;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: metadata(component, component),
    spec: {
      replicas,
      revisionHistoryLimit: v.revisionHistoryLimit,
      selector: { matchLabels: selectorOf(component) },
      template: {
        metadata: podMetadata(component),
        spec: podSpec(workload),
      },
    },
  };
}

function podMetadata(component: Component): TemplateMap {
  return {
    annotations: new Merged(v.podAnnotations, {
      "linkerd.io/inject": "disabled",
      "malla.dev/inject": "disabled",
      // A pod that has read other anchors is replaced.
      "linkerd.io/trust-root-sha256": when(
        v.identityTrustAnchorsPEM,
        new Encoded("sha256", v.identityTrustAnchorsPEM),
      ),
    }),
    labels: new Merged(v.podLabels, { ...labelsOf(component), [COMPONENT_LABEL]: component }),
  };
}

function podSpec(workload: Workload): TemplateMap {
  const { component } = workload;
  return {
    serviceAccountName: component,
    // A variable for each Service would be taken for settings.
    enableServiceLinks: false,
    nodeSelector: v.nodeSelector,
    tolerations: when(v.tolerations, v.tolerations),
    priorityClassName: when(v.priorityClassName, v.priorityClassName),
    imagePullSecrets: when(v.imagePullSecrets, v.imagePullSecrets),
    topologySpreadConstraints: when(v.enableTopologySpread, spread(component)),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: v.controllerUID,
      runAsGroup: v.controllerGID,
      seccompProfile: { type: "RuntimeDefault" },
    },
    containers: [container(workload)],
    ...(workload.volumes.length === 0 ? {} : { volumes: workload.volumes }),
  };
}

function container(
  { component, args, ports, probePort, resources, mounts }: Workload,
): TemplateMap {
  return {
    name: component.replace("malla-", ""),
    image: IMAGE,
    imagePullPolicy: v.image.pullPolicy,
    args: [
      ...args,
      text`--log-level=${v.controllerLogLevel}`,
      text`--log-format=${v.controllerLogFormat}`,
    ],
    ports: Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort })),
    livenessProbe: {
      httpGet: { path: "/live", port: probePort },
      initialDelaySeconds: LIVENESS_DELAY_SECONDS,
    },
    readinessProbe: { httpGet: { path: "/ready", port: probePort }, periodSeconds: 2 },
    resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    ...(mounts.length === 0 ? {} : { volumeMounts: mounts }),
  };
}

/** Over nodes as evenly as can be; over zones where there are some. */
function spread(component: Component): readonly Template[] {
  const constraint = (topologyKey: string, whenUnsatisfiable: string): TemplateMap => ({
    topologyKey,
    maxSkew: 1,
    whenUnsatisfiable,
    labelSelector: { matchLabels: selectorOf(component) },
    // Else the pods of a former version would count, and a rollout would stand still.
    matchLabelKeys: ["pod-template-hash"],
  });
  return [
    constraint("kubernetes.io/hostname", "DoNotSchedule"),
    constraint("topology.kubernetes.io/zone", "ScheduleAnyway"),
  ];
}

/** The volume with the trust anchors, and its mount. */
export function trustRoots(): { readonly volume: TemplateMap; readonly mount: TemplateMap } {
  return {
    volume: {
      name: "trust-roots",
      configMap: {
        name: v.identity.trustRootsConfigMap,
        items: [{ key: TRUST_ROOTS_KEY, path: TRUST_ROOTS_KEY }],
      },
    },
    mount: { name: "trust-roots", mountPath: TRUST_ROOTS_FOLDER, readOnly: true },
  };
}

/** The flag that names them. */
export const TRUST_ROOTS_FLAG = `--trust-anchors-file=${TRUST_ROOTS_FOLDER}/${TRUST_ROOTS_KEY}`;

/** The volume with the token by which a component proves who it is to the identity service. */
export function identityToken(): { readonly volume: TemplateMap; readonly mount: TemplateMap } {
  const token = { audience: TOKEN_AUDIENCE, expirationSeconds: 86_400, path: TOKEN_NAME };
  return {
    volume: { name: "identity-token", projected: { sources: [{ serviceAccountToken: token }] } },
    mount: { name: "identity-token", mountPath: TOKEN_DIR, readOnly: true },
  };
}

/** The flags that say which mesh this is. */
export function meshFlags(): readonly Template[] {
  return [
    text`--control-plane-namespace=${NAMESPACE}`,
    text`--trust-domain=${TRUST_DOMAIN}`,
    text`--cluster-domain=${v.clusterDomain}`,
  ];
}

/** A Service in front of a component's pods. */
export function service(
  component: Component,
  name: string,
  ports: Readonly<Record<string, { readonly port: number; readonly target: string }>>,
  headless = false,
): TemplateMap {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(component, name),
    spec: {
      ...(headless ? { clusterIP: "None" } : { type: "ClusterIP" }),
      selector: selectorOf(component),
      ports: Object.entries(ports).map(([portName, { port, target }]) => ({
        name: portName,
        port,
        targetPort: target,
      })),
    },
  };
}

/** The account of a component. */
export function serviceAccount(component: Component): TemplateMap {
  const secrets = when(v.imagePullSecrets, v.imagePullSecrets);
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: metadata(component, component),
    imagePullSecrets: secrets,
  };
}

/** A rule of a role. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly Template[];
  readonly verbs: readonly string[];
}

const RBAC = "rbac.authorization.k8s.io";

/** What a component may do in the whole cluster. */
export function clusterRole(component: Component, rules: readonly Rule[]): readonly TemplateMap[] {
  const apiVersion = `${RBAC}/v1`;
  const subject = { kind: "ServiceAccount", name: component, namespace: NAMESPACE };
  return [
    {
      apiVersion,
      kind: "ClusterRole",
      metadata: clusterMetadata(component, component),
      rules: rules.map(ruleTemplate),
    },
    {
      apiVersion,
      kind: "ClusterRoleBinding",
      metadata: clusterMetadata(component, component),
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: component },
      subjects: [subject],
    },
  ];
}

/** What a component may do in the control plane's namespace. */
export function role(component: Component, rules: readonly Rule[]): readonly TemplateMap[] {
  const apiVersion = `${RBAC}/v1`;
  const subject = { kind: "ServiceAccount", name: component, namespace: NAMESPACE };
  return [
    {
      apiVersion,
      kind: "Role",
      metadata: metadata(component, component),
      rules: rules.map(ruleTemplate),
    },
    {
      apiVersion,
      kind: "RoleBinding",
      metadata: metadata(component, component),
      roleRef: { apiGroup: RBAC, kind: "Role", name: component },
      subjects: [subject],
    },
  ];
}

function ruleTemplate({ apiGroups, resources, resourceNames, verbs }: Rule): TemplateMap {
  return {
    apiGroups,
    resources,
    ...(resourceNames === undefined ? {} : { resourceNames }),
    verbs,
  };
}

/** A lease exists from the installation on, so that nobody needs the right to make one. */
export function lease(component: Component, name: string): TemplateMap {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: metadata(component, name),
  };
}

/** At most one replica may be evicted at a time. */
export function disruptionBudget(component: Component): When {
  return when(v.enablePodDisruptionBudget, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: metadata(component, component),
    spec: { maxUnavailable: 1, selector: { matchLabels: selectorOf(component) } },
  });
}

/**
 * Connections to a component's pods: to these ports and to no other. Whoever asks for them may come from a
 * node: kubelets do, API servers with their reviews and with what they pass on for `malla stat`. No
 * selector names nodes, so nothing is said of who may. What is asked from inside of a pod alone, as by
 * `kubectl port-forward`, needs no port here.
 */
export function networkPolicy(component: Component, ports: readonly string[]): When {
  return when(v.networkPolicy.enabled, {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: metadata(component, component),
    spec: {
      podSelector: { matchLabels: selectorOf(component) },
      policyTypes: ["Ingress"],
      ingress: [{ ports: ports.map((port): TemplateMap => ({ port, protocol: "TCP" })) }],
    },
  });
}
