/**
 * A mesh's data plane under Malla's control plane: real identity and controller, two sidecars, the
 * redirect in both namespaces; load goes to the address of a Service, as an application's would. The
 * sidecars are ours, or a stock linkerd2-proxy that was built elsewhere.
 */

import type { Node, Program } from "../../support/lab.ts";
import type { Mesh, PodSpec } from "../../support/mesh.ts";
import type { DataPlane, Place } from "./place.ts";

/** A proxy of Malla's, or the program of a stock one. */
export type Sidecar = { readonly stock: string } | "malla";

/** Where each mesh's Service is, by the data plane's name. */
const SERVICE_IPS: Readonly<Record<string, string>> = {
  malla: "10.43.0.10",
  "linkerd2-proxy": "10.43.0.11",
};

/** Starts both sidecars in the mesh. */
export async function startMeshed(place: Place, mesh: Mesh, sidecar: Sidecar): Promise<DataPlane> {
  const { name } = place;
  const pod = (role: string, node: Node, port: number): PodSpec => ({
    name: `${name}-${role}`,
    node,
    port,
    labels: role === "server" ? { app: name } : {},
  });
  const serviceIp = SERVICE_IPS[name] ?? "";
  const pods = [
    pod("server", place.server, place.backendPort),
    pod("client", place.client, place.backendPort),
  ];
  mesh.service(name, serviceIp, 80, place.backendPort);
  const proxies: Program[] = [];
  for (const pod of pods) {
    mesh.pod(pod);
    proxies.push(
      sidecar === "malla"
        ? await mesh.startProxy(pod, place.proxyCore)
        : await mesh.startPeer(pod, sidecar.stock, place.proxyCore),
    );
    mesh.redirect(pod.node, sidecar === "malla" ? "marked" : "unmarked");
  }
  const url = `http://${serviceIp}/`;
  await place.answers(url);
  return { place, name, url, proxies };
}
