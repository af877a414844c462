/**
 * Builds programs from their Go modules, once per machine: the result lies in the cache under a name
 * that holds its versions and a digest of everything that went into it. A cluster's own are here.
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type Made, madeFolder, makeOnce } from "../support/cache.ts";

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

/** Resolves to the programs; builds them first when this machine has not yet (some 12 CPU minutes). */
export async function buildPrograms(say: (text: string) => void): Promise<Programs> {
  const folder = await makeOnce(programsMade(), async (draft) => {
    for (const name of NAMES) {
      say(`building ${name}`);
      await goBuild(name, draft, name === "kubernetes" ? versionFlags() : []);
    }
  });
  return programsIn(folder);
}

/** The programs where they are built already, else undefined. */
export function builtPrograms(): Programs | undefined {
  const folder = madeFolder(programsMade());
  return existsSync(folder) ? programsIn(folder) : undefined;
}

/** The version of Kubernetes, as its module is required. */
export function kubernetesVersion(): string {
  return requiredVersion("kubernetes", "k8s.io/kubernetes");
}

/** Where the sources of one of our programs are. */
export function goSource(name: string): string {
  return `${SOURCES}/${name}`;
}

/** The version in which one of our programs requires a module. */
export function requiredVersion(name: string, module: string): string {
  const required = new RegExp(String.raw`^(?:require)?\s*${RegExp.escape(module)} (v\S+)`, "m");
  const version = required.exec(readFileSync(`${goSource(name)}/go.mod`, "utf8"))?.[1];
  if (version === undefined) throw new Error(`go.mod requires no ${module}`);
  return version;
}

/** Differs with the sources of these programs and what is made of them. */
export function sourceDigest(names: readonly string[]): string {
  const hash = createHash("sha256").update(`${RECIPE} ${process.arch}`);
  for (const name of names) {
    for (const file of readdirSync(goSource(name)).toSorted()) {
      hash.update(`\0${name}/${file}\0`).update(readFileSync(`${goSource(name)}/${file}`));
    }
  }
  return hash.digest("hex").slice(0, 12);
}

/** Builds one of our programs into a folder; `linkerFlags` are those that only it has. */
export function goBuild(
  name: string,
  folder: string,
  linkerFlags: readonly string[] = [],
): Promise<void> {
  if (Bun.which("go") === null) {
    throw new Error(`Cannot build ${name}: there is no Go compiler (\`go\`) on PATH`);
  }
  const flags = ["-s", "-w", ...linkerFlags].join(" ");
  const target = `${folder}/${name}`;
  const words = ["build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", target, "."];
  return new Promise((resolve, reject) => {
    // Others work on this machine too, and nobody waits for this but who asked for it.
    const child = spawn("nice", ["-n", "19", "go", ...words], {
      cwd: goSource(name),
      env: { ...process.env, CGO_ENABLED: "0", GOWORK: "off" },
      stdio: ["ignore", "inherit", "inherit"],
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`go build of ${name} failed with ${code}`));
    });
  });
}

function programsIn(folder: string): Programs {
  const [pause, kubernetes, coredns] = NAMES.map((name) => `${folder}/${name}`) as [
    string,
    string,
    string,
  ];
  return { folder, kubernetes, coredns, pause };
}

function programsMade(): Made {
  return { kind: "programs", key: `kubernetes-${kubernetesVersion()}-${sourceDigest(NAMES)}` };
}

/** The parts compare their versions with each other; a build without these says v0.0.0. */
function versionFlags(): string[] {
  const version = kubernetesVersion();
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const values = [`gitVersion=${version}`, `gitMajor=${major}`, `gitMinor=${minor}`];
  return ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
    .flatMap((path) => values.map((value) => `-X ${path}.${value}`));
}
