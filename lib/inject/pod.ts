/** What injection wants to know of a pod: its containers and ports, and what will not work as hoped. */

import type { Container, Pod } from "./object.ts";
import type { ProxyConfig } from "./proxy-config.ts";

/** All containers, those that run first and end included. */
export function allContainers(pod: Pod): Container[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
}

/** Containers that run beside each other: the ordinary ones and native sidecars. */
export function runningContainers(pod: Pod): Container[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((container) =>
    container.restartPolicy === "Always"
  );
  return [...sidecars, ...pod.spec.containers];
}

/** The TCP ports that the pod's containers declare, sorted. */
export function inboundPorts(pod: Pod): number[] {
  const ports = runningContainers(pod).flatMap((container) => container.ports ?? [])
    .filter(({ protocol }) => protocol === undefined || protocol === "TCP")
    .map(({ containerPort }) => containerPort);
  return [...new Set(ports)].sort((a, b) => a - b);
}

/** Declared ports by their names. */
export function portNames(pod: Pod): ReadonlyMap<string, number> {
  const names = new Map<string, number>();
  for (const { ports } of runningContainers(pod)) {
    for (const { name, containerPort } of ports ?? []) {
      if (name !== undefined) names.set(name, containerPort);
    }
  }
  return names;
}

/** The pod's name for messages; before it is created it may only have the beginning of one. */
export function podName(pod: Pod): string {
  return pod.metadata?.name ?? pod.metadata?.generateName ?? "without a name";
}

/** Options of the contract that the proxy does not serve yet, and what is so in spite of them. */
const UNSERVED_OPTIONS = {
  externalProfiles:
    "enable-external-profiles has no effect yet: names outside of the cluster have no profile",
  hostnameLabels:
    "proxy-metrics-hostname-labels has no effect yet: metrics have no label of the host",
  gateway: "enable-gateway has no effect yet: what other clusters send is refused",
} as const;

/** What the pod's owner should know: traffic that stays outside of the mesh, ports that clash. */
export function podWarnings(pod: Pod, config: ProxyConfig): string[] {
  return [
    ...udpWarnings(pod),
    ...portWarnings(pod, config),
    ...userWarnings(pod, config),
    ...effectWarnings(config),
  ];
}

function udpWarnings(pod: Pod): string[] {
  return runningContainers(pod).flatMap(({ name, ports }) =>
    (ports ?? []).filter(({ protocol }) => protocol === "UDP").map(({ containerPort }) =>
      `UDP port ${containerPort} of container ${name} stays outside the mesh: only TCP is carried`
    )
  );
}

function portWarnings(pod: Pod, config: ProxyConfig): string[] {
  const own = new Set([
    config.inboundPort,
    config.outboundPort,
    config.adminPort,
    config.controlPort,
  ]);
  return inboundPorts(pod).filter((port) => own.has(port)).map((port) =>
    `port ${port} is the proxy's own: whoever listens there second does not start`
  );
}

/** The redirect spares connections of the proxy's user, whoever makes them. */
function userWarnings(pod: Pod, { uid }: ProxyConfig): string[] {
  const ofPod = pod.spec.securityContext?.runAsUser;
  return runningContainers(pod)
    .filter(({ securityContext }) => (securityContext?.runAsUser ?? ofPod) === uid)
    .map(({ name }) =>
      `container ${name} runs as user ${uid}, the proxy's: what it sends stays outside the mesh`
    );
}

function effectWarnings(config: ProxyConfig): string[] {
  return Object.entries(UNSERVED_OPTIONS)
    .filter(([name]) => config[name as keyof typeof UNSERVED_OPTIONS]).map(([, text]) => text);
}
