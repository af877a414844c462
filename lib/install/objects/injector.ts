/** The injector, its webhook and the authority of the webhook's certificates. */

import {
  CA_BUNDLE_ANNOTATION,
  EXTERNAL_CA_BUNDLE,
  INJECTOR,
  WEBHOOK_AUTHORITY_SECRET,
  WEBHOOK_CONFIGURATION,
} from "../../inject/names.ts";
import { PROXY_OPTIONS } from "../../inject/proxy-options.ts";
import { LINKERD_WEBHOOK } from "../../inject/surroundings.ts";
import { SERVER_KIND } from "../../source/kube/unserved.ts";
import { PORTS, WEBHOOK_TLS_SECRET } from "../names.ts";
import {
  both,
  choose,
  Encoded,
  NAMESPACE,
  not,
  orElse,
  type Ref,
  type Template,
  type TemplateMap,
  text,
  type TextPart,
  when,
} from "../template.ts";
import {
  clusterMetadata,
  clusterRole,
  deployment,
  disruptionBudget,
  lease,
  listenAt,
  meshFlags,
  metadata,
  networkPolicy,
  type ObjectTemplate,
  role,
  service,
  serviceAccount,
  TRUST_ROOTS_FLAG,
  trustRoots,
  v,
} from "./common.ts";

const NAME = INJECTOR;
const TLS_FOLDER = "/var/run/malla/tls";
/** How long API servers may still send reviews to a pod that is told to end. */
const DRAIN = "5s";

/** Its account and rights: to look around pods, to tell their owners, and to keep its certificates. */
export function injectorAccess(): readonly ObjectTemplate[] {
  const webhooks = ["mutatingwebhookconfigurations"];
  const apiGroups = ["admissionregistration.k8s.io"];
  return [
    serviceAccount(NAME),
    ...clusterRole(NAME, [
      { apiGroups: [""], resources: ["namespaces"], verbs: ["get"] },
      { apiGroups: [SERVER_KIND.group], resources: [SERVER_KIND.plural], verbs: ["list"] },
      { apiGroups: ["apps"], resources: ["replicasets"], verbs: ["get"] },
      { apiGroups: ["batch"], resources: ["jobs"], verbs: ["get"] },
      { apiGroups: [""], resources: ["events"], verbs: ["create"] },
      {
        apiGroups,
        resources: webhooks,
        resourceNames: [WEBHOOK_CONFIGURATION, LINKERD_WEBHOOK],
        verbs: ["get"],
      },
      {
        apiGroups,
        resources: webhooks,
        resourceNames: [WEBHOOK_CONFIGURATION],
        verbs: ["patch"],
      },
    ]),
    ...role(NAME, [
      {
        apiGroups: [""],
        resources: ["secrets"],
        resourceNames: [WEBHOOK_AUTHORITY_SECRET],
        verbs: ["get", "update"],
      },
      {
        apiGroups: ["coordination.k8s.io"],
        resources: ["leases"],
        resourceNames: [INJECTOR],
        verbs: ["get", "update"],
      },
    ]),
    lease(NAME, INJECTOR),
    // Empty: the injector's leader fills it.
    when(not(v.injector.externalSecret), {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata(NAME, WEBHOOK_AUTHORITY_SECRET),
      type: "Opaque",
    }),
  ];
}

/** Its pods, its service and its webhook. */
export function injectorWorkload(): readonly ObjectTemplate[] {
  return [
    service(NAME, NAME, { webhook: { port: 443, target: "webhook" } }),
    injectorDeployment(),
    disruptionBudget(NAME),
    networkPolicy(NAME, ["webhook", "admin"]),
    webhookConfiguration(),
  ];
}

function injectorDeployment(): TemplateMap {
  const roots = trustRoots();
  const { externalSecret } = v.injector;
  return deployment({
    component: NAME,
    replicas: v.controllerReplicas,
    resources: v.injector.resources,
    args: [
      "injector",
      ...meshFlags(),
      TRUST_ROOTS_FLAG,
      text`--cluster-networks=${v.clusterNetworks}`,
      text`--ipv6=${choose(v.disableIPv6, "false", "true")}`,
      text`--linkerd-cni-enabled=${v.cniEnabled}`,
      text`--on-invalid=${v.injector.onInvalid}`,
      text`--take-over-linkerd=${v.takeOverLinkerd}`,
      text`--accept-unserved-policy=${v.acceptUnservedPolicy}`,
      `--drain-delay=${DRAIN}`,
      text`--listen=${listenAt(PORTS.webhook)}`,
      text`--admin-listen=${listenAt(PORTS.injectorAdmin)}`,
      when(externalSecret, `--tls-dir=${TLS_FOLDER}`),
      ...proxyFlags(),
    ],
    ports: { webhook: PORTS.webhook, admin: PORTS.injectorAdmin },
    probePort: "admin",
    volumes: [
      roots.volume,
      when(externalSecret, { name: "tls", secret: { secretName: WEBHOOK_TLS_SECRET } }),
    ],
    mounts: [
      roots.mount,
      when(externalSecret, { name: "tls", mountPath: TLS_FOLDER, readOnly: true }),
    ],
  });
}

type OptionName = keyof typeof PROXY_OPTIONS;

/** What the injector is told of proxies. Empty values leave its own defaults. */
function proxyFlags(): readonly Template[] {
  const { proxy, proxyInit } = v;
  const flagOf = (name: OptionName) => `--${PROXY_OPTIONS[name].flag}=`;
  const always = (name: OptionName, value: TextPart): Template => text`${flagOf(name)}${value}`;
  const given = (name: OptionName, value: Ref): Template => when(value, always(name, value));
  const enabled = (value: Ref) => choose(value, "enabled", "disabled");
  const { cpu, memory } = proxy.resources;
  const storage = proxy.resources["ephemeral-storage"];
  const debug = v.debugContainer.image;
  return [
    always("proxyImage", orElse(proxy.image.name, v.image.name)),
    always("proxyVersion", orElse(proxy.image.version, v.image.version)),
    always("imagePullPolicy", orElse(proxy.image.pullPolicy, v.image.pullPolicy)),
    always("inboundPort", proxy.ports.inbound),
    always("outboundPort", proxy.ports.outbound),
    always("adminPort", proxy.ports.admin),
    always("controlPort", proxy.ports.control),
    always("proxyUid", proxy.uid),
    given("proxyGid", proxy.gid),
    always("opaquePorts", proxy.opaquePorts),
    given("requireIdentityPorts", proxy.requireIdentityOnInboundPorts),
    always("defaultInboundPolicy", proxy.defaultInboundPolicy),
    always("proxyLogLevel", proxy.logLevel),
    always("proxyLogFormat", proxy.logFormat),
    given("proxyLogHttpHeaders", proxy.logHTTPHeaders),
    given("accessLog", proxy.accessLog),
    given("inboundConcurrencyLimit", proxy.inboundConcurrencyLimit),
    given("cpuRequest", cpu.request),
    given("cpuLimit", cpu.limit),
    given("cpuRatioLimit", cpu.ratioLimit),
    given("memoryRequest", memory.request),
    given("memoryLimit", memory.limit),
    given("storageRequest", storage.request),
    given("storageLimit", storage.limit),
    always("externalProfiles", proxy.enableExternalProfiles),
    always("adminShutdown", enabled(proxy.enableShutdownEndpoint)),
    always("hostnameLabels", proxy.metrics.hostnameLabels),
    given("outboundConnectTimeout", proxy.outboundConnectTimeout),
    given("inboundConnectTimeout", proxy.inboundConnectTimeout),
    given("outboundDiscoveryUnused", proxy.outboundDiscoveryCacheUnusedTimeout),
    given("inboundDiscoveryUnused", proxy.inboundDiscoveryCacheUnusedTimeout),
    always("disableOutboundDetectTimeout", proxy.disableOutboundProtocolDetectTimeout),
    always("disableInboundDetectTimeout", proxy.disableInboundProtocolDetectTimeout),
    always("nativeSidecar", proxy.nativeSidecar),
    always("proxyAwait", enabled(proxy.await)),
    always("waitBeforeExitSeconds", proxy.waitBeforeExitSeconds),
    given("shutdownGracePeriod", proxy.shutdownGracePeriod),
    when(proxy.additionalEnv, always("additionalEnv", new Encoded("json", proxy.additionalEnv))),
    given("skipInboundPorts", proxyInit.ignoreInboundPorts),
    given("skipOutboundPorts", proxyInit.ignoreOutboundPorts),
    given("skipSubnets", proxyInit.skipSubnets),
    given("closeWaitTimeout", proxyInit.closeWaitTimeout),
    given("debugImage", debug.name),
    given("debugImageVersion", debug.version),
    given("debugImagePullPolicy", debug.pullPolicy),
  ];
}

function webhookConfiguration(): TemplateMap {
  const { externalSecret, caBundle, injectCaFrom } = v.injector;
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: clusterMetadata(NAME, WEBHOOK_CONFIGURATION, {
      annotations: when(externalSecret, {
        [CA_BUNDLE_ANNOTATION]: EXTERNAL_CA_BUNDLE,
        "cert-manager.io/inject-ca-from": when(injectCaFrom, injectCaFrom),
      }),
    }),
    webhooks: [{
      name: `proxy.${WEBHOOK_CONFIGURATION}`,
      namespaceSelector: v.injector.namespaceSelector,
      objectSelector: v.injector.objectSelector,
      clientConfig: {
        service: { name: NAME, namespace: NAMESPACE, path: "/", port: 443 },
        // Otherwise the injector's leader writes it.
        caBundle: when(both(externalSecret, caBundle), new Encoded("base64", caBundle)),
      },
      failurePolicy: v.webhookFailurePolicy,
      admissionReviewVersions: ["v1"],
      sideEffects: "NoneOnDryRun",
      timeoutSeconds: v.injector.timeoutSeconds,
      rules: [{
        operations: ["CREATE"],
        apiGroups: [""],
        apiVersions: ["v1"],
        resources: ["pods", "services"],
        scope: "Namespaced",
      }],
    }],
  };
}
