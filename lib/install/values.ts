/**
 * The values of an installation: what can be chosen, with the names that Linkerd's chart has for the
 * same. `malla install`, its flags, the Helm chart and its reference are all made from this tree.
 */

import { VERSION } from "../base/version.ts";
import {
  duration,
  integer,
  networks,
  oneOf,
  pattern,
  pemText,
  type Values,
  type ValueTree,
  type YamlMap,
} from "../config/mod.ts";
import { DEFAULT_OPAQUE_PORTS } from "../mesh/port-range.ts";
import { DEFAULT_PROXY_CONFIG } from "../inject/mod.ts";
import { PROXY_OPTIONS, type ProxyOption } from "../inject/proxy-options.ts";
import {
  flag,
  IMAGE,
  LABEL,
  list,
  LOG_FORMAT,
  LOG_LEVEL,
  map,
  number,
  type NumberValue,
  PULL_POLICY,
  resources,
  secret,
  text,
  type TextValue,
  USER,
} from "./value-kinds.ts";

const DNS_NAME = pattern(
  { expected: "a DNS name such as cluster.local", placeholder: "NAME" },
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
);

/** The tree. Its order is that of the chart's `values.yaml`. */
export const INSTALL_VALUES = {
  clusterDomain: text(
    "cluster.local",
    DNS_NAME,
    "The last part of every service's DNS name.",
  ),
  clusterNetworks: text(
    "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8",
    networks(),
    "The networks of pods, services and nodes.",
  ),
  disableIPv6: flag(true, "Whether pods have IPv4 alone."),
  cniEnabled: flag(
    false,
    "Whether the CNI plugin of `malla install-cni` redirects pods' traffic, so that they have no init " +
      "container with NET_ADMIN.",
  ),
  image: {
    name: text(DEFAULT_PROXY_CONFIG.image, IMAGE, "The image of the control plane and of proxies."),
    version: text(VERSION, PROXY_OPTIONS.proxyVersion.type, "The image's tag."),
    pullPolicy: text("IfNotPresent", PULL_POLICY, "When nodes fetch the image."),
  },
  imagePullSecrets: list(
    [],
    "Secrets with which nodes fetch the image, such as [{name: registry}].",
  ),
  identityTrustDomain: text(
    "",
    DNS_NAME,
    "The last part of every identity. Empty: the cluster's domain.",
  ),
  identityTrustAnchorsPEM: text(
    "",
    pemText(),
    "The certificates that all identities chain to. `malla install` makes them when there are none.",
  ),
  identity: {
    externalCA: flag(
      false,
      "Whether somebody else (such as trust-manager) writes the ConfigMap with the trust anchors.",
    ),
    trustRootsConfigMap: text(
      "malla-identity-trust-roots",
      LABEL,
      "The ConfigMap with the trust anchors, under the key ca-bundle.crt.",
    ),
    issuer: {
      scheme: text(
        "linkerd.io/tls",
        oneOf(["linkerd.io/tls", "kubernetes.io/tls"]),
        "linkerd.io/tls: the issuer is given here. kubernetes.io/tls: somebody else (such as " +
          "cert-manager) writes its Secret, with tls.crt and tls.key.",
      ),
      secretName: text("malla-identity-issuer", LABEL, "The Secret with the issuer."),
      clockSkewAllowance: text("20s", duration(), "How far the clocks of workloads may be off."),
      issuanceLifetime: text("24h0m0s", duration(), "How long certificates of workloads last."),
      tls: {
        crtPEM: text(
          "",
          pemText(),
          "The issuer's certificate, with those between it and the anchor.",
        ),
        keyPEM: secret("", pemText(), "The issuer's key, ECDSA P-256."),
      },
    },
    resources: resources("10m", "100Mi"),
  },
  controller: { resources: resources("50m", "120Mi") },
  injector: {
    resources: resources("20m", "120Mi"),
    onInvalid: text(
      "refuse",
      oneOf(["refuse", "admit"]),
      "Whether a pod with a wrong annotation is refused, or admitted without a proxy.",
    ),
    timeoutSeconds: number(10, integer(1, 30), "How long API servers wait for the webhook."),
    namespaceSelector: map(
      {
        matchExpressions: [
          { key: "config.linkerd.io/admission-webhooks", operator: "NotIn", values: ["disabled"] },
          {
            key: "kubernetes.io/metadata.name",
            operator: "NotIn",
            values: ["kube-system", "cert-manager"],
          },
        ],
      },
      "The namespaces whose pods and services the webhook sees.",
    ),
    objectSelector: map(
      {
        matchExpressions: [
          { key: "linkerd.io/control-plane-component", operator: "DoesNotExist" },
          { key: "linkerd.io/cni-resource", operator: "DoesNotExist" },
        ],
      },
      "The pods and services that the webhook sees.",
    ),
    externalSecret: flag(
      false,
      "Whether somebody else writes the Secret malla-injector-tls with the webhook's certificate.",
    ),
    caBundle: text(
      "",
      pemText(),
      "With externalSecret: the authority of that certificate, in PEM.",
    ),
    injectCaFrom: text(
      "",
      pattern(
        { expected: "NAMESPACE/CERTIFICATE", placeholder: "NAMESPACE/NAME" },
        /^[^\s/]+\/[^\s/]+$/,
      ),
      "With externalSecret: the Certificate from which cert-manager copies the authority.",
    ),
  },
  viz: {
    enabled: flag(true, "Whether the metrics API and the live page are installed."),
    scrapePeriod: text("10s", duration(), "How often each proxy's metrics are read."),
    resources: resources("50m", "150Mi"),
  },
  controllerReplicas: number(
    1,
    integer(1, 100),
    "How many replicas identity, controller and injector have.",
  ),
  controllerLogLevel: text("info", LOG_LEVEL, "How much the control plane logs."),
  controllerLogFormat: text(
    "plain",
    LOG_FORMAT,
    "Whether the control plane's log lines are for people or for machines.",
  ),
  controllerUID: number(2103, USER, "The user that the control plane runs as."),
  controllerGID: number(2103, USER, "The group that the control plane runs as."),
  webhookFailurePolicy: text(
    "Ignore",
    oneOf(["Ignore", "Fail"]),
    "Whether pods are admitted without a proxy when the injector does not answer.",
  ),
  acceptUnservedPolicy: flag(
    false,
    "Whether pods are open although objects select them that Malla does not serve yet.",
  ),
  takeOverLinkerd: flag(
    false,
    "Whether linkerd.io/inject is obeyed although Linkerd's own injector is there. Installed into " +
      "Linkerd's namespace, with its trust anchors and issuer.",
  ),
  enablePodDisruptionBudget: flag(
    false,
    "Whether at most one replica of a component may be evicted at a time.",
  ),
  enableTopologySpread: flag(false, "Whether replicas are spread over nodes and zones."),
  networkPolicy: {
    enabled: flag(true, "Whether the control plane's pods take connections on their ports alone."),
  },
  priorityClassName: text("", LABEL, "The priority class of the control plane's pods."),
  nodeSelector: map({ "kubernetes.io/os": "linux" }, "The nodes of the control plane's pods."),
  tolerations: list([], "The taints that the control plane's pods tolerate."),
  podAnnotations: map({}, "More annotations of the control plane's pods."),
  podLabels: map({}, "More labels of the control plane's pods."),
  revisionHistoryLimit: number(10, integer(0, 1_000), "How many old ReplicaSets are kept."),
  proxy: {
    image: {
      name: option("proxyImage", "", "Empty: that of the control plane."),
      version: option("proxyVersion", "", "Empty: that of the control plane."),
      pullPolicy: option("imagePullPolicy", "", "Empty: that of the control plane."),
    },
    ports: {
      inbound: portOption("inboundPort"),
      outbound: portOption("outboundPort"),
      admin: portOption("adminPort"),
      control: portOption("controlPort"),
    },
    uid: number(DEFAULT_PROXY_CONFIG.uid, USER, PROXY_OPTIONS.proxyUid.help),
    gid: number(0, integer(0, 2_147_483_647), `${PROXY_OPTIONS.proxyGid.help} 0: none of its own.`),
    opaquePorts: option("opaquePorts", DEFAULT_OPAQUE_PORTS),
    requireIdentityOnInboundPorts: option("requireIdentityPorts"),
    defaultInboundPolicy: option("defaultInboundPolicy", DEFAULT_PROXY_CONFIG.defaultInboundPolicy),
    logLevel: option("proxyLogLevel", DEFAULT_PROXY_CONFIG.logLevel),
    logFormat: option("proxyLogFormat", DEFAULT_PROXY_CONFIG.logFormat),
    logHTTPHeaders: option("proxyLogHttpHeaders"),
    accessLog: option("accessLog"),
    inboundConcurrencyLimit: option("inboundConcurrencyLimit"),
    resources: {
      cpu: {
        request: option("cpuRequest"),
        limit: option("cpuLimit"),
        ratioLimit: option("cpuRatioLimit"),
      },
      memory: { request: option("memoryRequest"), limit: option("memoryLimit") },
      "ephemeral-storage": { request: option("storageRequest"), limit: option("storageLimit") },
    },
    enableExternalProfiles: flag(
      DEFAULT_PROXY_CONFIG.externalProfiles,
      PROXY_OPTIONS.externalProfiles.help,
    ),
    enableShutdownEndpoint: flag(
      DEFAULT_PROXY_CONFIG.adminShutdown,
      PROXY_OPTIONS.adminShutdown.help,
    ),
    metrics: {
      hostnameLabels: flag(DEFAULT_PROXY_CONFIG.hostnameLabels, PROXY_OPTIONS.hostnameLabels.help),
    },
    outboundConnectTimeout: option("outboundConnectTimeout"),
    inboundConnectTimeout: option("inboundConnectTimeout"),
    outboundDiscoveryCacheUnusedTimeout: option("outboundDiscoveryUnused"),
    inboundDiscoveryCacheUnusedTimeout: option("inboundDiscoveryUnused"),
    disableOutboundProtocolDetectTimeout: flag(
      false,
      PROXY_OPTIONS.disableOutboundDetectTimeout.help,
    ),
    disableInboundProtocolDetectTimeout: flag(
      false,
      PROXY_OPTIONS.disableInboundDetectTimeout.help,
    ),
    nativeSidecar: flag(DEFAULT_PROXY_CONFIG.nativeSidecar, PROXY_OPTIONS.nativeSidecar.help),
    await: flag(DEFAULT_PROXY_CONFIG.await, PROXY_OPTIONS.proxyAwait.help),
    waitBeforeExitSeconds: number(
      DEFAULT_PROXY_CONFIG.waitBeforeExitSeconds,
      integer(0, 86_400),
      PROXY_OPTIONS.waitBeforeExitSeconds.help,
    ),
    shutdownGracePeriod: option("shutdownGracePeriod"),
    additionalEnv: list([], "More variables for proxies, such as [{name: KEY, value: text}]."),
  },
  proxyInit: {
    ignoreInboundPorts: option("skipInboundPorts"),
    ignoreOutboundPorts: option("skipOutboundPorts"),
    skipSubnets: option("skipSubnets"),
    closeWaitTimeout: option("closeWaitTimeout"),
  },
  debugContainer: {
    image: {
      name: option("debugImage", "", "Pods name their own where this is empty."),
      version: option("debugImageVersion"),
      pullPolicy: option("debugImagePullPolicy"),
    },
  },
} as const satisfies ValueTree;

/** The values of one installation. */
export type InstallValues = Values<typeof INSTALL_VALUES>;

/** What `--ha` changes: a layer above the defaults, and the chart's `values-ha.yaml`. */
export const HA_VALUES: YamlMap = {
  controllerReplicas: 3,
  enablePodDisruptionBudget: true,
  enableTopologySpread: true,
  webhookFailurePolicy: "Fail",
  identity: { resources: limited("100m", "100Mi", "250Mi") },
  controller: { resources: limited("100m", "150Mi", "500Mi") },
  injector: { resources: limited("100m", "150Mi", "250Mi") },
  viz: { resources: limited("100m", "200Mi", "500Mi") },
  proxy: { resources: { cpu: { request: "100m" }, memory: { request: "80Mi", limit: "250Mi" } } },
};

/** An option of proxies. Where the default is empty the injector's own counts. */
function option(name: keyof typeof PROXY_OPTIONS, preset = "", note = ""): TextValue {
  const known: ProxyOption = PROXY_OPTIONS[name];
  const usual = preset === "" && known.default ? ` Empty: ${known.default}.` : "";
  const help = `${known.help}${note === "" ? usual : ` ${note}`}`;
  return { kind: "text", type: known.type, default: preset, help };
}

function portOption(
  name: "inboundPort" | "outboundPort" | "adminPort" | "controlPort",
): NumberValue {
  return number(DEFAULT_PROXY_CONFIG[name], integer(1, 65_535), PROXY_OPTIONS[name].help);
}

function limited(cpu: string, memory: string, memoryLimit: string): YamlMap {
  return { requests: { cpu, memory }, limits: { memory: memoryLimit } };
}
