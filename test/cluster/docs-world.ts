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
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { helmObstacle, helmProgram } from "./helm.ts";
import { LINKERD, linkerdObjects } from "./linkerd.ts";
import { loadMalla, loadProgramImage } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { clusterObstacle, nodesObstacle } from "./requirements.ts";
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

/** Needed by steps of the pages. */
const CERT_MANAGER = "cert-manager";

/** The application of the pages, as it is after the first of them. */
const SHOP = ["web", "client"];
/** All namespaces that the pages make, in clusters that were there before us as well. */
const NAMESPACES = ["shop", CONTROL_NAMESPACE, LINKERD];

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
  // Its image is brought to the nodes, and its definitions would have to be taken back.
  if (program === CERT_MANAGER) return nodesObstacle() ?? certManagerObstacle();
  throw new Error(`no page can need "${program}"`);
}

/** A cluster and an operator's programs. */
export class DocsWorld {
  readonly cluster: Cluster;
  /** A folder with `malla`, `kubectl` and `helm`. */
  readonly programs: string;
  /** Definitions of Malla's that were in the cluster before us. */
  readonly #definitions: readonly string[];

  private constructor(cluster: Cluster, programs: string, definitions: readonly string[]) {
    this.cluster = cluster;
    this.programs = programs;
    this.#definitions = definitions;
  }

  /** Resolves when everything is there, with nothing in the cluster. */
  static async start(): Promise<DocsWorld> {
    const programs = mkdtempSync(join(tmpdir(), "malla-docs-programs-"));
    if (needObstacle(CERT_MANAGER) === null) await certManagerFolder();
    const cluster = await Cluster.start(testClusterName("docs"), { nodes: 2 });
    try {
      if (!cluster.isLocal) await refuseInhabited(cluster);
      symlinkSync(`${TOP}dist/malla`, join(programs, "malla"));
      symlinkSync(await helmProgram(), join(programs, "helm"));
      const words = cluster.kubectlCommand.slice(0, -2).map((word) => `'${word}'`).join(" ");
      writeFileSync(join(programs, "kubectl"), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
      await loadMalla(cluster, `docker.io/malla/malla:${VERSION}`);
      await loadNginx(cluster);
      return new DocsWorld(cluster, programs, await definitionsIn(cluster));
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
        if (needObstacle(CERT_MANAGER) === null) await startCertManager(this.cluster);
        return await this.#install();
      default:
        return await this.#install();
    }
  }

  async stop(): Promise<void> {
    rmSync(this.programs, { recursive: true });
    if (!this.cluster.isLocal) await this.#leave();
    await this.cluster.stop();
  }

  /** Takes back what the pages have made, however far they came. */
  async #leave(): Promise<void> {
    const { cluster } = this;
    for (const namespace of [CONTROL_NAMESPACE, LINKERD]) {
      const { code, stdout } = await malla(cluster, ["uninstall", "--force", "-L", namespace]);
      if (code !== 0) continue;
      await cluster.kubectl(["delete", "--ignore-not-found", "-f", "-"], { input: stdout });
    }
    await cluster.kubectl(["delete", "namespace", "--ignore-not-found", ...NAMESPACES]);
    // Nothing of Malla's removes these, since all their objects would go with them.
    const brought = (await definitionsIn(cluster))
      .filter((name) => !this.#definitions.includes(name));
    if (brought.length > 0) await cluster.kubectl(["delete", ...brought]);
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

/** Somebody's namespaces of these names would be taken for the pages', and deleted. */
async function refuseInhabited(cluster: Cluster): Promise<void> {
  const found = await namesOf(cluster, ["namespace", "--ignore-not-found", ...NAMESPACES]);
  if (found.length === 0) return;
  throw new Error(`Cannot follow pages in a cluster that has ${found.join(", ")} already`);
}

async function definitionsIn(cluster: Cluster): Promise<readonly string[]> {
  return await namesOf(cluster, ["crd", "-l", "app.kubernetes.io/part-of=malla"]);
}

/** The names of what `kubectl get` finds by these words. */
async function namesOf(cluster: Cluster, words: readonly string[]): Promise<readonly string[]> {
  const text = await cluster.kubectl(["get", "-o", "name", ...words]);
  return text.split("\n").filter((name) => name !== "");
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
