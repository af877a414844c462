/**
 * Measures an installation in a cluster of this machine: how long it takes until all is green, what the
 * injector adds to a pod's admission, how soon a pod that comes or goes is known to all proxies and what
 * memory the controller has then, and how soon it follows an API server that was gone.
 * Figures, not tests: what is fast enough depends on the machine.
 */

import { KubeClient } from "../../../lib/source/kube/client.ts";
import { kubeconfigAccess } from "../../../lib/source/kube/access.ts";
import { Cluster } from "../cluster.ts";
import { CONTROL_NAMESPACE, installMalla, malla } from "../control-plane.ts";
import { loadMalla, MALLA_IMAGE } from "../mesh-world.ts";
import { testClusterName } from "../plan.ts";
import { waitFor } from "../wait.ts";
import { namespace, service } from "../workloads.ts";
import { figuresOf, formatFigures } from "./figures.ts";
import type { PropagationPlan, PropagationSamples } from "./subscribers.ts";

/** How much is measured. */
export interface MeasureOptions {
  /** Pods that are admitted, of each kind, and pods that come and go. */
  readonly samples: number;
  /** Streams to the controller, as many proxies have. */
  readonly subscribers: number;
  readonly say: (text: string) => void;
}

const PLACE = "measured";
/** A namespace that webhooks are told to leave alone. */
const EXEMPT = "exempt";
const OUTAGES = 3;
/** Long enough for pauses that double to grow beyond all patience. */
const OUTAGE_MS = 15_000;
/** What the controller logs when it follows all kinds again. */
const FOLLOWS = "source has no problem any more";
/** The first questions of each kind warm connections and code, and do not count. */
const WARMING = 20;

/** Starts a cluster, measures, and ends it. */
export async function measure(options: MeasureOptions): Promise<void> {
  const { say } = options;
  const cluster = await Cluster.start(testClusterName("measure"));
  try {
    await loadMalla(cluster, MALLA_IMAGE);
    say(`installed and all green after ${(await installMs(cluster) / 1000).toFixed(1)} s`);
    await cluster.apply([
      namespace(PLACE, { "malla.dev/inject": "enabled" }),
      {
        ...namespace(EXEMPT, {}),
        metadata: { name: EXEMPT, labels: { "config.linkerd.io/admission-webhooks": "disabled" } },
      },
      service("web", PLACE, [80]),
    ]);
    await admission(cluster, options);
    await propagation(cluster, options);
    await outages(cluster, options);
  } finally {
    await cluster.stop();
  }
}

/** From the first word of `malla install` to a check without a complaint; images are there. */
async function installMs(cluster: Cluster): Promise<number> {
  const began = performance.now();
  await installMalla(cluster, MALLA_IMAGE);
  const { code, stdout } = await malla(cluster, ["check", "-o", "short"]);
  if (code !== 0) throw new Error(`malla check: ${stdout}`);
  return performance.now() - began;
}

async function admission(cluster: Cluster, { samples, say }: MeasureOptions): Promise<void> {
  const client = new KubeClient(await kubeconfigAccess(cluster.kubeconfig));
  const admit = async (place: string) => {
    const began = performance.now();
    await client.create(`/api/v1/namespaces/${place}/pods?dryRun=All`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "trial", namespace: place },
      spec: { containers: [{ name: "app", image: "malla.test/nothing:1" }] },
    });
    return performance.now() - began;
  };
  const found: Record<string, number[]> = { [EXEMPT]: [], [PLACE]: [] };
  // In turns, so that the machine's noise falls on both.
  for (let index = -WARMING; index < samples; index++) {
    for (const place of [EXEMPT, PLACE]) {
      const ms = await admit(place);
      if (index >= 0) found[place]?.push(ms);
    }
  }
  const [without, within] = [figuresOf(found[EXEMPT] ?? []), figuresOf(found[PLACE] ?? [])];
  say(formatFigures("admission of a pod without the webhook", without));
  say(formatFigures("admission of a pod with an injected proxy", within));
  const [p50, p99] = [within.p50 - without.p50, within.p99 - without.p99];
  say(`the injector adds ${p50.toFixed(1)} ms (p50), ${p99.toFixed(1)} ms (p99)`);
}

async function propagation(
  cluster: Cluster,
  { samples, subscribers, say }: MeasureOptions,
): Promise<void> {
  const jsonPath = async (kind: string, name: string, path: string) =>
    await cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "get", kind, name, `-o=jsonpath=${path}`],
    ]);
  const plan: PropagationPlan = {
    kubeconfig: cluster.kubeconfig,
    apiServer: `https://${await cluster.kubectl([
      ...["get", "service", "kubernetes", "-o=jsonpath={.spec.clusterIP}"],
    ])}`,
    controller: await jsonPath("service", "malla-destination", "{.spec.clusterIP}"),
    controllerName:
      `malla-controller.${CONTROL_NAMESPACE}.serviceaccount.identity.${CONTROL_NAMESPACE}.cluster.local`,
    trustAnchors: await jsonPath(
      "configmap",
      "malla-identity-trust-roots",
      "{.data.ca-bundle\\.crt}",
    ),
    namespace: PLACE,
    service: "web",
    subscribers,
    samples,
  };
  // From within: the controller is reached from the cluster's network alone.
  const script = new URL("subscribers.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await cluster.inNode("node1", [process.execPath, script], {
    input: JSON.stringify(plan),
  });
  if (code !== 0) throw new Error(`${script}: exit code ${code}\n${stderr}`);
  const { added, spread, removed, controllerMb } = JSON.parse(stdout) as PropagationSamples;
  say(formatFigures(`a pod that is added is known to ${subscribers} proxies`, figuresOf(added)));
  say(formatFigures("of that, behind the news of its EndpointSlice", figuresOf(spread)));
  say(
    formatFigures(`a pod that is removed is known to ${subscribers} proxies`, figuresOf(removed)),
  );
  say(`the controller's resident memory behind that: ${controllerMb.toFixed(0)} MB`);
}

/** From the API server's first answer to the moment when all watches of the controller go on. */
async function outages(cluster: Cluster, { say }: MeasureOptions): Promise<void> {
  const client = new KubeClient(await kubeconfigAccess(cluster.kubeconfig));
  const answers = async () => {
    try {
      return await client.ask("/version") !== undefined;
    } catch {
      return false;
    }
  };
  const late: number[] = [];
  for (let round = 0; round < OUTAGES; round++) {
    await cluster.stopProgram("node1", "kube-apiserver", "SIGKILL");
    await Bun.sleep(OUTAGE_MS);
    const began = Date.now();
    await cluster.startProgram("node1", "kube-apiserver");
    while (!await answers()) await Bun.sleep(10);
    const answered = Date.now();
    let follows: number | undefined;
    await waitFor("the controller to follow", async () => {
      const words = [
        "-n",
        CONTROL_NAMESPACE,
        "logs",
        "deployment/malla-controller",
        "--timestamps",
      ];
      const { stdout } = await cluster.tryKubectl(words);
      const line = stdout.split("\n").findLast((text) => text.includes(FOLLOWS));
      const at = Date.parse(line?.split(" ")[0] ?? "");
      if (at > began) follows = at;
      return follows !== undefined;
    });
    late.push(Math.max(0, (follows ?? 0) - answered));
  }
  say(formatFigures("the controller follows an API server that is back", figuresOf(late)));
}
