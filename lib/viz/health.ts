/**
 * Whether the mesh is well, asked at the moment of the question: the control plane's and each proxy's
 * readiness, and until when certificates are valid. For `malla check`.
 */

import { describeError } from "../base/fault.ts";
import { SCRAPE_BYTES_MAX, SCRAPES_PARALLEL_MAX } from "../base/limits.ts";
import type { ClusterView, PodFacts } from "./cluster.ts";
import { parseExposition } from "./prometheus-text.ts";

/** One part of the control plane. */
export interface ComponentHealth {
  readonly name: string;
  readonly ready: boolean;
  /** Why it is not ready; empty when it is. */
  readonly message: string;
}

/** One pod and its proxy. */
export interface PodHealth {
  readonly namespace: string;
  readonly name: string;
  readonly meshed: boolean;
  /** The pod's own condition. */
  readonly podReady: boolean;
  readonly proxyReady: boolean;
  /** Why the proxy is not ready; empty when it is, or when there is none. */
  readonly message: string;
  /** Null when unknown. */
  readonly certificateExpiresAtMs: number | null;
}

/** The answer. */
export interface Health {
  readonly atMs: number;
  readonly components: readonly ComponentHealth[];
  readonly pods: readonly PodHealth[];
  /** What is wrong with the objects of the mesh. */
  readonly problems: readonly string[];
}

/** Asks an URL; throws when there is no answer. */
export type Ask = (url: string) => Promise<{ readonly status: number; readonly text: string }>;

/** What is asked. */
export interface HealthOptions {
  readonly view: ClusterView;
  readonly nowMs: number;
  readonly adminPort: number;
  /** `host:port` of the admin endpoints by component. */
  readonly components: Readonly<Record<string, string>>;
  readonly ask: Ask;
}

/** How long a part may take to answer, and how much it may say. */
export const ASK_BOUNDS = { timeoutMs: 2_000, bytesMax: SCRAPE_BYTES_MAX };

const EXPIRY_METRICS: ReadonlySet<string> = new Set([
  "control_identity_cert_expiration_timestamp_seconds",
  "identity_cert_expiration_timestamp_seconds",
]);

/** Asks all parts. Never rejects: what does not answer is told as not ready. */
export async function askHealth(options: HealthOptions): Promise<Health> {
  const { view, nowMs } = options;
  const components = Promise.all(
    Object.entries(options.components).map(async ([name, place]): Promise<ComponentHealth> => {
      const message = await whyNotReady(options.ask, `http://${place}`);
      return { name, ready: message === "", message };
    }),
  );
  const queue = view.pods().entries();
  const pods: PodHealth[] = [];
  const lanes = Math.min(SCRAPES_PARALLEL_MAX, view.pods().length);
  await Promise.all(Array.from({ length: lanes }, async () => {
    for (const [index, pod] of queue) pods[index] = await podHealth(pod, options);
  }));
  const problems = view.currentProblems().map(({ message }) => message);
  return { atMs: nowMs, components: await components, pods, problems };
}

async function podHealth(pod: PodFacts, { ask, adminPort }: HealthOptions): Promise<PodHealth> {
  const { namespace, name, meshed, ready: podReady } = pod;
  const base = { namespace, name, meshed, podReady };
  if (!meshed) return { ...base, proxyReady: false, message: "", certificateExpiresAtMs: null };
  if (pod.ip === "") {
    const message = "the pod has no address yet";
    return { ...base, proxyReady: false, message, certificateExpiresAtMs: null };
  }
  const place = `http://${pod.ip.includes(":") ? `[${pod.ip}]` : pod.ip}:${adminPort}`;
  const message = await whyNotReady(ask, place);
  const certificateExpiresAtMs = await certificateExpiry(ask, place);
  return { ...base, proxyReady: message === "", message, certificateExpiresAtMs };
}

async function whyNotReady(ask: Ask, place: string): Promise<string> {
  try {
    const { status, text } = await ask(`${place}/ready`);
    return status === 200 ? "" : text.trim().split("\n").join(", ") || `status ${status}`;
  } catch (error) {
    return describeError(error);
  }
}

async function certificateExpiry(ask: Ask, place: string): Promise<number | null> {
  try {
    const { text } = await ask(`${place}/metrics`);
    const [sample] = parseExposition(text, (name) => EXPIRY_METRICS.has(name)).samples;
    return sample === undefined || !(sample.value > 0) ? null : sample.value * 1_000;
  } catch {
    return null; // The readiness has already said that it does not answer.
  }
}
