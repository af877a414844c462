/** Manifests of pods that serve gRPC by its own library for JavaScript, and of Services in front of them. */

import { nodeProgram } from "./node-program.ts";

/** The program of the fixture; see there what it does. */
export const GRPC_FIXTURE: string = new URL("../fixtures/grpc/", import.meta.url).pathname;
/** Where these pods listen. */
export const GRPC_PORT = 50051;

type Annotations = Readonly<Record<string, string>>;

/** A pod that answers calls; it is told by their metadata how. */
export function grpcManifest(name: string, annotations: Annotations = {}): string {
  const addresses = [`0.0.0.0:${GRPC_PORT}`, `0.0.0.0:${GRPC_PORT + 1}`];
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name }, annotations },
    spec: {
      containers: [{
        name: "grpc",
        image: "any",
        command: [nodeProgram() ?? "node", `${GRPC_FIXTURE}main.mjs`, "server", ...addresses],
        ports: [{ containerPort: GRPC_PORT }],
        readinessProbe: { tcpSocket: { port: GRPC_PORT }, periodSeconds: 1 },
      }],
    },
  });
}

/** A Service in front of the pod of an `app`, switched on by annotations. */
export function grpcService(name: string, app: string, annotations: Annotations = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, annotations },
    spec: { selector: { app }, ports: [{ port: GRPC_PORT }] },
  });
}
