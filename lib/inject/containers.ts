/** The containers and volumes that injection adds to a pod, as JSON. */

import { TOKEN_AUDIENCE } from "../mesh/identity.ts";
import { IDENTITY_DIR, proxyEnvironment, TOKEN_DIR, TOKEN_NAME } from "./environment.ts";
import type { JsonObject } from "./json-patch.ts";
import type { Pod } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import { formatAddress, networkContains, type SocketAddress } from "../mesh/address.ts";
import { formatPortRanges, portsContain } from "../mesh/port-range.ts";
import { type PodRedirect, podRedirect } from "./pod-redirect.ts";
import { type ProxyConfig, taggedImage } from "./proxy-config.ts";
import { isTraced, POD_INFO_VOLUME, podInfoMount, podInfoVolume } from "./trace-attributes.ts";

/** The name of the container that installs the redirect. */
export const INIT_CONTAINER = "linkerd-init";

/** The name of the container that looks whether a CNI plugin has installed the redirect. */
export const VALIDATOR_CONTAINER = "linkerd-network-validator";

/** The name of the proxy's container. */
export const PROXY_CONTAINER = "linkerd-proxy";

/** The name of the container with tools to look at traffic. */
export const DEBUG_CONTAINER = "linkerd-debug";

const IDENTITY_VOLUME = "linkerd-identity-end-entity";
const TOKEN_VOLUME = "linkerd-identity-token";
const LOCK_VOLUME = "linkerd-proxy-init-xtables-lock";

/** The volumes that injection adds, by their names. */
export const PROXY_VOLUMES: ReadonlySet<string> = new Set([
  IDENTITY_VOLUME,
  TOKEN_VOLUME,
  LOCK_VOLUME,
  POD_INFO_VOLUME,
]);

/** The user of the validator, as in Linkerd. */
const NOBODY_ID = 65_534;
/** The contract's port, and others for pods whose connections to it are not redirected. */
const PROBE_PORTS = [20_001, 20_002, 65_000];

/** Kubelet's rounds of the startup probe before it gives up on a native sidecar: two minutes. */
const STARTUP_FAILURES_MAX = 120;

/** The init container that installs the redirect. */
export function initContainer(config: ProxyConfig, options: InjectOptions): JsonObject {
  return {
    name: INIT_CONTAINER,
    ...image(config, options),
    args: ["init", ...initArguments(config, options)],
    resources: {},
    securityContext: {
      // Kubernetes refuses a privileged container that may not escalate.
      allowPrivilegeEscalation: config.closeWaitSeconds > 0,
      capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
      // Without file capabilities only root may use those above.
      runAsNonRoot: false,
      runAsUser: 0,
      privileged: config.closeWaitSeconds > 0,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    // iptables locks a file in /run.
    volumeMounts: [{ mountPath: "/run", name: LOCK_VOLUME }],
  };
}

/**
 * The init container that looks whether the pod's connections are redirected, where a CNI plugin sees to
 * that; undefined for a pod none of whose connections could show it. Its user is nobody, since the
 * proxy's is exempt.
 */
export function validatorContainer(
  config: ProxyConfig,
  options: InjectOptions,
): JsonObject | undefined {
  const targets = validatorTargets(podRedirect(config, options.ipv6));
  if (targets.length === 0) return undefined;
  const listen = formatAddress({
    ip: options.ipv6 ? "::" : "0.0.0.0",
    port: config.outboundPort,
  });
  const isTaken = config.uid === NOBODY_ID || config.gid === NOBODY_ID;
  const id = isTaken ? NOBODY_ID - 1 : NOBODY_ID;
  return {
    name: VALIDATOR_CONTAINER,
    ...image(config, options),
    args: [
      "network-validator",
      `--listen-addr=${listen}`,
      `--connect-addr=${targets.map(formatAddress).join(",")}`,
      "--timeout=10s",
    ],
    resources: {},
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: id,
      runAsGroup: id,
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
}

/** The proxy's container; a native sidecar when the configuration says so. */
export function proxyContainer(
  config: ProxyConfig,
  options: InjectOptions,
  pod: Pod,
): JsonObject {
  return {
    name: PROXY_CONTAINER,
    ...image(config, options),
    args: ["proxy"],
    env: proxyEnvironment(config, options, pod),
    ports: [
      { containerPort: config.inboundPort, name: "linkerd-proxy" },
      { containerPort: config.adminPort, name: "linkerd-admin" },
    ],
    livenessProbe: { httpGet: probe("/live", config), initialDelaySeconds: 10, timeoutSeconds: 1 },
    readinessProbe: { httpGet: probe("/ready", config), initialDelaySeconds: 2, timeoutSeconds: 1 },
    ...(config.nativeSidecar ? nativeFields(config) : {}),
    ...lifecycle(config),
    resources: resources(config),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: config.uid,
      ...(config.gid === undefined ? {} : { runAsGroup: config.gid }),
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { mountPath: IDENTITY_DIR, name: IDENTITY_VOLUME },
      { mountPath: TOKEN_DIR, name: TOKEN_VOLUME },
      ...isTraced(config) ? [podInfoMount()] : [],
    ],
  };
}

/**
 * The container with tools; root, because the kernel shows packets to nobody else. tcpdump changes its
 * user as soon as it sees them, and ends where it may not.
 */
export function debugContainer(config: ProxyConfig): JsonObject {
  const pullPolicy = config.debugImagePullPolicy;
  return {
    name: DEBUG_CONTAINER,
    image: taggedImage(config.debugImage, config.debugImageVersion),
    ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ["NET_ADMIN", "NET_RAW", "SETGID", "SETUID"], drop: ["ALL"] },
      runAsNonRoot: false,
      runAsUser: 0,
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
}

/** The volumes that the containers mount. */
export function proxyVolumes(config: ProxyConfig, { cni }: InjectOptions): JsonObject[] {
  const token = { audience: TOKEN_AUDIENCE, expirationSeconds: 86_400, path: TOKEN_NAME };
  return [
    ...(cni === true ? [] : [{ name: LOCK_VOLUME, emptyDir: {} }]),
    { name: IDENTITY_VOLUME, emptyDir: { medium: "Memory" } },
    { name: TOKEN_VOLUME, projected: { sources: [{ serviceAccountToken: token }] } },
    ...isTraced(config) ? [podInfoVolume()] : [],
  ];
}

function initArguments(config: ProxyConfig, options: InjectOptions): string[] {
  const redirect = podRedirect(config, options.ipv6);
  const { skipNetworks, closeWaitSeconds } = redirect;
  const flags: Record<string, string | undefined> = {
    "incoming-proxy-port": `${redirect.inboundPort}`,
    "outgoing-proxy-port": `${redirect.outboundPort}`,
    "proxy-uid": options.mark === undefined ? `${redirect.uid}` : undefined,
    "proxy-gid": options.mark === undefined ? redirect.gid?.toString() : undefined,
    "proxy-mark": options.mark?.toString(),
    "inbound-ports-to-ignore": formatPortRanges(redirect.inboundSkip),
    "outbound-ports-to-ignore": formatPortRanges(redirect.outboundSkip) || undefined,
    "subnets-to-ignore": skipNetworks.map(({ text }) => text).join(",") || undefined,
    "timeout-close-wait-secs": closeWaitSeconds > 0 ? `${closeWaitSeconds}` : undefined,
    "firewall-bin-path": options.firewallBinPath,
    "firewall-save-bin-path": options.firewallSaveBinPath,
    "ipv6": redirect.ipv6 ? "true" : "false",
  };
  return Object.entries(flags).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`]
  );
}

/** Addresses where nobody answers, and whose connections the redirect must catch. */
function validatorTargets(
  { ipv6, outboundSkip, skipNetworks }: PodRedirect,
): readonly SocketAddress[] {
  const port = PROBE_PORTS.find((one) => !portsContain(outboundSkip, one));
  if (port === undefined) return [];
  return ["1.1.1.1", ...(ipv6 ? ["fd00::1"] : [])]
    .filter((ip) => !skipNetworks.some((network) => networkContains(network, ip)))
    .map((ip) => ({ ip, port }));
}

function image(config: ProxyConfig, { version }: InjectOptions): JsonObject {
  const reference = { image: taggedImage(config.image, config.imageVersion, version) };
  if (config.imagePullPolicy === undefined) return reference;
  return { ...reference, imagePullPolicy: config.imagePullPolicy };
}

function probe(path: string, config: ProxyConfig): JsonObject {
  return { path, port: config.adminPort };
}

function nativeFields(config: ProxyConfig): JsonObject {
  return {
    restartPolicy: "Always",
    startupProbe: {
      httpGet: probe("/ready", config),
      periodSeconds: 1,
      failureThreshold: STARTUP_FAILURES_MAX,
    },
  };
}

function lifecycle(config: ProxyConfig): JsonObject {
  const hooks: Record<string, JsonObject> = {};
  if (config.waitBeforeExitSeconds > 0) {
    hooks["preStop"] = { sleep: { seconds: config.waitBeforeExitSeconds } };
  }
  // Kubelet starts the containers after this one only when the hook has returned. A native sidecar
  // has its startup probe for that.
  if (config.await && !config.nativeSidecar) {
    const command = ["malla", "await", "--timeout=2m", `--port=${config.adminPort}`];
    hooks["postStart"] = { exec: { command } };
  }
  return Object.keys(hooks).length === 0 ? {} : { lifecycle: hooks };
}

function resources(config: ProxyConfig): JsonObject {
  const list = (cpu?: string, memory?: string, storage?: string): JsonObject | undefined => {
    const entries = { cpu, memory, "ephemeral-storage": storage };
    const given = Object.entries(entries).filter(([, value]) => value !== undefined);
    return given.length === 0 ? undefined : Object.fromEntries(given);
  };
  const requests = list(config.cpuRequest, config.memoryRequest, config.storageRequest);
  const limits = list(config.cpuLimit, config.memoryLimit, config.storageLimit);
  return {
    ...(requests === undefined ? {} : { requests }),
    ...(limits === undefined ? {} : { limits }),
  };
}
