/**
 * The plugin's work: one call of the runtime for one pod. It comes after the plugins that make the pod's
 * network, changes nothing of theirs, and redirects the connections of pods that are meshed without an
 * init container for that. Whatever it cannot find out makes the pod wait: the kubelet tries again.
 */

import { describeError, Fault } from "../base/fault.ts";
import { INIT_CONTAINER, PROXY_CONTAINER } from "../inject/containers.ts";
import { parseRedirect, type PodRedirect, REDIRECT_ANNOTATION } from "../inject/pod-redirect.ts";
import type { AppliedRules } from "../inject/redirect-apply.ts";
import type { KubeObject } from "../source/kube/client.ts";
import { isRecord } from "../source/shape.ts";
import {
  CNI_CODES,
  CniError,
  type CniRequest,
  errorAnswer,
  readRequest,
  resultAnswer,
  versionAnswer,
  versionOf,
} from "./protocol.ts";

/** What the plugin does to the world. What is rejected is a `Fault`. */
export interface PluginWorld {
  /** A pod of the cluster that the kubeconfig leads to; undefined when there is none of the name. */
  findPod(kubeconfig: string, namespace: string, name: string): Promise<KubeObject | undefined>;
  /** Installs the redirect in the network namespace that the file stands for. */
  redirect(namespaceFile: string, redirect: PodRedirect): Promise<readonly AppliedRules[]>;
  /** Whether it is there. */
  isRedirected(namespaceFile: string): Promise<boolean>;
}

/** What the process leaves behind. */
export interface PluginOutcome {
  readonly code: 0 | 1;
  /** For standard output. */
  readonly output: string;
}

/** The annotation of a pod that a file of the node describes; the API's copy of it counts for nothing. */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

/** Answers one call; never rejects. */
export async function runPlugin(
  env: Readonly<Record<string, string | undefined>>,
  input: string,
  world: PluginWorld,
): Promise<PluginOutcome> {
  if (env["CNI_COMMAND"] === "VERSION") return { code: 0, output: versionAnswer() };
  try {
    return { code: 0, output: await answer(readRequest(env, input), world) };
  } catch (thrown) {
    const error = thrown instanceof CniError
      ? thrown
      : new CniError(CNI_CODES.tryAgainLater, describeError(thrown));
    return { code: 1, output: errorAnswer(error, versionOf(input)) };
  }
}

async function answer(request: CniRequest, world: PluginWorld): Promise<string> {
  const { configuration } = request;
  switch (request.command) {
    case "ADD":
      if (configuration.prevResult === undefined) throw unchained();
      await add(request, world);
      return resultAnswer(configuration);
    case "CHECK":
      await check(request, world);
      return "";
    case "STATUS":
      await status(request, world);
      return "";
    case "DEL":
    case "GC":
      // The rules end with the pod's network.
      return "";
  }
}

async function add(request: CniRequest, world: PluginWorld): Promise<void> {
  const redirect = await redirectOf(request, world);
  if (redirect === undefined) return;
  const applied = await redirected(request, () => world.redirect(request.namespaceFile, redirect));
  const skipped = applied.find(({ version, outcome }) => version === 6 && outcome === "skipped");
  if (skipped === undefined || !hasIpv6(request)) return;
  throw new CniError(
    CNI_CODES.noRedirect,
    `Cannot redirect IPv6 of pod ${titleOf(request)}: ${skipped.reason}`,
  );
}

async function check(request: CniRequest, world: PluginWorld): Promise<void> {
  if (await redirectOf(request, world) === undefined) return;
  if (await redirected(request, () => world.isRedirected(request.namespaceFile))) return;
  throw new CniError(
    CNI_CODES.noRedirect,
    `The connections of pod ${
      titleOf(request)
    } are not redirected: delete it, so that it comes again`,
  );
}

/** Whether pods could be set up now. That the pod asked for does not exist is a good answer. */
async function status({ configuration }: CniRequest, world: PluginWorld): Promise<void> {
  try {
    await world.findPod(configuration.kubeconfig, "kube-system", "malla-cni-status");
  } catch (thrown) {
    throw new CniError(CNI_CODES.notAvailable, describeError(thrown));
  }
}

/** What is to be done to the pod; undefined for one that is left alone. Throws a `CniError`. */
async function redirectOf(
  request: CniRequest,
  world: PluginWorld,
): Promise<PodRedirect | undefined> {
  const { args, configuration } = request;
  const [namespace, name] = [args.get("K8S_POD_NAMESPACE"), args.get("K8S_POD_NAME")];
  // A container of somebody who is not Kubernetes.
  if (!namespace || !name) return undefined;
  if (configuration.excludeNamespaces.includes(namespace)) return undefined;
  let pod: KubeObject | undefined;
  try {
    pod = await world.findPod(configuration.kubeconfig, namespace, name);
  } catch (thrown) {
    throw new CniError(
      CNI_CODES.tryAgainLater,
      `Cannot find out whether pod ${titleOf(request)} is meshed: ${describeError(thrown)}`,
    );
  }
  return pod === undefined ? undefined : wantedRedirect(pod, args.get("K8S_POD_UID"));
}

/**
 * What the injector has settled for a pod; undefined for one that has no proxy, or that installs its
 * redirect itself. `uid` is that of the pod which the runtime means. Throws a `CniError`.
 */
export function wantedRedirect(
  { metadata, spec }: KubeObject,
  uid: string | undefined,
): PodRedirect | undefined {
  const annotations = metadata.annotations ?? {};
  if (annotations[MIRROR_ANNOTATION] !== undefined) return undefined;
  const title = `${metadata.namespace}/${metadata.name}`;
  if (uid && metadata.uid !== undefined && metadata.uid !== uid) {
    throw new CniError(CNI_CODES.tryAgainLater, `Pod ${title} is another one by now`);
  }
  const text = annotations[REDIRECT_ANNOTATION];
  if (text === undefined || !isRecord(spec) || spec["hostNetwork"] === true) return undefined;
  const names = [...namesIn(spec["initContainers"]), ...namesIn(spec["containers"])];
  if (!names.includes(PROXY_CONTAINER) || names.includes(INIT_CONTAINER)) return undefined;
  try {
    return parseRedirect(text);
  } catch (thrown) {
    throw new CniError(CNI_CODES.noRedirect, `Pod ${title}: ${describeError(thrown)}`);
  }
}

/** What the machine refuses is told with the pod's name. */
async function redirected<T>(request: CniRequest, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    throw new CniError(
      CNI_CODES.noRedirect,
      `Cannot redirect the connections of pod ${titleOf(request)} on its node: ` +
        describeError(thrown),
    );
  }
}

function namesIn(containers: unknown): readonly unknown[] {
  if (!Array.isArray(containers)) return [];
  return containers.map((container: unknown) =>
    isRecord(container) ? container["name"] : undefined
  );
}

function hasIpv6({ configuration }: CniRequest): boolean {
  const ips = configuration.prevResult?.["ips"];
  return Array.isArray(ips) &&
    ips.some((one: unknown) => isRecord(one) && String(one["address"]).includes(":"));
}

function titleOf({ args }: CniRequest): string {
  return `${args.get("K8S_POD_NAMESPACE")}/${args.get("K8S_POD_NAME")}`;
}

function unchained(): CniError {
  return new CniError(
    CNI_CODES.invalidConfiguration,
    "prevResult is missing: this plugin comes after another one, which makes the pod's network",
  );
}
