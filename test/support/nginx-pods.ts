/** Manifests of pods that run nginx with a configuration of the test's, and of Services in front of them. */

import type { Laptop } from "./laptop.ts";

/** The port on which each of these pods counts its own requests, beside what it serves. */
export const COUNT_PORT = 8081;

/** A pod of nginx that listens on port 80; `server` is the body of its `server` block. */
export interface NginxPod {
  readonly name: string;
  /** The label `app`: its Services select it by that. */
  readonly app: string;
  readonly server: string;
  /** What stands beside the server, such as `split_clients`. */
  readonly http?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The configuration of such a pod. Everything that nginx writes is below the folder that it starts in. */
export function nginxConfiguration({ name, server, http = "" }: NginxPod): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${name}-${kind};`).join(" ");
  return `pid ${name}.pid;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
  ${temporary}
  ${http}
  server { listen 80 backlog=4096; ${server} }
  server { listen ${COUNT_PORT}; location / { stub_status; } }
}
`;
}

/** Its manifest; the configuration is expected in `app/NAME.conf`. One process, named by its file. */
export function nginxManifest({ name, app, annotations = {} }: NginxPod): string {
  const words = ["-e", "/dev/stderr", "-p", ".", "-c", `app/${name}.conf`];
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app }, annotations },
    spec: {
      containers: [{
        name: "nginx",
        image: "nginx",
        command: ["nginx", ...words, "-g", "daemon off; master_process off;"],
        ports: [{ containerPort: 80 }, { containerPort: COUNT_PORT }],
        readinessProbe: { tcpSocket: { port: 80 } },
      }],
    },
  });
}

/** Has a laptop's mesh run such a pod. */
export function writeNginxPod(laptop: Laptop, pod: NginxPod): void {
  laptop.write(`${pod.name}.conf`, nginxConfiguration(pod));
  laptop.write(`${pod.name}.json`, nginxManifest(pod));
}

/** A Service on port 80 in front of the pods of an `app`, switched on by annotations. */
export function serviceManifest(
  name: string,
  app: string,
  annotations: Readonly<Record<string, string>> = {},
): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, annotations },
    spec: { selector: { app }, ports: [{ port: 80 }] },
  });
}

/** The ServiceProfile of a Service of the namespace `default`. */
export function profileManifest(service: string, spec: object): string {
  return JSON.stringify({
    apiVersion: "linkerd.io/v1alpha2",
    kind: "ServiceProfile",
    metadata: { name: `${service}.default.svc.cluster.local`, namespace: "default" },
    spec,
  });
}

/** Requests that nginx has counted, from its `stub_status`; the one that asked is among them. */
export function requestsCounted(status: string): number {
  const [, requests] = /^\s*\d+ \d+ (\d+)\s*$/m.exec(status) ?? [];
  if (requests === undefined) throw new Error(`no counts of nginx's: "${status}"`);
  return Number(requests);
}
