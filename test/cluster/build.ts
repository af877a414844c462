/**
 * Builds the programs of a cluster from their Go modules, once per machine: the result lies in the
 * cache under a name that holds its versions and a digest of everything that went into it.
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { cacheFolder } from "./cache.ts";
import { withLock } from "./lock.ts";

/** The programs, each the path of one static executable. */
export interface Programs {
  readonly folder: string;
  /** All parts of Kubernetes, kubectl and etcd; the first argument picks one. */
  readonly kubernetes: string;
  readonly coredns: string;
  readonly pause: string;
}

const SOURCES = new URL("go", import.meta.url).pathname;
const NAMES = ["pause", "kubernetes", "coredns"] as const;
/** Raised when the build commands below change in a way that changes what they make. */
const RECIPE = "1";
/** What no checkout has asked for in this time is removed: some 200 MB each. */
const UNUSED_MS = 14 * 24 * 3_600_000;

/** Resolves to the programs; builds them first when this machine has not yet (some 12 CPU minutes). */
export async function buildPrograms(say: (text: string) => void): Promise<Programs> {
  const folder = `${cacheFolder("programs")}/${cacheKey()}`;
  await withLock(`${cacheFolder("programs")}/lock`, async () => {
    if (!existsSync(folder)) await build(folder, say);
    const now = new Date();
    utimesSync(folder, now, now);
    removeUnused(cacheFolder("programs"), now.getTime());
  });
  return programsIn(folder);
}

/** The programs where they are built already, else undefined. */
export function builtPrograms(): Programs | undefined {
  const folder = `${cacheFolder("programs")}/${cacheKey()}`;
  return existsSync(folder) ? programsIn(folder) : undefined;
}

/** The version of Kubernetes, as its module is required. */
export function kubernetesVersion(): string {
  const required = /^\s*k8s\.io\/kubernetes (v\S+)/m;
  const version = required.exec(readFileSync(`${SOURCES}/kubernetes/go.mod`, "utf8"))?.[1];
  if (version === undefined) throw new Error("go.mod requires no k8s.io/kubernetes");
  return version;
}

function programsIn(folder: string): Programs {
  const [pause, kubernetes, coredns] = NAMES.map((name) => `${folder}/${name}`) as [
    string,
    string,
    string,
  ];
  return { folder, kubernetes, coredns, pause };
}

function cacheKey(): string {
  const hash = createHash("sha256").update(`${RECIPE} ${process.arch}`);
  for (const name of NAMES) {
    for (const file of readdirSync(`${SOURCES}/${name}`).toSorted()) {
      hash.update(`\0${name}/${file}\0`).update(readFileSync(`${SOURCES}/${name}/${file}`));
    }
  }
  return `kubernetes-${kubernetesVersion()}-${hash.digest("hex").slice(0, 12)}`;
}

async function build(folder: string, say: (text: string) => void): Promise<void> {
  if (Bun.which("go") === null) {
    throw new Error("Cannot build Kubernetes: there is no Go compiler (`go`) on PATH");
  }
  const draft = mkdtempSync(`${folder}.draft-`);
  try {
    for (const name of NAMES) {
      say(`building ${name}`);
      await goBuild(`${SOURCES}/${name}`, `${draft}/${name}`, name === "kubernetes");
    }
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function goBuild(source: string, target: string, isKubernetes: boolean): Promise<void> {
  const flags = ["-s", "-w", ...(isKubernetes ? versionFlags() : [])].join(" ");
  const words = ["build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", target, "."];
  return new Promise((resolve, reject) => {
    // Others work on this machine too, and nobody waits for this but who asked for it.
    const child = spawn("nice", ["-n", "19", "go", ...words], {
      cwd: source,
      env: { ...process.env, CGO_ENABLED: "0", GOWORK: "off" },
      stdio: ["ignore", "inherit", "inherit"],
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`go build in ${source} failed with ${code}`));
    });
  });
}

/** The parts compare their versions with each other; a build without these says v0.0.0. */
function versionFlags(): string[] {
  const version = kubernetesVersion();
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const values = [`gitVersion=${version}`, `gitMajor=${major}`, `gitMinor=${minor}`];
  return ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
    .flatMap((path) => values.map((value) => `-X ${path}.${value}`));
}

function removeUnused(folder: string, nowMs: number): void {
  for (const name of readdirSync(folder)) {
    const path = `${folder}/${name}`;
    if (name !== "lock" && nowMs - statSync(path).mtimeMs > UNUSED_MS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}
