/** Where a data plane runs: a client and a server namespace, nginx behind, and which core does what. */

import { writeFileSync } from "node:fs";
import { type Lab, type Node, type Program, until } from "../../support/lab.ts";

/** nginx as root would change its group, which a user namespace of one user refuses. */
const UNPRIVILEGED = "unshare --user --map-user=1000 --map-group=1000".split(" ");

/** A data plane under load. `url` is where the load generator in the client's namespace sends. */
export interface DataPlane {
  readonly place: Place;
  readonly name: string;
  readonly url: string;
  /** The two proxies; none for the direct way. */
  readonly proxies: readonly Program[];
}

/** One data plane's own pair of namespaces, with nginx in the server's. */
export class Place {
  readonly lab: Lab;
  readonly name: string;
  readonly client: Node;
  readonly server: Node;
  readonly backendPort = 8080;
  /** Proxies have a core of their own; load and backend share the other. */
  readonly proxyCore = 0;
  readonly loadCore = 1;

  constructor(lab: Lab, name: string) {
    this.lab = lab;
    this.name = name;
    this.client = lab.node(`${name}-client`);
    this.server = lab.node(`${name}-server`);
  }

  /** Starts nginx with a small answer, one worker, as an ordinary program. */
  async startBackend(): Promise<void> {
    const home = `${this.lab.home}/nginx-${this.name}`;
    await Bun.write(`${home}/www/index.html`, "ok\n");
    writeFileSync(`${home}/nginx.conf`, nginxConfig(home, this.backendPort));
    const nginx = ["nginx", "-c", `${home}/nginx.conf`, "-e", `${home}/error.log`];
    this.server.start([...UNPRIVILEGED, ...nginx], { core: this.loadCore });
    await this.answers(this.directUrl);
  }

  get directUrl(): string {
    return `http://${this.server.ip}:${this.backendPort}/`;
  }

  /** Waits until a request from the client's namespace is answered with 200. */
  async answers(url: string): Promise<void> {
    const curl = ["curl", "-sf", "-o", "/dev/null", "--max-time", "1", url];
    await until(`${url} answers`, async () => await this.client.start(curl).exited === 0);
  }
}

function nginxConfig(home: string, port: number): string {
  return `daemon off; master_process off; worker_processes 1; pid ${home}/nginx.pid;
error_log ${home}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path ${home}/body; proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi; uwsgi_temp_path ${home}/uwsgi; scgi_temp_path ${home}/scgi;
  server { listen ${port}; root ${home}/www; }
}
`;
}
