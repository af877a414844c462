/**
 * cert-manager in a cluster: the controllers that its module has for Certificates of a CA. Its webhook,
 * which only refuses or completes what is applied, and its cainjector are not there.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { goBuild, goSource, requiredVersion, sourceDigest } from "./build.ts";
import { type Made, madeFolder, makeOnce } from "../support/cache.ts";
import type { Cluster } from "./cluster.ts";
import { runCommand } from "../support/command.ts";
import { loadProgramImage } from "./mesh-world.ts";

const NAME = "cert-manager";
const MODULE = "github.com/cert-manager/cert-manager";
const IMAGE = "malla.test/cert-manager:1";
const DEFINITIONS = "crds.yaml";
const PATH = `/usr/bin/${NAME}`;

/** Why it cannot be had here, or null. */
export function certManagerObstacle(): string | null {
  if (existsSync(madeFolder(made())) || Bun.which("go") !== null) return null;
  return "cert-manager needs go in PATH";
}

/** Resolves to the folder with the program and its definitions; builds it first where it is not yet. */
export async function certManagerFolder(): Promise<string> {
  return await makeOnce(made(), async (draft) => {
    await goBuild(NAME, draft);
    const list = ["go", "-C", goSource(NAME), "list", "-m", "-f", "{{.Dir}}", MODULE];
    const { code, stdout, stderr } = await runCommand(list);
    if (code !== 0) throw new Error(`Cannot find ${MODULE}: ${stderr}`);
    const crds = `${stdout.trim()}/deploy/crds`;
    const files = readdirSync(crds).filter((file) => file.endsWith(".yaml"));
    const texts = files.map((file) => readFileSync(`${crds}/${file}`, "utf8"));
    writeFileSync(`${draft}/${DEFINITIONS}`, texts.join("\n"));
  });
}

/** Starts it; resolves when it runs. It ends with the cluster. */
export async function startCertManager(cluster: Cluster): Promise<void> {
  const folder = await certManagerFolder();
  const content = readFileSync(`${folder}/${NAME}`);
  const entries = [{ kind: "file", path: PATH, content, mode: 0o755 }] as const;
  await loadProgramImage(cluster, { name: IMAGE, programs: [], entries, entrypoint: [PATH] });
  await cluster.apply(readFileSync(`${folder}/${DEFINITIONS}`, "utf8"));
  await cluster.kubectl(["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"]);
  await cluster.apply(certManagerObjects());
  await cluster.rollout(NAME, `deployment/${NAME}`);
}

function made(): Made {
  return { kind: NAME, key: `${requiredVersion(NAME, MODULE)}-${sourceDigest([NAME])}` };
}

function certManagerObjects(): unknown[] {
  const metadata = { name: NAME, namespace: NAME };
  const labels = { app: NAME };
  const group = "rbac.authorization.k8s.io";
  const spec = { serviceAccountName: NAME, containers: [{ name: NAME, image: IMAGE }] };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: NAME } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    {
      apiVersion: `${group}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: NAME },
      roleRef: { apiGroup: group, kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ kind: "ServiceAccount", ...metadata }],
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
  ];
}
