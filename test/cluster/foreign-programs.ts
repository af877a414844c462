/** Programs that we did not write, as containers: nginx, Redis, gRPC's library for Go, Node. */

import { pathEntries } from "../../deploy/image/debian.ts";
import { type GoFixtures, goFixtures, whyNoGo } from "../support/go-fixtures.ts";
import { nodeProgram } from "../support/node-program.ts";
import { script, scriptEntries, scriptRuntime } from "./load.ts";
import { APPS_IMAGE, meshObstacle, type WorldOptions } from "./mesh-world.ts";

/** Why these programs cannot run here, or null. */
export function foreignObstacle(): string | null {
  const missing = ["redis-server", "redis-cli", "node"].filter((name) => Bun.which(name) === null);
  if (missing.length > 0) return `clusters with foreign programs need ${missing.join(", ")}`;
  return meshObstacle() ?? whyNoGo() ?? null;
}

/** The containers of these programs, once they are built. */
export class ForeignPrograms {
  readonly #go: GoFixtures;
  readonly #node: string;

  private constructor(go: GoFixtures, node: string) {
    this.#go = go;
    this.#node = node;
  }

  /** Builds what must be built. */
  static async build(): Promise<ForeignPrograms> {
    return new ForeignPrograms(await goFixtures(), nodeProgram() ?? "node");
  }

  /** What the image of applications needs for them. */
  get world(): WorldOptions {
    const { rpc, greeterServer, greeterClient } = this.#go;
    return {
      programs: ["redis-server", "redis-cli", this.#node, scriptRuntime()],
      // Without shared objects: `ldd` has nothing to say of them.
      entries: [...scriptEntries(), ...[rpc, greeterServer, greeterClient].flatMap(pathEntries)],
    };
  }

  /** nginx on 8080; its configuration is the shop's, in the ConfigMap `nginx`. */
  nginx(more: object = {}) {
    return {
      name: "nginx",
      image: APPS_IMAGE,
      command: ["nginx", "-c", "/etc/nginx/nginx.conf"],
      ports: [{ name: "http", containerPort: 8080 }],
      readinessProbe: { httpGet: { path: "/ready?full=1", port: "http" }, periodSeconds: 1 },
      // As root it would look for a user that this image does not have.
      securityContext: { runAsUser: 1_000 },
      volumeMounts: [{ name: "configuration", mountPath: "/etc/nginx" }],
      ...more,
    };
  }

  /** Redis on 6379. */
  redis(more: object = {}) {
    return {
      name: "redis",
      image: APPS_IMAGE,
      command: ["redis-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"],
      ports: [{ containerPort: 6379 }],
      readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
      ...more,
    };
  }

  /** gRPC's library for Go with an echo service and a health service on 9000. */
  rpc(more: object = {}) {
    return {
      name: "rpc",
      image: APPS_IMAGE,
      command: [this.#go.rpc, "server", ":9000"],
      ports: [{ containerPort: 9000 }],
      readinessProbe: { grpc: { port: 9000 }, periodSeconds: 1 },
      ...more,
    };
  }

  /** The command that calls the echo service in every way and prints, as JSON, how that went. */
  rpcClient(target: string): readonly string[] {
    return [this.#go.rpc, "client", target];
  }

  /** The greeter of gRPC's examples on 50051. */
  greeter(more: object = {}) {
    return {
      name: "greeter",
      image: APPS_IMAGE,
      command: [this.#go.greeterServer],
      ports: [{ containerPort: 50051 }],
      readinessProbe: { tcpSocket: { port: 50051 }, periodSeconds: 1 },
      ...more,
    };
  }

  /** The command that asks the greeter. */
  greeterClient(target: string, name: string): readonly string[] {
    return [this.#go.greeterClient, `--addr=${target}`, `--name=${name}`];
  }

  /** Node with TCP echo on 9000, HTTP/2 on 9001, HTTP/1 on 9002. */
  node(more: object = {}) {
    const [, ...words] = script("echo");
    return {
      name: "node",
      image: APPS_IMAGE,
      command: [this.#node, ...words],
      ports: [9000, 9001, 9002].map((containerPort) => ({ containerPort })),
      readinessProbe: { httpGet: { path: "/", port: 9002 }, periodSeconds: 1 },
      ...more,
    };
  }

  /** The volume that `nginx` mounts. */
  get volumes(): readonly object[] {
    return [{ name: "configuration", configMap: { name: "nginx" } }];
  }
}
