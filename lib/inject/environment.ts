/**
 * The environment of an injected proxy: the contract by which `malla proxy` (or a stock linkerd2-proxy)
 * is configured. What only the node knows comes through field references and `$(NAME)`.
 */

import type { JsonObject } from "./json-patch.ts";
import type { Pod } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import { formatPortRanges } from "../mesh/port-range.ts";
import { inboundPorts } from "./pod.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import { isTraced, traceVariables } from "./trace-attributes.ts";

/** Where the proxy finds (or leaves) its key material. */
export const IDENTITY_DIR = "/var/run/linkerd/identity/end-entity";

/** Where the token that the proxy shows to the identity service is mounted. */
export const TOKEN_DIR = "/var/run/secrets/tokens";

/** The token's file name. */
export const TOKEN_NAME = "linkerd-identity-token";

/**
 * How the JavaScript engine of our proxy runs (measured: see ARCHITECTURE.md). All of the heap is collected
 * when it has grown to 1.7 times what is alive, where the engine would let a small heap grow to four times
 * that. And its last, slowest compiler waits ten times longer before it takes a function: with the usual
 * threshold it takes more CPU in the first second than the requests do.
 */
export const ENGINE_VARIABLES = {
  BUN_JSC_heapGrowthMaxIncrease: "0.7",
  BUN_JSC_thresholdForFTLOptimizeAfterWarmUp: "1000000",
} as const;

/** The variables of the proxy's container in a pod. */
export function proxyEnvironment(
  config: ProxyConfig,
  options: InjectOptions,
  pod: Pod,
): JsonObject[] {
  const variables: JsonObject[] = [
    field("_pod_name", "metadata.name"),
    field("_pod_ns", "metadata.namespace"),
    field("_pod_uid", "metadata.uid"),
    field("_pod_nodeName", "spec.nodeName"),
    field("_pod_sa", "spec.serviceAccountName"),
    field("LINKERD2_PROXY_INBOUND_IPS", "status.podIPs"),
  ];
  const plain = {
    ...controlVariables(options, config),
    ...pathVariables(config, options, inboundPorts(pod)),
    ...identityVariables(options),
    ...switches(config, options),
    ...isTraced(config) ? traceVariables(pod) : {},
    ...ENGINE_VARIABLES,
  };
  for (const [name, value] of Object.entries(plain)) {
    if (value !== undefined) variables.push({ name, value });
  }
  const extra = new Map(config.additionalEnv.map((variable) => [variable.name, variable]));
  const own = variables.filter(({ name }) => !extra.has(String(name)));
  return [...own, ...extra.values()];
}

function field(name: string, fieldPath: string): JsonObject {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function controlVariables(
  options: InjectOptions,
  config: ProxyConfig,
): Record<string, string | undefined> {
  const { destination, policy } = options;
  return {
    LINKERD2_PROXY_LOG: logFilter(config),
    LINKERD2_PROXY_LOG_FORMAT: config.logFormat,
    LINKERD2_PROXY_ACCESS_LOG: config.accessLog,
    LINKERD2_PROXY_DESTINATION_SVC_ADDR: destination.address,
    LINKERD2_PROXY_DESTINATION_SVC_NAME: destination.identity,
    LINKERD2_PROXY_DESTINATION_PROFILE_NETWORKS: options.clusterNetworks,
    LINKERD2_PROXY_DESTINATION_PROFILE_SUFFIXES: config.externalProfiles
      ? "."
      : `svc.${options.clusterDomain}.`,
    LINKERD2_PROXY_DESTINATION_CONTEXT:
      '{"ns":"$(_pod_ns)", "nodeName":"$(_pod_nodeName)", "pod":"$(_pod_name)"}',
    LINKERD2_PROXY_POLICY_SVC_ADDR: policy.address,
    LINKERD2_PROXY_POLICY_SVC_NAME: policy.identity,
    LINKERD2_PROXY_POLICY_WORKLOAD: '{"ns":"$(_pod_ns)", "pod":"$(_pod_name)"}',
    LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS: options.clusterNetworks,
    LINKERD2_PROXY_CONTROL_STREAM_INITIAL_TIMEOUT: "3s",
    LINKERD2_PROXY_CONTROL_STREAM_IDLE_TIMEOUT: "5m",
    LINKERD2_PROXY_CONTROL_STREAM_LIFETIME: "1h",
  };
}

/** Headers are logged at debug level; the two filters at the end keep them out of the log. */
function logFilter(config: ProxyConfig): string {
  const silenced = config.logHttpHeaders === "off" || config.logHttpHeaders === "disabled";
  return silenced ? `${config.logLevel},[{headers}]=off,[{request}]=off` : config.logLevel;
}

function pathVariables(
  config: ProxyConfig,
  options: InjectOptions,
  declaredPorts: readonly number[],
): Record<string, string | undefined> {
  const any = options.ipv6 ? "[::]" : "0.0.0.0";
  const { outboundPort } = config;
  return {
    LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: config.defaultInboundPolicy,
    LINKERD2_PROXY_INBOUND_PORTS: declaredPorts.join(","),
    LINKERD2_PROXY_INBOUND_LISTEN_ADDR: `${any}:${config.inboundPort}`,
    LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS: options.ipv6
      ? `127.0.0.1:${outboundPort},[::1]:${outboundPort}`
      : `127.0.0.1:${outboundPort}`,
    LINKERD2_PROXY_CONTROL_LISTEN_ADDR: `${any}:${config.controlPort}`,
    LINKERD2_PROXY_ADMIN_LISTEN_ADDR: `${any}:${config.adminPort}`,
    LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: formatPortRanges(config.opaquePorts),
    LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY: config.requireIdentityPorts.length === 0
      ? undefined
      : formatPortRanges(config.requireIdentityPorts),
    LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT: config.outboundConnectTimeout,
    LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT: config.inboundConnectTimeout,
    MALLA_INBOUND_CONCURRENCY_LIMIT: config.inboundConcurrencyLimit,
    LINKERD2_PROXY_OUTBOUND_DISCOVERY_IDLE_TIMEOUT: config.outboundDiscoveryUnused,
    LINKERD2_PROXY_INBOUND_DISCOVERY_IDLE_TIMEOUT: config.inboundDiscoveryUnused,
    // No switch turns detection's limit off, so it is set beyond any wait.
    LINKERD2_PROXY_OUTBOUND_DETECT_TIMEOUT: config.disableOutboundDetectTimeout ? "1d" : undefined,
    LINKERD2_PROXY_INBOUND_DETECT_TIMEOUT: config.disableInboundDetectTimeout ? "1d" : undefined,
    LINKERD2_PROXY_INBOUND_ACCEPT_KEEPALIVE: "10000ms",
    LINKERD2_PROXY_OUTBOUND_CONNECT_KEEPALIVE: "10000ms",
  };
}

function identityVariables(options: InjectOptions): Record<string, string | undefined> {
  const suffix = `serviceaccount.identity.${options.controlPlaneNamespace}.${options.trustDomain}`;
  return {
    LINKERD2_PROXY_IDENTITY_DIR: IDENTITY_DIR,
    LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: options.trustAnchors,
    LINKERD2_PROXY_IDENTITY_TOKEN_FILE: `${TOKEN_DIR}/${TOKEN_NAME}`,
    LINKERD2_PROXY_IDENTITY_SVC_ADDR: options.identity.address,
    LINKERD2_PROXY_IDENTITY_SVC_NAME: options.identity.identity,
    LINKERD2_PROXY_IDENTITY_LOCAL_NAME: `$(_pod_sa).$(_pod_ns).${suffix}`,
  };
}

function switches(
  config: ProxyConfig,
  options: InjectOptions,
): Record<string, string | undefined> {
  return {
    LINKERD2_PROXY_TAP_SVC_NAME: options.tapIdentity,
    LINKERD2_PROXY_CORES: config.cpuLimit === undefined
      ? undefined
      : String(wholeCores(config.cpuLimit)),
    LINKERD2_PROXY_CORES_MAX_RATIO: config.cpuRatioLimit?.toString(),
    LINKERD2_PROXY_INGRESS_MODE: config.ingress ? "true" : undefined,
    LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES: config.gateway
      ? `svc.${options.clusterDomain}.`
      : undefined,
    LINKERD2_PROXY_SHUTDOWN_ENDPOINT_ENABLED: config.adminShutdown ? "true" : undefined,
    LINKERD2_PROXY_SHUTDOWN_GRACE_PERIOD: config.shutdownGracePeriod,
    LINKERD2_PROXY_OUTBOUND_METRICS_HOSTNAME_LABELS: config.hostnameLabels ? "true" : undefined,
    MALLA_SOCKET_MARK: options.mark?.toString(),
  };
}

/** A CPU quantity (`2`, `1500m`) rounded up to whole cores, at least one. */
function wholeCores(quantity: string): number {
  const cores = quantity.endsWith("m") ? Number(quantity.slice(0, -1)) / 1000 : Number(quantity);
  return Math.max(1, Math.ceil(cores));
}
