/** Where a data plane runs: a client and a server namespace, backends, and which core does what. */

import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { type Lab, type Node, type Program, until } from "../support/lab.ts";

/** nginx as root would change its group, which a user namespace of one user refuses. */
const UNPRIVILEGED = "unshare --user --map-user=1000 --map-group=1000".split(" ");

/** Load and backends share a core; proxies have the other one. */
export const LOAD_CORE = 1;

/** How many cores each proxy of a plane uses; with two, the load's is one of them. */
export type Cores = 1 | 2;

/** Where proxies run, as taskset wants it. */
export function proxyCores(cores: Cores): string {
  return cores === 1 ? "0" : "0,1";
}

/** How load travels: what a proxy sees of it. */
export type Way = "http1" | "http2" | "opaque";

/** The backends' ports. The opaque one speaks HTTP/1, which no proxy is told. */
export const BACKEND_PORTS: Readonly<Record<Way, number>> = {
  http1: 8080,
  http2: 8081,
  opaque: 8082,
};

/** All of them. */
export const WAYS: readonly Way[] = ["http1", "http2", "opaque"];

/** Bytes of `/big`, for throughput. */
export const BIG_BYTES = 1_000_000_000;

/** A gRPC answer of five bytes, served as a file with `grpc-status` in its trailers. */
export const GRPC_PATH = "/reply.grpc";

/** An address for each way. */
export function waysTo(address: (way: Way) => string): Readonly<Record<Way, string>> {
  return { http1: address("http1"), http2: address("http2"), opaque: address("opaque") };
}

/** What a load generator and its reader need of where a data plane runs. */
export interface Ground {
  readonly lab: Lab;
  /** Unlike any other's: files are named by it. */
  readonly name: string;
  readonly client: Node;
}

/** A data plane under load. */
export interface DataPlane<G extends Ground = Ground> {
  readonly name: string;
  readonly place: G;
  /** Where load in the client's namespace sends, as `host:port`. */
  readonly ways: Readonly<Record<Way, string>>;
  /** The client's proxy, then the others; none for the direct way. */
  readonly proxies: readonly Program[];
}

/** Two hops: a client's proxy and a server's. */
export type TwoHops = DataPlane<Place>;

/** One data plane's own pair of namespaces, with backends in the server's. */
export class Place implements Ground {
  readonly lab: Lab;
  readonly name: string;
  readonly client: Node;
  readonly server: Node;
  readonly #programs: Program[] = [];

  private constructor(lab: Lab, name: string) {
    this.lab = lab;
    this.name = name;
    this.client = lab.node(`${name}-client`);
    this.server = lab.node(`${name}-server`);
  }

  /** Makes the namespaces and starts nginx and nghttpd, one worker each. */
  static async start(lab: Lab, name: string): Promise<Place> {
    const place = new Place(lab, name);
    for (const backend of startBackends(lab, place.server, name)) place.keep(backend);
    for (const way of WAYS) await answers(place.client, way, place.direct[way]);
    return place;
  }

  /** The backends' addresses, without any proxy. */
  get direct(): Readonly<Record<Way, string>> {
    return waysTo((way) => `${this.server.ip}:${BACKEND_PORTS[way]}`);
  }

  /** Has a program stopped with the place. */
  keep(program: Program): Program {
    this.#programs.push(program);
    return program;
  }

  /** Ends all programs. */
  async stop(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop("SIGKILL")));
  }
}

/** Starts nginx and nghttpd in a node. */
export function startBackends(lab: Lab, node: Node, name: string): Program[] {
  const { http1, http2, opaque } = BACKEND_PORTS;
  const files = makeFiles(lab.home);
  const listen = `listen ${http1} backlog=4096; listen ${opaque} backlog=4096; root ${files};`;
  const nghttpd = node.start([
    ...["nghttpd", "--no-tls", "-n", "1", "-m", "1000", "-d", files],
    ...[`--mime-types-file=${files}/types`, "--trailer=grpc-status: 0", String(http2)],
  ], { core: LOAD_CORE });
  return [startNginx(lab, node, name, `server { ${listen} }`), nghttpd];
}

/** Starts nginx in a node with one worker; what stands in `http` besides the usual is given. */
export function startNginx(lab: Lab, node: Node, name: string, http: string): Program {
  const home = `${lab.home}/nginx-${name}`;
  mkdirSync(home, { recursive: true });
  writeFileSync(`${home}/nginx.conf`, nginxConfig(home, http));
  const nginx = ["nginx", "-c", `${home}/nginx.conf`, "-e", `${home}/error.log`];
  return node.start([...UNPRIVILEGED, ...nginx], { core: LOAD_CORE });
}

/** Waits until a program in a node gets a whole answer from an address. */
export async function answers(node: Node, way: Way, address: string): Promise<void> {
  const curl = ["curl", "-sf", "-o", "/dev/null", "--max-time", "1"];
  const command = way === "http2"
    ? [...curl, "--http2-prior-knowledge", `http://${address}${GRPC_PATH}`]
    : [...curl, `http://${address}/`];
  await until(`${address} answers`, async () => await node.start(command).exited === 0);
}

/** What the backends serve: small answers, and a large one that takes no room on the disk. */
function makeFiles(home: string): string {
  const folder = `${home}/www`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/index.html`, "ok\n");
  writeFileSync(`${folder}${GRPC_PATH}`, "\0\0\0\0\x05hello");
  writeFileSync(`${folder}/types`, "application/grpc grpc\n");
  writeFileSync(`${folder}/big`, "");
  truncateSync(`${folder}/big`, BIG_BYTES);
  return folder;
}

function nginxConfig(home: string, http: string): string {
  return `daemon off; master_process off; worker_processes 1; pid ${home}/nginx.pid;
error_log ${home}/error.log warn; worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on;
  client_body_temp_path ${home}/body; proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi; uwsgi_temp_path ${home}/uwsgi; scgi_temp_path ${home}/scgi;
  ${http}
}
`;
}
