/**
 * What the documentation takes for granted: a cluster whose nodes can fetch the images that the pages
 * name, the programs that an operator has, and the state in which each page begins.
 */

import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../../lib/base/version.ts";
import type { PageName } from "../docs/pages.ts";
import { TOP } from "../docs/pages.ts";
import { certManagerFolder, certManagerObstacle, startCertManager } from "./cert-manager.ts";
import { Cluster } from "./cluster.ts";
import { malla } from "./control-plane.ts";
import { helmObstacle, helmProgram } from "./helm.ts";
import { linkerdObjects } from "./linkerd.ts";
import { loadMalla, loadProgramImage } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { clusterObstacle } from "./requirements.ts";
import { waitFor } from "./wait.ts";

/** As in the pages: what its own image does, as far as they ask for it. */
const NGINX_IMAGE = "docker.io/library/nginx:1.29";
const NGINX = `user root;
error_log /dev/stderr;
events {}
http {
  access_log off;
  server { listen 80; location / { return 200 "Welcome to nginx!\\n"; } }
}
`;

/** The application of the pages, as it is after the first of them. */
const SHOP = ["web", "client"];

/** Why there can be no such world here, or null. */
export function docsObstacle(): string | null {
  const missing = ["nginx", "curl", "bash", "setsid", "openssl"]
    .filter((program) => Bun.which(program) === null);
  if (!existsSync(`${TOP}dist/malla`)) return "the executable is not built: bun run build";
  if (missing.length > 0) return `they need ${missing.join(", ")}`;
  return clusterObstacle() ?? helmObstacle();
}

/** Why a page cannot have this program in its cluster, or null. Throws for one that is not known. */
export function needObstacle(program: string): string | null {
  if (program === "cert-manager") return certManagerObstacle();
  throw new Error(`no page can need "${program}"`);
}

/** A cluster and an operator's programs. */
export class DocsWorld {
  readonly cluster: Cluster;
  /** A folder with `malla`, `kubectl` and `helm`. */
  readonly programs: string;

  private constructor(cluster: Cluster, programs: string) {
    this.cluster = cluster;
    this.programs = programs;
  }

  /** Resolves when everything is there, with nothing in the cluster. */
  static async start(): Promise<DocsWorld> {
    const programs = mkdtempSync(join(tmpdir(), "malla-docs-programs-"));
    if (certManagerObstacle() === null) await certManagerFolder();
    const cluster = await Cluster.start(testClusterName("docs"), { nodes: 2 });
    try {
      symlinkSync(`${TOP}dist/malla`, join(programs, "malla"));
      symlinkSync(await helmProgram(), join(programs, "helm"));
      const words = cluster.kubectlCommand.slice(0, -2).map((word) => `'${word}'`).join(" ");
      writeFileSync(join(programs, "kubectl"), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
      await loadMalla(cluster, `docker.io/malla/malla:${VERSION}`);
      await loadNginx(cluster);
      return new DocsWorld(cluster, programs);
    } catch (cause) {
      await cluster.stop();
      rmSync(programs, { recursive: true });
      throw cause;
    }
  }

  /** Brings the cluster into the state in which a page begins. */
  async prepare(page: PageName): Promise<void> {
    switch (page) {
      case "docs/getting-started.md":
        return await this.#empty();
      case "docs/install.md":
        return await this.#empty();
      case "docs/migrate.md":
        await this.#empty();
        return await this.cluster.apply(await linkerdObjects());
      case "docs/rotate.md":
        if (certManagerObstacle() === null) await startCertManager(this.cluster);
        return await this.#install();
      default:
        return await this.#install();
    }
  }

  async stop(): Promise<void> {
    rmSync(this.programs, { recursive: true });
    await this.cluster.stop();
  }

  /** No mesh and no application. */
  async #empty(): Promise<void> {
    await this.cluster.kubectl(["delete", "namespace", "shop", "--ignore-not-found"]);
    const { code, stdout } = await malla(this.cluster, ["uninstall"]);
    if (code === 0) await this.cluster.kubectl(["delete", "-f", "-"], { input: stdout });
  }

  /** The mesh and the application, unless the page before has left them. */
  async #install(): Promise<void> {
    const { cluster } = this;
    if (
      (await cluster.tryKubectl(["get", "configmap", "-n", "malla", "malla-config"])).code !== 0
    ) {
      const { stdout } = await malla(cluster, ["install"]);
      await cluster.kubectl(["apply", "-f", "-"], { input: stdout });
      await waitFor("the control plane", async () => (await malla(cluster, ["check"])).code === 0);
    }
    if ((await cluster.tryKubectl(["get", "namespace", "shop"])).code === 0) return;
    const page = await Bun.file(`${TOP}docs/getting-started.md`).text();
    const [, script = ""] = /```sh cluster\n(kubectl create namespace shop\n[^`]*)```/.exec(page) ??
      [];
    for (const line of script.trim().split("\n")) {
      const done = Bun.spawnSync(["sh", "-c", line], {
        env: {
          PATH: `${this.programs}:${process.env["PATH"] ?? ""}`,
          KUBECONFIG: cluster.kubeconfig,
          // Where kubectl keeps what it has learnt.
          HOME: this.programs,
        },
      });
      if (done.exitCode !== 0) throw new Error(`${line}: ${done.stderr.toString()}`);
    }
    for (const name of SHOP) await cluster.rollout("shop", `deployment/${name}`);
  }
}

async function loadNginx(cluster: Cluster): Promise<void> {
  await loadProgramImage(cluster, {
    name: NGINX_IMAGE,
    programs: ["nginx", "curl"],
    entries: [
      { kind: "file", path: "/etc/nginx/nginx.conf", content: NGINX },
      { kind: "folder", path: "/var/lib/nginx" },
      { kind: "folder", path: "/var/log/nginx" },
      { kind: "folder", path: "/run" },
    ],
    entrypoint: ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"],
    stopSignal: "SIGQUIT",
  });
}
