/**
 * Malla as the data plane: real identity and controller, two sidecars, the redirect in both
 * namespaces; load goes to the address of a Service, as an application's would.
 */

import { Mesh, type PodSpec } from "../../support/mesh.ts";
import type { DataPlane, Place } from "./place.ts";

const SERVICE_IP = "10.43.0.10";

/** Starts the control plane and both sidecars. */
export async function startMalla(place: Place, executable: string): Promise<DataPlane> {
  const mesh = await Mesh.start(place.lab, executable);
  const server: PodSpec = {
    name: "server",
    node: place.server,
    port: place.backendPort,
    labels: { app: "backend" },
  };
  const client: PodSpec = { name: "client", node: place.client, port: 9, labels: {} };
  mesh.pod(server);
  mesh.pod(client);
  mesh.service("backend", SERVICE_IP, 80, place.backendPort);
  const proxies = [
    await mesh.startProxy(server, place.proxyCore),
    await mesh.startProxy(client, place.proxyCore),
  ];
  mesh.redirect(place.client);
  mesh.redirect(place.server);
  const url = `http://${SERVICE_IP}/`;
  await place.answers(url);
  return {
    name: "malla",
    url,
    proxies,
    async stop() {
      await place.end(proxies);
      await mesh.stop();
    },
  };
}
