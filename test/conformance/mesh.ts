/**
 * The mesh of the conformance tests: one pod with all applications, one that stays as their client, and
 * one stranger without a proxy. Nothing of them knows of the mesh.
 */

import { linkSync, mkdirSync } from "node:fs";
import { type GoFixtures, goFixtures, whyNoGo } from "../support/go-fixtures.ts";
import { nodeProgram } from "../support/node-program.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { PodShell } from "../support/pod-shell.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;

/** Ports of the pod `apps`. */
export const PORTS = {
  http: 8000,
  h2c: 8080,
  tls: 8443,
  go: 50051,
  grpcJs: 50052,
  connect: 50053,
} as const;

/** Why there is no such mesh here, or undefined. */
export const REASON: string | undefined = whyNoMesh("curl", "socat", "openssl") ??
  (nodeProgram() === undefined ? "not installed: node" : undefined);

/** Why the parts in Go are left out, or undefined. */
export const GO_REASON: string | undefined = whyNoGo();

/** The running mesh. */
export class ConformanceMesh {
  readonly laptop = new Laptop("self");
  /** Beside a proxy. */
  readonly client = new PodShell(this.laptop.home, "client");
  /** Without one. */
  readonly stranger = new PodShell(this.laptop.home, "stranger");
  /** Words that start Node. */
  readonly node: string = nodeProgram() ?? "node";
  #go: GoFixtures | null = null;

  /** Paths of the programs in Go, as the pods see them. */
  get go(): GoFixtures {
    if (this.#go === null) throw new Error("there are no programs in Go");
    return this.#go;
  }

  async start(): Promise<void> {
    if (GO_REASON === undefined) this.#go = await this.#copied(await goFixtures());
    this.laptop.write("client.json", this.client.manifest());
    this.laptop.write("stranger.json", this.stranger.manifest({ "linkerd.io/inject": "disabled" }));
    this.laptop.write("apps.json", JSON.stringify(this.#apps()));
    this.laptop.write("service.json", JSON.stringify(service()));
    await this.laptop.up();
  }

  /** A path of the test's fixtures. */
  fixture(path: string): string {
    return `${FIXTURES}${path}`;
  }

  /** The address of the pod `apps`. */
  get ip(): string {
    const ip = this.laptop.podIp("apps");
    if (ip === undefined) throw new Error("the pod has no address");
    return ip;
  }

  /** Lines of a pod's metrics that begin so and have all these labels. */
  metrics(pod: "apps" | "client", name: string, labels: Record<string, string>): number {
    const url = `http://${this.laptop.podIp(pod)}:4191/metrics`;
    let sum = 0;
    for (const line of this.laptop.inside("curl", "-s", url).split("\n")) {
      if (!line.startsWith(`${name}{`)) continue;
      const has = Object.entries(labels).every(([key, value]) =>
        line.includes(`{${key}="${value}"`) || line.includes(`,${key}="${value}"`)
      );
      if (has) sum += Number(line.slice(line.lastIndexOf(" ")));
    }
    return sum;
  }

  async clean(): Promise<void> {
    await this.laptop.clean();
  }

  /** The programs where pods find them, whoever runs the mesh. */
  async #copied(programs: GoFixtures): Promise<GoFixtures> {
    mkdirSync(`${this.laptop.home}/bin`);
    const entries = await Promise.all(
      Object.entries(programs).map(async ([name, path]) => {
        const target = `${this.laptop.home}/bin/${name}`;
        try {
          linkSync(path, target);
        } catch {
          // Another file system.
          await Bun.write(target, Bun.file(path));
          Bun.spawnSync(["chmod", "755", target]);
        }
        return [name, target];
      }),
    );
    return Object.fromEntries(entries);
  }

  #apps(): unknown {
    const { node } = this;
    const containers = [
      ["http", [node, this.fixture("conformance/app.mjs"), String(PORTS.http)], [PORTS.http]],
      [
        "grpc",
        [
          node,
          this.fixture("grpc/main.mjs"),
          "server",
          `0.0.0.0:${PORTS.grpcJs}`,
          `0.0.0.0:${PORTS.connect}`,
        ],
        [PORTS.grpcJs, PORTS.connect],
      ],
      ["tls", ["sh", "-c", tlsServer(this.laptop.home)], [PORTS.tls]],
    ] as [string, string[], number[]][];
    if (this.#go !== null) {
      containers.push(["h2c", [this.#go.h2c, `0.0.0.0:${PORTS.h2c}`], [PORTS.h2c]]);
      containers.push(["rpc", [this.#go.rpc, "server", `0.0.0.0:${PORTS.go}`], [PORTS.go]]);
    }
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "apps", labels: { app: "apps" } },
      spec: {
        serviceAccountName: "apps",
        containers: containers.map(([name, command, ports]) => ({
          name,
          image: "any",
          command,
          ports: ports.map((containerPort) => ({ containerPort })),
          readinessProbe: { tcpSocket: { port: ports[0] }, periodSeconds: 1 },
        })),
      },
    };
  }
}

/** OpenSSL's own server, with a certificate that nobody of the mesh has issued. */
function tlsServer(home: string): string {
  const files = `-key ${home}/tls.key -cert ${home}/tls.crt`;
  const made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes " +
    `-keyout ${home}/tls.key -out ${home}/tls.crt -days 2 -subj /CN=app.example`;
  return `${made} && exec openssl s_server -quiet -accept ${PORTS.tls} ${files} -WWW`;
}

function service(): unknown {
  const ports = Object.entries(PORTS).map(([name, port]) => ({ name: name.toLowerCase(), port }));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "apps" },
    spec: {
      selector: { app: "apps" },
      ports: [
        ...ports,
        { name: "known", port: 8081, targetPort: PORTS.h2c, appProtocol: "kubernetes.io/h2c" },
      ],
    },
  };
}
