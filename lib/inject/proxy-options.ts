/**
 * What can be said about a pod's proxy: each option with its annotation, its flag, what it may be and
 * which fields of `ProxyConfig` it sets. Annotations, the flags of `malla inject` and `malla injector`,
 * and the values of an installation are all read by this one table.
 */

import {
  boolean,
  integer,
  networks,
  oneOf,
  type ParsedSetting,
  pattern,
  port,
  ports,
  reading,
  type Setting,
  type SettingType,
  typeOf,
} from "../config/mod.ts";
import { INBOUND_POLICIES } from "../mesh/policy.ts";
import { formatPortRanges, parsePortRanges, type PortNames } from "../mesh/port-range.ts";
import { isObject } from "./object.ts";
import { DEFAULT_PROXY_CONFIG as DEFAULTS, type EnvVar, type ProxyConfig } from "./proxy-config.ts";

/** Fields that an option sets. */
export type ProxyFields = Partial<ProxyConfig>;

/** One option; it is a setting of modes at the same time. */
export interface ProxyOption extends Setting {
  readonly type: SettingType<ProxyFields>;
  readonly flag: string;
  /** The annotation's name without its prefix. */
  readonly annotation: string;
  /** Reads the annotation; ports may have names there, those of the pod's containers. */
  read(text: string, names: PortNames): ParsedSetting<ProxyFields>;
}

/** How an option is written, apart from its type. */
interface Words {
  readonly help: string;
  /** Default: the annotation's name. */
  readonly flag?: string;
  readonly default?: string | number | boolean;
}

const DAY_SECONDS = 86_400;

/** All options, by the names that settings and files of settings have for them. */
export const PROXY_OPTIONS = {
  proxyImage: option("proxy-image", imageName(), (image) => ({ image }), {
    help: "The image of the proxy and of the init container.",
    default: DEFAULTS.image,
  }),
  proxyVersion: option("proxy-version", imageTag(), (imageVersion) => ({ imageVersion }), {
    help: "The image's tag. Default: the one in its name, else the injector's own version.",
  }),
  imagePullPolicy: option(
    "image-pull-policy",
    pullPolicy(),
    (imagePullPolicy) => ({ imagePullPolicy }),
    { help: "When nodes fetch the image." },
  ),
  inboundPort: option("inbound-port", port(), (inboundPort) => ({ inboundPort }), {
    help: "The proxy's port for incoming connections.",
    default: DEFAULTS.inboundPort,
  }),
  outboundPort: option("outbound-port", port(), (outboundPort) => ({ outboundPort }), {
    help: "The proxy's port for outgoing connections.",
    default: DEFAULTS.outboundPort,
  }),
  adminPort: option("admin-port", port(), (adminPort) => ({ adminPort }), {
    help: "The proxy's port for probes and metrics.",
    default: DEFAULTS.adminPort,
  }),
  controlPort: option("control-port", port(), (controlPort) => ({ controlPort }), {
    help: "The proxy's port for tap.",
    default: DEFAULTS.controlPort,
  }),
  proxyUid: option("proxy-uid", integer(1, 4_294_967_294), (uid) => ({ uid }), {
    help: "The proxy's user, whose connections are not redirected.",
    default: DEFAULTS.uid,
  }),
  proxyGid: option("proxy-gid", integer(1, 4_294_967_294), (gid) => ({ gid }), {
    help: "The proxy's group, whose connections are not redirected.",
  }),
  skipInboundPorts: portList("skip-inbound-ports", "skipInboundPorts", {
    help: "Ports whose incoming connections go straight to the application.",
  }),
  skipOutboundPorts: portList("skip-outbound-ports", "skipOutboundPorts", {
    help: "Ports to which applications connect without the proxy.",
  }),
  skipSubnets: option("skip-subnets", networks(), (skipSubnets) => ({ skipSubnets }), {
    help: "Networks whose connections are not redirected.",
    default: "",
  }),
  opaquePorts: portList("opaque-ports", "opaquePorts", {
    help: "Ports whose protocol is not looked at.",
  }),
  requireIdentityPorts: portList(
    "proxy-require-identity-inbound-ports",
    "requireIdentityPorts",
    {
      help: "Ports that take connections of meshed clients only.",
      flag: "require-identity-on-inbound-ports",
    },
  ),
  cpuRequest: option("proxy-cpu-request", quantity(), (cpuRequest) => ({ cpuRequest }), {
    help: "The share of a CPU that is kept free for each proxy.",
  }),
  cpuLimit: option("proxy-cpu-limit", quantity(), (cpuLimit) => ({ cpuLimit }), {
    help: "The share of a CPU that a proxy may use at most.",
  }),
  cpuRatioLimit: option("proxy-cpu-ratio-limit", ratio(), (cpuRatioLimit) => ({ cpuRatioLimit }), {
    help: "The share of its node's cores that a proxy may use at most.",
  }),
  memoryRequest: option(
    "proxy-memory-request",
    quantity(),
    (memoryRequest) => ({ memoryRequest }),
    {
      help: "The memory that is kept free for each proxy.",
    },
  ),
  memoryLimit: option("proxy-memory-limit", quantity(), (memoryLimit) => ({ memoryLimit }), {
    help: "The memory that a proxy may use at most.",
  }),
  storageRequest: option(
    "proxy-ephemeral-storage-request",
    quantity(),
    (storageRequest) => ({ storageRequest }),
    { help: "The local storage that is kept free for each proxy." },
  ),
  storageLimit: option(
    "proxy-ephemeral-storage-limit",
    quantity(),
    (storageLimit) => ({ storageLimit }),
    { help: "The local storage that a proxy may use at most." },
  ),
  proxyLogLevel: option(
    "proxy-log-level",
    word("a log level such as warn or debug"),
    (logLevel) => ({
      logLevel,
    }),
    { help: "How much proxies log.", default: DEFAULTS.logLevel },
  ),
  proxyLogFormat: option("proxy-log-format", oneOf(["plain", "json"]), (logFormat) => ({
    logFormat,
  }), {
    help: "Whether proxies' log lines are for people or for machines.",
    default: DEFAULTS.logFormat,
  }),
  proxyLogHttpHeaders: option(
    "proxy-log-http-headers",
    oneOf(["insecure", "off", "disabled"]),
    (logHttpHeaders) => ({ logHttpHeaders }),
    { help: "Whether proxies log requests' headers, which may hold secrets, at the level debug." },
  ),
  accessLog: option("access-log", oneOf(["apache", "json"]), (accessLog) => ({ accessLog }), {
    help: "In which form proxies write a line for each request; without it they write none.",
  }),
  inboundConcurrencyLimit: option(
    "proxy-inbound-concurrency-limit",
    concurrency(),
    (inboundConcurrencyLimit) => ({ inboundConcurrencyLimit }),
    {
      help: "How many requests an application gets at a time: off, a number, or adaptive.",
    },
  ),
  defaultInboundPolicy: option(
    "default-inbound-policy",
    oneOf(INBOUND_POLICIES),
    (defaultInboundPolicy) => ({ defaultInboundPolicy }),
    {
      help: "Whom a port admits where no annotation and no object says it.",
      default: DEFAULTS.defaultInboundPolicy,
    },
  ),
  adminShutdown: option("proxy-admin-shutdown", oneOf(["enabled", "disabled"]), (text) => ({
    adminShutdown: text === "enabled",
  }), {
    help: "Whether a pod may end its proxy by a request to the admin port.",
    default: "disabled",
  }),
  externalProfiles: option(
    "enable-external-profiles",
    boolean(),
    (externalProfiles) => ({ externalProfiles }),
    {
      help: "Whether profiles are looked up for names outside of the cluster. Has no effect yet.",
      default: DEFAULTS.externalProfiles,
    },
  ),
  hostnameLabels: option(
    "proxy-metrics-hostname-labels",
    boolean(),
    (hostnameLabels) => ({ hostnameLabels }),
    {
      help:
        "Whether metrics of outgoing requests have a label with the host's name. Has no effect yet.",
      default: DEFAULTS.hostnameLabels,
    },
  ),
  outboundConnectTimeout: option(
    "proxy-outbound-connect-timeout",
    durationText(),
    (outboundConnectTimeout) => ({ outboundConnectTimeout }),
    {
      help: "How long a proxy waits for a connection to another pod.",
      default: DEFAULTS.outboundConnectTimeout,
    },
  ),
  inboundConnectTimeout: option(
    "proxy-inbound-connect-timeout",
    durationText(),
    (inboundConnectTimeout) => ({ inboundConnectTimeout }),
    {
      help: "How long a proxy waits for a connection to its application.",
      default: DEFAULTS.inboundConnectTimeout,
    },
  ),
  outboundDiscoveryUnused: option(
    "proxy-outbound-discovery-cache-unused-timeout",
    durationText(),
    (outboundDiscoveryUnused) => ({ outboundDiscoveryUnused }),
    {
      help: "How long a proxy remembers a target that nobody asks for.",
      default: DEFAULTS.outboundDiscoveryUnused,
    },
  ),
  inboundDiscoveryUnused: option(
    "proxy-inbound-discovery-cache-unused-timeout",
    durationText(),
    (inboundDiscoveryUnused) => ({ inboundDiscoveryUnused }),
    {
      help: "How long a proxy remembers the policy of a port that nobody uses.",
      default: DEFAULTS.inboundDiscoveryUnused,
    },
  ),
  disableOutboundDetectTimeout: option(
    "proxy-disable-outbound-protocol-detect-timeout",
    boolean(),
    (disableOutboundDetectTimeout) => ({ disableOutboundDetectTimeout }),
    {
      help: "Whether a proxy waits without end for the first bytes of outgoing connections.",
      default: DEFAULTS.disableOutboundDetectTimeout,
    },
  ),
  disableInboundDetectTimeout: option(
    "proxy-disable-inbound-protocol-detect-timeout",
    boolean(),
    (disableInboundDetectTimeout) => ({ disableInboundDetectTimeout }),
    {
      help: "Whether a proxy waits without end for the first bytes of incoming connections.",
      default: DEFAULTS.disableInboundDetectTimeout,
    },
  ),
  nativeSidecar: option(
    "proxy-enable-native-sidecar",
    boolean(),
    (nativeSidecar) => ({ nativeSidecar }),
    {
      help:
        "Whether the proxy is an init container that goes on running (Kubernetes 1.29 and later).",
      flag: "native-sidecar",
      default: DEFAULTS.nativeSidecar,
    },
  ),
  proxyAwait: option("proxy-await", oneOf(["enabled", "disabled"]), (text) => ({
    await: text === "enabled",
  }), {
    help: "Whether a pod's containers wait for its proxy where that is an ordinary container.",
    default: "enabled",
  }),
  waitBeforeExitSeconds: option(
    "proxy-wait-before-exit-seconds",
    integer(0, DAY_SECONDS),
    (waitBeforeExitSeconds) => ({ waitBeforeExitSeconds }),
    {
      help: "How many seconds a proxy goes on when its pod is to end.",
      flag: "wait-before-exit-seconds",
      default: DEFAULTS.waitBeforeExitSeconds,
    },
  ),
  shutdownGracePeriod: option(
    "shutdown-grace-period",
    durationText(),
    (shutdownGracePeriod) => ({ shutdownGracePeriod }),
    { help: "How long a proxy that ends waits for requests under way." },
  ),
  closeWaitTimeout: option("close-wait-timeout", closeWait(), (closeWaitSeconds) => ({
    closeWaitSeconds,
  }), {
    help: "Conntrack's limit for half-closed connections; 0s leaves the kernel's.",
    default: "0s",
  }),
  additionalEnv: option("proxy-additional-env", variables(), (additionalEnv) => ({
    additionalEnv,
  }), {
    help: "More variables for the proxy, as a JSON list.",
    default: "[]",
  }),
  gateway: option("enable-gateway", boolean(), (gateway) => ({ gateway }), {
    help:
      "Whether the proxy takes in what other clusters send to this one's services. Has no effect yet.",
    default: DEFAULTS.gateway,
  }),
  debug: option("enable-debug-sidecar", boolean(), (debug) => ({ debug }), {
    help: "Whether a container with tools to look at traffic runs beside the proxy.",
    default: DEFAULTS.debug,
  }),
  debugImage: option("debug-image", imageName(), (debugImage) => ({ debugImage }), {
    help: "The image of that container.",
  }),
  debugImageVersion: option("debug-image-version", imageTag(), (debugImageVersion) => ({
    debugImageVersion,
  }), { help: "That image's tag." }),
  debugImagePullPolicy: option(
    "debug-image-pull-policy",
    pullPolicy(),
    (debugImagePullPolicy) => ({ debugImagePullPolicy }),
    { help: "When nodes fetch that image." },
  ),
} as const;

/** The options by the names of their annotations. */
export const OPTION_BY_ANNOTATION: ReadonlyMap<string, ProxyOption> = new Map(
  Object.values(PROXY_OPTIONS).map((one: ProxyOption) => [one.annotation, one]),
);

/** Settings of a mode that hold options; absent ones are undefined. */
export type ProxyOptionValues = {
  readonly [K in keyof typeof PROXY_OPTIONS]: ProxyFields | undefined;
};

/** The configuration that the options' values make. */
export function proxyConfigOf(values: ProxyOptionValues): ProxyConfig {
  let config: ProxyConfig = DEFAULTS;
  for (const name of Object.keys(PROXY_OPTIONS)) {
    config = { ...config, ...values[name as keyof ProxyOptionValues] };
  }
  return config;
}

function option<T>(
  annotation: string,
  type: SettingType<T>,
  fields: (value: T) => ProxyFields,
  words: Words,
): ProxyOption {
  const parse = (text: string): ParsedSetting<ProxyFields> => {
    const parsed = type.parse(text);
    return parsed.ok ? { ok: true, value: fields(parsed.value) } : parsed;
  };
  return {
    annotation,
    flag: words.flag ?? annotation,
    help: words.help,
    ...(words.default === undefined ? {} : { default: String(words.default) }),
    type: { ...type, parse },
    read: parse,
  };
}

type PortField = "skipInboundPorts" | "skipOutboundPorts" | "opaquePorts" | "requireIdentityPorts";

function portList(annotation: string, field: PortField, words: Words): ProxyOption {
  const flags = option(annotation, ports(), (ranges) => ({ [field]: ranges }), {
    ...words,
    default: formatPortRanges(DEFAULTS[field]),
  });
  return {
    ...flags,
    read(text, names) {
      try {
        return { ok: true, value: { [field]: parsePortRanges(text, names) } };
      } catch {
        // The fault names the single word; the annotation's own message shows the whole value.
        return { ok: false };
      }
    },
  };
}

function word(expected: string): SettingType<string> {
  return pattern({ expected, placeholder: "TEXT" }, /^\S+$/);
}

function imageName(): SettingType<string> {
  return pattern({ expected: "the name of an image", placeholder: "IMAGE" }, /^\S+$/);
}

function imageTag(): SettingType<string> {
  return pattern({ expected: "the tag of an image", placeholder: "TAG" }, /^[\w][\w.-]{0,127}$/);
}

function pullPolicy() {
  return oneOf(["Always", "IfNotPresent", "Never"]);
}

function quantity(): SettingType<string> {
  return pattern(
    { expected: "a quantity such as 100m, 2 or 250Mi", placeholder: "QUANTITY" },
    /^\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|e\d+)?$/,
  );
}

/** Durations stay text: the proxy reads them itself. */
function durationText(): SettingType<string> {
  return pattern(
    { expected: "a duration with unit, such as 500ms, 2s or 1m", placeholder: "DURATION" },
    /^\d{1,12}(ms|s|m|h|d)$/,
  );
}

function concurrency(): SettingType<string> {
  return pattern(
    { expected: "off, adaptive, or a whole number from 1 to 10000", placeholder: "LIMIT" },
    /^(off|adaptive|[1-9]\d{0,3}|10000)$/,
  );
}

function ratio(): SettingType<number> {
  return typeOf(
    { expected: "a share above 0, at most 1, such as 0.5", placeholder: "SHARE" },
    reading((text) => {
      const number = Number(text);
      if (text.trim() !== "" && number > 0 && number <= 1) return number;
      throw new TypeError(text);
    }),
  );
}

function closeWait(): SettingType<number> {
  return typeOf(
    {
      expected: "a duration in whole seconds, minutes or hours, such as 60s",
      placeholder: "DURATION",
    },
    reading((text) => {
      const [, amount, unit = "s"] = /^(\d+)(s|m|h)?$/.exec(text) ?? [];
      const seconds = Number(amount) * ({ s: 1, m: 60, h: 3_600 }[unit] ?? Number.NaN);
      if (seconds >= 0 && seconds <= DAY_SECONDS) return seconds;
      throw new TypeError(text);
    }),
  );
}

function variables(): SettingType<readonly EnvVar[]> {
  return typeOf(
    {
      expected: "a JSON list of variables, each with a name and a value or valueFrom, such as " +
        '[{"name":"KEY","value":"text"}]',
      placeholder: "JSON",
    },
    reading((text) => {
      const list: unknown = JSON.parse(text);
      if (!Array.isArray(list)) throw new TypeError(text);
      if (!list.every(isVariable)) throw new TypeError(text);
      return list;
    }),
  );
}

/** Whether it is a variable; what its source must hold Kubernetes says itself, and by name. */
function isVariable(item: unknown): item is EnvVar {
  if (!isObject(item)) return false;
  const { name, value, valueFrom, ...others } = item;
  return typeof name === "string" && name !== "" && Object.keys(others).length === 0 &&
    (value === undefined || typeof value === "string") &&
    (valueFrom === undefined ||
      !value && isObject(valueFrom) && Object.keys(valueFrom).length === 1);
}
