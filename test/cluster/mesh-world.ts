/** A cluster with Malla's control plane in it and programs for applications, for tests of the mesh. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../support/command.ts";
import { Cluster } from "./cluster.ts";
import { installMalla } from "./control-plane.ts";
import type { Entry } from "../../deploy/image/layer.ts";
import { type ProgramImage, writeProgramImage } from "./images.ts";
import { clusterObstacle } from "./requirements.ts";

const TOP = new URL("../..", import.meta.url).pathname;

/** The image under test. */
export const MALLA_IMAGE = "malla.test/malla:1";
/** Foreign programs: nginx, curl and wrk, beside a shell. */
export const APPS_IMAGE = "malla.test/apps:1";

const PROGRAMS = ["nginx", "curl", "wrk"];

/** Why there can be no such world here, or null. */
export function meshObstacle(): string | null {
  const missing = PROGRAMS.filter((program) => Bun.which(program) === null);
  if (!existsSync(`${TOP}dist/malla`)) return "the executable is not built: bun run build";
  if (missing.length > 0) return `clusters with applications need ${missing.join(", ")}`;
  return clusterObstacle();
}

/** What a world is made of, where it is not what most tests need. */
export interface WorldOptions {
  /** More programs in the image of applications, by their names or paths. */
  readonly programs?: readonly string[];
  /** More files in it. */
  readonly entries?: readonly Entry[];
  /** Another executable than the one under test, in the image and to install it. */
  readonly executable?: string;
  /** Whether the cluster has IPv6 beside IPv4, and the mesh carries both. Default: false. */
  readonly dualStack?: boolean;
  /** Flags of the installation. */
  readonly install?: readonly string[];
  /** What is done in the cluster before that. */
  readonly prepare?: (cluster: Cluster) => Promise<void>;
}

/** Starts a cluster and brings the images and the control plane into it; resolves when it is ready. */
export async function startMeshWorld(
  name: string,
  nodes = 1,
  options: WorldOptions = {},
): Promise<Cluster> {
  const cluster = await Cluster.start(name, { nodes, dualStack: options.dualStack ?? false });
  try {
    await loadMalla(cluster, MALLA_IMAGE, options.executable);
    await loadProgramImage(cluster, {
      name: APPS_IMAGE,
      programs: [...PROGRAMS, ...options.programs ?? []],
      entries: options.entries ?? [],
      entrypoint: ["sh"],
      // As nginx's own image has it: its other signal cuts requests that it has begun.
      stopSignal: "SIGQUIT",
    });
    const { executable, install = [], prepare } = options;
    await prepare?.(cluster);
    await installMalla(cluster, MALLA_IMAGE, {
      args: [...options.dualStack ? ["--disable-ipv6=false"] : [], ...install],
      ...executable === undefined ? {} : { command: [executable] },
    });
    return cluster;
  } catch (cause) {
    await cluster.stop();
    throw cause;
  }
}

/** Makes an image of programs of this machine and brings it into the cluster. */
export async function loadProgramImage(cluster: Cluster, image: ProgramImage): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "malla-programs-"));
  try {
    const archive = join(folder, "image.tar");
    await writeProgramImage(archive, image);
    await cluster.loadImage(archive);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Makes the image of an executable (default: the one under test) and brings it into the cluster. */
export async function loadMalla(
  cluster: Cluster,
  image: string,
  executable = `${TOP}dist/malla`,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "malla-image-"));
  try {
    const archive = join(folder, "malla.tar");
    const made = await runCommand([
      ...[process.execPath, `${TOP}deploy/image/main.ts`],
      ...["--name", image, "--output", archive, "--executable", executable],
    ]);
    if (made.code !== 0) throw new Error(`Cannot make the image: ${made.stderr}`);
    await cluster.loadImage(archive);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
