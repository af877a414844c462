/**
 * The proxy's settings: the `LINKERD2_PROXY_*` variables of the contract that have a meaning here, read
 * once and checked together, so that one start tells all that is wrong. The contract's other variables
 * are in `settings-accepted.ts`.
 */

import {
  boolean,
  ConfigFault,
  defineSettings,
  duration,
  type Environment,
  filePath,
  type HostPort,
  hostPort,
  integer,
  list,
  loadSettings,
  networks,
  nonEmpty,
  oneOf,
  pemText,
  port,
  ports,
  type Settings,
  type SettingType,
  socketAddress,
  string,
} from "../config/mod.ts";
import { isIp, isLoopback } from "../mesh/address.ts";
import type { LogLevel } from "../telemetry/logger.ts";
import { INBOUND_POLICIES } from "../mesh/policy.ts";
import { coreSettings, sharedPortProblems } from "./cores.ts";
import type { PathSettings } from "./environment.ts";
import { logLevelOf } from "./log-filter.ts";
import { acceptedSettings, ineffective } from "./settings-accepted.ts";
import { limitSettings, pathLimits } from "./settings-limits.ts";
import { recordSettings } from "./settings-records.ts";

/** What may be set, by variable or flag. */
export const proxySettings = defineSettings("proxy", {
  inboundListen: {
    env: "LINKERD2_PROXY_INBOUND_LISTEN_ADDR",
    flag: "inbound-listen",
    type: socketAddress(),
    default: "0.0.0.0:4143",
    help: "Where connections to this pod are taken.",
  },
  outboundListen: {
    env: ["LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS", "LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR"],
    flag: "outbound-listen",
    type: list(socketAddress()),
    default: "127.0.0.1:4140",
    help: "Where connections of this pod are taken; one or two loopback addresses.",
  },
  adminListen: {
    env: "LINKERD2_PROXY_ADMIN_LISTEN_ADDR",
    flag: "admin-listen",
    type: socketAddress(),
    default: "127.0.0.1:4191",
    help: "Where metrics and probes are served.",
  },
  controlListen: {
    env: "LINKERD2_PROXY_CONTROL_LISTEN_ADDR",
    type: socketAddress(),
    default: "0.0.0.0:4190",
    help: "The address of the tap server; its port is never a target.",
  },
  destinationAddress: {
    env: "LINKERD2_PROXY_DESTINATION_SVC_ADDR",
    flag: "destination",
    type: hostPort(),
    required: true,
    help: "The destination service.",
  },
  destinationName: {
    env: "LINKERD2_PROXY_DESTINATION_SVC_NAME",
    flag: "destination-name",
    type: nonEmpty(),
    help: "The destination service's identity; may be left out for a loopback address (no TLS).",
  },
  destinationContext: {
    env: "LINKERD2_PROXY_DESTINATION_CONTEXT",
    type: string(),
    default: "",
    help: "Told to the destination service with each look-up.",
  },
  profileNetworks: {
    env: "LINKERD2_PROXY_DESTINATION_PROFILE_NETWORKS",
    flag: "profile-networks",
    type: networks(),
    default: "",
    help: "Networks whose addresses are looked up; none looks up nothing.",
  },
  policyAddress: {
    env: "LINKERD2_PROXY_POLICY_SVC_ADDR",
    flag: "policy",
    type: hostPort(),
    required: true,
    help: "The policy service.",
  },
  policyName: {
    env: "LINKERD2_PROXY_POLICY_SVC_NAME",
    flag: "policy-name",
    type: nonEmpty(),
    help: "The policy service's identity; may be left out for a loopback address (no TLS).",
  },
  policyWorkload: {
    env: "LINKERD2_PROXY_POLICY_WORKLOAD",
    flag: "workload",
    type: nonEmpty(),
    required: true,
    help: 'Who this proxy is for, told to the policy service: {"ns":"…","pod":"…"}.',
  },
  clusterNetworks: {
    env: "LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS",
    flag: "cluster-networks",
    type: networks(),
    default: "",
    help: "The networks that cluster-… default policies and audit admit.",
  },
  identityAddress: {
    env: "LINKERD2_PROXY_IDENTITY_SVC_ADDR",
    flag: "identity",
    type: hostPort(),
    required: true,
    help: "The identity service.",
  },
  identityName: {
    env: "LINKERD2_PROXY_IDENTITY_SVC_NAME",
    flag: "identity-name",
    type: nonEmpty(),
    help: "The identity service's identity; may be left out for a loopback address (no TLS).",
  },
  identityDir: {
    env: "LINKERD2_PROXY_IDENTITY_DIR",
    type: filePath(),
    help: "A directory with key.p8 and csr.der; without those files the key is made in memory.",
  },
  tokenFile: {
    env: "LINKERD2_PROXY_IDENTITY_TOKEN_FILE",
    flag: "token-file",
    type: filePath(),
    required: true,
    help: "The token that proves who this workload is; read again for each certificate.",
  },
  trustAnchors: {
    env: "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS",
    type: pemText(),
    required: true,
    help: "The certificates that all identities of the mesh chain to.",
  },
  localName: {
    env: ["LINKERD2_PROXY_IDENTITY_LOCAL_NAME", "LINKERD2_PROXY_IDENTITY_SERVER_ID"],
    flag: "local-name",
    type: nonEmpty(),
    required: true,
    help: "This workload's identity.",
  },
  serverName: {
    env: "LINKERD2_PROXY_IDENTITY_SERVER_NAME",
    type: nonEmpty(),
    help: "The server name that addresses this proxy, where it is not the identity.",
  },
  refreshMinMs: {
    env: "LINKERD2_PROXY_IDENTITY_MIN_REFRESH",
    type: duration(),
    default: "10s",
    help: "The certificate is renewed no sooner than this.",
  },
  refreshMaxMs: {
    env: "LINKERD2_PROXY_IDENTITY_MAX_REFRESH",
    type: duration(),
    default: "1d",
    help: "The certificate is renewed no later than this.",
  },
  defaultPolicy: {
    env: "LINKERD2_PROXY_INBOUND_DEFAULT_POLICY",
    flag: "default-policy",
    type: oneOf(INBOUND_POLICIES),
    default: "all-unauthenticated",
    help: "Who may connect to a port before the policy service has spoken of it.",
  },
  inboundPorts: {
    env: "LINKERD2_PROXY_INBOUND_PORTS",
    type: list(port()),
    default: "",
    help: "Ports whose policies are watched from the start.",
  },
  inboundIps: {
    env: "LINKERD2_PROXY_INBOUND_IPS",
    type: list(ipAddress()),
    default: "",
    help: "The addresses of this pod.",
  },
  opaquePorts: {
    env: "LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION",
    type: ports(),
    default: "",
    help: "Ports that carry no HTTP, for as long as the policy service says nothing else.",
  },
  identityPorts: {
    env: "LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY",
    type: ports(),
    default: "",
    help: "Ports whose default policy admits authenticated clients only.",
  },
  tlsPorts: {
    env: "LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS",
    type: ports(),
    default: "",
    help: "Ports whose default policy admits clients over TLS only.",
  },
  inboundDetectTimeoutMs: {
    env: "LINKERD2_PROXY_INBOUND_DETECT_TIMEOUT",
    type: duration(),
    default: "10s",
    help: "How long an inbound connection may be silent before it counts as opaque.",
  },
  outboundDetectTimeoutMs: {
    env: "LINKERD2_PROXY_OUTBOUND_DETECT_TIMEOUT",
    type: duration(),
    default: "10s",
    help: "How long an outbound connection may be silent before it counts as opaque.",
  },
  inboundConnectTimeoutMs: {
    env: "LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT",
    type: duration(),
    default: "300ms",
    help: "How long connecting to the application may take.",
  },
  outboundConnectTimeoutMs: {
    env: "LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT",
    type: duration(),
    default: "1s",
    help: "How long connecting to an endpoint may take.",
  },
  poolIdleTimeoutMs: {
    env: "LINKERD2_PROXY_OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT",
    type: duration(),
    default: "3s",
    help: "How long an unused HTTP/1 connection is kept.",
  },
  poolIdleMax: {
    env: "LINKERD2_PROXY_OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT",
    type: integer(0),
    default: "10000",
    help: "How many unused connections are kept for an endpoint.",
  },
  outboundIdleTimeoutMs: {
    env: "LINKERD2_PROXY_OUTBOUND_DISCOVERY_IDLE_TIMEOUT",
    type: duration(),
    default: "5s",
    help: "How long an unused outbound target is remembered.",
  },
  inboundIdleTimeoutMs: {
    env: "LINKERD2_PROXY_INBOUND_DISCOVERY_IDLE_TIMEOUT",
    type: duration(),
    default: "90s",
    help: "How long an unused inbound port's policy is watched.",
  },
  streamInitialTimeoutMs: {
    env: "LINKERD2_PROXY_CONTROL_STREAM_INITIAL_TIMEOUT",
    type: duration(),
    default: "3s",
    help: "How long a stream of the control plane may take to its first message.",
  },
  streamIdleTimeoutMs: {
    env: "LINKERD2_PROXY_CONTROL_STREAM_IDLE_TIMEOUT",
    type: duration(),
    default: "5m",
    help: "A stream that is silent for so long is opened anew.",
  },
  streamLifetimeMs: {
    env: "LINKERD2_PROXY_CONTROL_STREAM_LIFETIME",
    type: duration(),
    default: "1h",
    help: "A stream is opened anew after this time.",
  },
  metricsRetainIdleMs: {
    env: "LINKERD2_PROXY_METRICS_RETAIN_IDLE",
    type: duration(),
    default: "10m",
    help: "How long an unused series stays in the metrics.",
  },
  shutdownGraceMs: {
    env: "LINKERD2_PROXY_SHUTDOWN_GRACE_PERIOD",
    type: duration(),
    default: "2m",
    help: "How long open connections may go on after SIGTERM.",
  },
  shutdownEndpoint: {
    env: "LINKERD2_PROXY_SHUTDOWN_ENDPOINT_ENABLED",
    type: boolean(),
    default: "false",
    help: "Whether POST /shutdown on the admin port ends the proxy.",
  },
  inboundSilent: {
    env: "LINKERD2_PROXY_INBOUND_DISABLE_INFORMATIONAL_HEADERS",
    type: boolean(),
    default: "false",
    help: "Whether peers get no headers that say why the proxy answers in the application's place.",
  },
  outboundSilent: {
    env: "LINKERD2_PROXY_OUTBOUND_DISABLE_INFORMATIONAL_HEADERS",
    type: boolean(),
    help:
      "Whether this pod's applications get no headers of the mesh with responses; absent: an ingress does not.",
  },
  socketMark: {
    env: "MALLA_SOCKET_MARK",
    flag: "socket-mark",
    type: integer(0, 0xffff_ffff),
    default: "0",
    help: "SO_MARK of the proxy's own connections, where the redirect exempts them by it.",
  },
  ingress: {
    env: "LINKERD2_PROXY_INGRESS_MODE",
    type: boolean(),
    default: "false",
    help: "Whether a request of this pod goes where its l5d-dst-override says.",
  },
  ...coreSettings,
  logLevel: {
    env: "LINKERD2_PROXY_LOG",
    flag: "log",
    type: logFilter(),
    default: "info",
    help: "How much is logged: a level, or a filter such as warn,linkerd=info.",
  },
  logFormat: {
    env: "LINKERD2_PROXY_LOG_FORMAT",
    flag: "log-format",
    type: oneOf(["plain", "json"]),
    default: "plain",
    help: "Whether log lines are for people or for machines.",
  },
  ...limitSettings,
  ...recordSettings,
});

/** The loaded settings. */
export type ProxySettings = Settings<typeof proxySettings.settings>;

/** What loading gives besides the values. */
export interface LoadedSettings {
  readonly settings: ProxySettings;
  /** Variables that were given, are right, and have no effect yet. */
  readonly ineffective: readonly string[];
}

/** Where the settings come from. */
export interface ProxySettingSources {
  readonly env: Environment;
  readonly args: readonly string[];
  readonly readFile?: (path: string) => string;
  readonly warn?: (message: string) => void;
}

/** Reads and checks everything. Throws a `ConfigFault` that names every problem. */
export function loadProxySettings(sources: ProxySettingSources): LoadedSettings {
  const { env } = sources;
  const problems = refused(env);
  collect(problems, () => loadSettings(acceptedSettings, { env }));
  const settings = collect(problems, () => loadSettings(proxySettings, sources));
  if (settings !== undefined) problems.push(...contradictions(settings));
  if (settings === undefined || problems.length > 0) throw new ConfigFault("proxy", problems);
  return { settings, ineffective: ineffective(env) };
}

/** What the byte path is told. */
export function pathSettings(settings: ProxySettings): PathSettings {
  const { inboundListen, outboundListen, adminListen, controlListen } = settings;
  const own = [inboundListen, ...outboundListen, adminListen, controlListen];
  return {
    inboundListen: [inboundListen],
    outboundListen,
    ownPorts: new Set(own.map((address) => address.port)),
    inboundIps: new Set(settings.inboundIps),
    inboundConnectTimeoutMs: settings.inboundConnectTimeoutMs,
    outboundConnectTimeoutMs: settings.outboundConnectTimeoutMs,
    inboundDetectTimeoutMs: settings.inboundDetectTimeoutMs,
    outboundDetectTimeoutMs: settings.outboundDetectTimeoutMs,
    poolIdleTimeoutMs: settings.poolIdleTimeoutMs,
    poolIdlePerEndpointMax: settings.poolIdleMax,
    limits: pathLimits(settings),
    drainMs: settings.shutdownGraceMs,
    socketMark: settings.socketMark,
    clusterNetworks: settings.clusterNetworks,
    explains: {
      inbound: !settings.inboundSilent,
      outbound: !(settings.outboundSilent ?? settings.ingress),
    },
    ingress: settings.ingress,
  };
}

/** Whether the address is this machine's, so that the control plane may be spoken to without TLS. */
export function isLoopbackHost({ host }: HostPort): boolean {
  return host === "localhost." || (isIp(host) && isLoopback(host));
}

function collect<T>(problems: string[], load: () => T): T | undefined {
  try {
    return load();
  } catch (thrown) {
    if (!(thrown instanceof ConfigFault)) throw thrown;
    problems.push(...thrown.problems);
    return undefined;
  }
}

/** What would make this proxy something that it cannot be. */
function refused(env: Environment): string[] {
  const problems: string[] = [];
  if (env["LINKERD2_PROXY_IDENTITY_DISABLED"]) {
    problems.push("Cannot use LINKERD2_PROXY_IDENTITY_DISABLED: every proxy has an identity");
  }
  if (env["LINKERD2_PROXY_IDENTITY_SPIRE_WORKLOAD_API_ADDRESS"]) {
    problems.push(
      "Cannot use LINKERD2_PROXY_IDENTITY_SPIRE_WORKLOAD_API_ADDRESS: certificates come from the " +
        "identity service (LINKERD2_PROXY_IDENTITY_SVC_ADDR) only",
    );
  }
  return problems;
}

function contradictions(settings: ProxySettings): string[] {
  const listeners = [settings.inboundListen, ...settings.outboundListen];
  const problems = sharedPortProblems(settings, listeners.map((address) => address.port));
  const services = [
    ["DESTINATION", settings.destinationAddress, settings.destinationName],
    ["POLICY", settings.policyAddress, settings.policyName],
    ["IDENTITY", settings.identityAddress, settings.identityName],
  ] as const;
  for (const [service, address, name] of services) {
    if (name !== undefined || isLoopbackHost(address)) continue;
    problems.push(
      `Missing setting: set LINKERD2_PROXY_${service}_SVC_NAME to the service's identity; ` +
        `"${address.host}:${address.port}" may go without only if it were a loopback address ` +
        'or "localhost."',
    );
  }
  const listen = settings.outboundListen;
  if (listen.length < 1 || listen.length > 2) {
    problems.push(
      `Cannot use ${listen.length} addresses for LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS: ` +
        "expected one or two",
    );
  }
  for (const { ip, port } of listen) {
    if (isLoopback(ip)) continue;
    problems.push(
      `Cannot use "${ip}:${port}" for LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS: expected a loopback ` +
        "address, since anyone who reaches it would speak with this pod's identity",
    );
  }
  if (!/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(settings.localName)) {
    problems.push(
      `Cannot use "${settings.localName}" for LINKERD2_PROXY_IDENTITY_LOCAL_NAME: expected a DNS-like ` +
        "name such as <service-account>.<namespace>.serviceaccount.identity.malla.cluster.local",
    );
  }
  const { defaultPolicy } = settings;
  const needsNetworks = defaultPolicy.startsWith("cluster-") || defaultPolicy === "audit";
  if (needsNetworks && settings.clusterNetworks.length === 0) {
    problems.push(
      `Missing setting: set LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS to the networks that the default ` +
        `policy "${defaultPolicy}" admits`,
    );
  }
  return problems;
}

function ipAddress(): SettingType<string> {
  return {
    ...string(),
    expected: "an IP address such as 10.1.2.3 or fd00::3",
    placeholder: "IP",
    parse(text) {
      const ip = text.trim();
      return isIp(ip) ? { ok: true, value: ip } : { ok: false };
    },
  };
}

function logFilter(): SettingType<LogLevel> {
  return {
    ...string(),
    expected:
      "a level (off, error, warn, info, debug, trace) or a filter such as warn,linkerd=info",
    placeholder: "FILTER",
    parse(text) {
      const value = logLevelOf(text);
      return value === undefined ? { ok: false } : { ok: true, value };
    },
  };
}
