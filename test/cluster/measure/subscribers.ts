/**
 * Run in a node's network: asks the controller for a Service's endpoints as many proxies would, makes
 * pods come and go, and prints how long it took each time until the last of them was told, and how much
 * of that the cluster took before the Service's EndpointSlices said so. The pods are objects without a
 * kubelet, so that a container's start is not measured.
 */

import { Channel } from "../../../lib/contract/channel.ts";
import { createDiscovery } from "../../../lib/contract/client.ts";
import { createBunNet } from "../../../lib/host/bun-net.ts";
import { systemClock } from "../../../lib/host/clock.ts";
import { sendJson } from "../../../lib/host/http-json.ts";
import { formatAddress } from "../../../lib/mesh/address.ts";
import type { EndpointUpdate } from "../../../lib/mesh/endpoint.ts";
import { type KubeAccess, kubeconfigAccess } from "../../../lib/source/kube/access.ts";
import { KubeClient } from "../../../lib/source/kube/client.ts";
import { kubeSource } from "../../../lib/source/kube/mod.ts";
import {
  type EndpointSlice,
  type MeshObject,
  refKey,
  refOf,
  SERVICE_NAME_LABEL,
} from "../../../lib/source/objects.ts";
import { memory } from "../../support/lab.ts";

/** What is measured and where; comes as JSON on standard input. */
export interface PropagationPlan {
  readonly kubeconfig: string;
  readonly apiServer: string;
  /** The controller's address and the name in its certificate. */
  readonly controller: string;
  readonly controllerName: string;
  readonly trustAnchors: string;
  readonly namespace: string;
  readonly service: string;
  readonly subscribers: number;
  readonly samples: number;
}

/** Milliseconds from the request that changes a pod to the last subscriber's news. */
export interface PropagationSamples {
  /** The controller's resident memory behind all changes, with all streams open. */
  readonly controllerMb: number;
  readonly added: readonly number[];
  /** The part of `added` behind the EndpointSlice's news: the controller's, the network's and the proxies'. */
  readonly spread: readonly number[];
  readonly removed: readonly number[];
}

const DESTINATION_PORT = 8086;
/** So many streams share a connection; a proxy has one of its own for a few dozen. */
const STREAMS_PER_CHANNEL = 10;
const LIMIT_MS = 30_000;
/** The pods' node, which has no kubelet. */
const NODE = "nowhere";
/** Where no node's pods are. */
const FIRST_ADDRESS = "10.255.255.";

if (import.meta.main) {
  const plan = await Bun.stdin.json() as PropagationPlan;
  console.log(JSON.stringify(await run(plan)));
  process.exit(0);
}

async function run(plan: PropagationPlan): Promise<PropagationSamples> {
  const access = await kubeconfigAccess(plan.kubeconfig, { server: plan.apiServer });
  const client = new KubeClient(access);
  await client.create("/api/v1/nodes", nodeObject());
  const watch = new Watch(plan, access);
  await watch.begun();
  const added: number[] = [];
  const spread: number[] = [];
  const removed: number[] = [];
  const pods = `/api/v1/namespaces/${plan.namespace}/pods`;
  for (let index = 0; index < plan.samples; index++) {
    const ip = `${FIRST_ADDRESS}${1 + index % 250}`;
    const made = await client.create(pods, podOf(plan, `p${index}`));
    const status = {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: "True" }],
    };
    const coming = await watch.until(
      ip,
      true,
      () => client.replace(`${pods}/p${index}/status`, { ...made, status }),
    );
    added.push(coming.ms);
    spread.push(coming.spreadMs);
    removed.push((await watch.until(ip, false, () => remove(access, `${pods}/p${index}`))).ms);
  }
  await remove(access, `/api/v1/nodes/${NODE}`);
  return { added, spread, removed, controllerMb: controllerMb() };
}

/** Of the node's controller, in MB. */
function controllerMb(): number {
  const { stdout } = Bun.spawnSync(["pgrep", "-f", "^/usr/bin/malla controller"]);
  const [pid = "", ...more] = stdout.toString().trim().split("\n");
  if (pid === "" || more.length > 0) throw new Error("there is not one controller on this node");
  return memory(Number(pid)).residentMb;
}

/** All subscribers, which addresses each of them knows, and which the cluster itself tells of. */
class Watch {
  readonly #known: Set<string>[] = [];
  /** The addresses of each of the Service's EndpointSlices. */
  readonly #slices = new Map<string, ReadonlySet<string>>();
  #begun = 0;
  #isListed = false;
  #changed = () => {};

  constructor(
    { controller, controllerName, trustAnchors, ...plan }: PropagationPlan,
    access: KubeAccess,
  ) {
    void kubeSource(access, systemClock, Math.random).watch(new Set(["EndpointSlice"]), {
      applied: (object) => {
        if (!isOf(plan, object)) return;
        const addresses = object.endpoints.flatMap((endpoint) => endpoint.addresses);
        this.#slices.set(refKey(refOf(object)), new Set(addresses));
        this.#changed();
      },
      deleted: (ref) => {
        this.#slices.delete(refKey(ref));
        this.#changed();
      },
      synced: () => {
        this.#isListed = true;
        this.#changed();
      },
      problems: (problems) => problems.forEach(({ message }) => console.error(message)),
    });
    const net = createBunNet();
    const material = { certificateChain: "", privateKey: "", trustAnchors };
    const path = `${plan.service}.${plan.namespace}.svc.cluster.local:80`;
    for (let first = 0; first < plan.subscribers; first += STREAMS_PER_CHANNEL) {
      const channel = new Channel({
        net,
        clock: systemClock,
        resolve: () => Promise.resolve([{ ip: controller, port: DESTINATION_PORT }]),
        tls: { serverName: controllerName, material: () => material },
      });
      const discovery = createDiscovery({ destination: channel, policy: channel });
      const count = Math.min(STREAMS_PER_CHANNEL, plan.subscribers - first);
      for (let index = 0; index < count; index++) {
        const known = new Set<string>();
        this.#known.push(known);
        let isFirst = true;
        discovery.watchEndpoints({ context: "", workload: "" }, path, {
          next: (update) => {
            if (isFirst) this.#begun++;
            isFirst = false;
            this.#take(known, update);
          },
          fail(fault) {
            console.error(fault);
            process.exit(1);
          },
        });
      }
    }
  }

  /** Resolves when all have their first news. */
  async begun(): Promise<void> {
    await this.#wait(() => this.#isListed && this.#begun === this.#known.length);
  }

  /**
   * How long it takes from the beginning of `change` until all know the address, or none does, and how
   * much of that is left once the EndpointSlices say the same. Resolves when both are so: Kubernetes puts
   * off for a second what changes before it has seen its own last word of a Service.
   */
  async until(
    ip: string,
    isKnown: boolean,
    change: () => Promise<unknown>,
  ): Promise<{ readonly ms: number; readonly spreadMs: number }> {
    const began = performance.now();
    let said: number | undefined;
    let ended: number | undefined;
    const all = this.#wait(() => {
      const isSaid = [...this.#slices.values()].some((slice) => slice.has(ip)) === isKnown;
      if (isSaid) said ??= performance.now();
      if (this.#known.every((known) => known.has(ip) === isKnown)) ended ??= performance.now();
      return said !== undefined && ended !== undefined;
    });
    await change();
    await all;
    const [from, to] = [said ?? began, ended ?? began];
    return { ms: to - began, spreadMs: Math.max(0, to - from) };
  }

  #take(known: Set<string>, update: EndpointUpdate): void {
    const ipOf = (address: { readonly ip: string; readonly port: number }) =>
      formatAddress({ ip: address.ip, port: 0 }).replace(/:0$/, "");
    if (update.kind === "add") {
      for (const { address } of update.endpoints) known.add(ipOf(address));
    } else if (update.kind === "remove") {
      for (const address of update.addresses) known.delete(ipOf(address));
    } else known.clear();
    this.#changed();
  }

  async #wait(condition: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error("the subscribers were not told")), LIMIT_MS);
    this.#changed = () => {
      if (condition()) resolve();
    };
    this.#changed();
    await promise.finally(() => clearTimeout(timer));
    this.#changed = () => {};
  }
}

/** Whether it is one of the Service's EndpointSlices. */
function isOf(
  { namespace, service }: Pick<PropagationPlan, "namespace" | "service">,
  object: MeshObject,
): object is EndpointSlice {
  return object.kind === "EndpointSlice" && object.metadata.namespace === namespace &&
    object.metadata.labels[SERVICE_NAME_LABEL] === service;
}

/** Endpoints on a node that does not exist are left out; this one says once that it is well. */
function nodeObject() {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: NODE },
    spec: { unschedulable: true },
    status: { conditions: [{ type: "Ready", status: "True", reason: "Made", message: "made" }] },
  };
}

function podOf(plan: PropagationPlan, name: string) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: plan.namespace,
      labels: { app: plan.service },
      // Nobody runs it.
      annotations: { "malla.dev/inject": "disabled" },
    },
    spec: {
      nodeName: NODE,
      containers: [{ name: "app", image: "malla.test/nothing:1" }],
    },
  };
}

async function remove(access: KubeAccess, path: string): Promise<void> {
  const body = { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds: 0 };
  const bounds = { idleMs: LIMIT_MS, bytesMax: 8_388_608 };
  await sendJson(await access.target(path), { method: "DELETE", body }, bounds);
}
