/**
 * A mesh's data plane under Malla's control plane: real identity and controller, two sidecars, the
 * redirect in both namespaces; load goes to the address of a Service, as an application's would. The
 * sidecars are ours, or a stock linkerd2-proxy that was built elsewhere.
 */

import type { Program } from "../support/lab.ts";
import type { Mesh, PodSpec } from "../support/mesh.ts";
import {
  answers,
  BACKEND_PORTS,
  type Cores,
  type Place,
  proxyCores,
  type TwoHops,
  WAYS,
  waysTo,
} from "./place.ts";

/** A proxy of Malla's, or the program of a stock one. */
export type Sidecar = { readonly stock: string } | "malla";

/** Both sides are told which port carries no HTTP. */
const OPAQUE = { "config.linkerd.io/opaque-ports": String(BACKEND_PORTS.opaque) };

/**
 * What makes calls reliable, all of it at once. On a service that is well none of it comes to act, but the
 * limit now and then for a moment, when it measures anew what an answer takes.
 */
export const RELIABLE: Reliability = {
  service: {
    "retry.linkerd.io/http": "5xx",
    "retry.linkerd.io/grpc": "unavailable",
    "retry.linkerd.io/limit": "2",
    "retry.linkerd.io/timeout": "5s",
    "retry.malla.dev/hedge-after": "4s",
    "timeout.linkerd.io/request": "10s",
    "timeout.linkerd.io/response": "10s",
    "timeout.linkerd.io/idle": "10s",
    "balancer.linkerd.io/failure-accrual": "unified",
    "balancer.alpha.linkerd.io/penalize-failures": "true",
    "balancer.alpha.linkerd.io/failure-accrual-honor-retry-after": "true",
  },
  pod: { "config.malla.dev/proxy-inbound-concurrency-limit": "adaptive" },
};

/** Annotations of the Service that is called, and of the pod behind it. */
export interface Reliability {
  readonly service: Readonly<Record<string, string>>;
  readonly pod: Readonly<Record<string, string>>;
}

/** Starts both sidecars in the mesh; the place's name must be new in it. */
export async function startMeshed(
  place: Place,
  mesh: Mesh,
  sidecar: Sidecar,
  serviceIp: string,
  cores: Cores,
  reliability: Reliability = { service: {}, pod: {} },
): Promise<TwoHops> {
  const { name } = place;
  const port = BACKEND_PORTS.http1;
  const server: PodSpec = {
    name: `${name}-server`,
    node: place.server,
    port,
    labels: { app: name },
    annotations: { ...OPAQUE, ...reliability.pod },
  };
  const client: PodSpec = { name: `${name}-client`, node: place.client, port, labels: {} };
  mesh.serviceOf({
    name,
    clusterIP: serviceIp,
    ports: WAYS.map((name) => ({
      name,
      port: BACKEND_PORTS[name],
      targetPort: BACKEND_PORTS[name],
    })),
    annotations: { ...OPAQUE, ...reliability.service },
  });
  const serverProxy = place.keep(await join(mesh, server, sidecar, cores));
  const clientProxy = place.keep(await join(mesh, client, sidecar, cores));
  const ways = waysTo((way) => `${serviceIp}:${BACKEND_PORTS[way]}`);
  for (const way of WAYS) await answers(place.client, way, ways[way]);
  return {
    name: sidecar === "malla" ? "malla" : "linkerd2-proxy",
    place,
    ways,
    proxies: [clientProxy, serverProxy],
  };
}

/** Adds a pod to the mesh: redirects its traffic, and starts a sidecar, which is then ready. */
export async function join(
  mesh: Mesh,
  pod: PodSpec,
  sidecar: Sidecar,
  cores: Cores,
): Promise<Program> {
  mesh.pod(pod);
  const launch = await mesh.launcher(pod, sidecar === "malla" ? undefined : sidecar.stock);
  mesh.redirect(pod.node, sidecar === "malla" ? "marked" : "unmarked");
  const proxy = launch(proxyCores(cores), { LINKERD2_PROXY_CORES: String(cores) });
  await mesh.proxyReady(pod);
  return proxy;
}
