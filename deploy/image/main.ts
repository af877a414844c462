/**
 * `bun run image`: writes Malla's image as one archive, without a Docker daemon. The executable must be
 * built before. `--tree FOLDER` lays out the same files in a folder, which the Dockerfile uses.
 */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { VERSION } from "../../lib/base/version.ts";
import { imageArchive } from "./archive.ts";
import { imageConfig, imageContents, type ImageInputs } from "./contents.ts";
import { type Layer, withParents } from "./layer.ts";
import { npmPackages } from "./sbom.ts";

const TOP = new URL("../..", import.meta.url).pathname;
const USAGE = `Usage: bun run image [--name NAME:TAG] [--output FILE] [--executable FILE]
       bun run image --tree FOLDER
`;

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      name: { type: "string", default: `malla/malla:${VERSION}` },
      output: { type: "string", default: `${TOP}dist/malla-image.tar` },
      executable: { type: "string", default: `${TOP}dist/malla` },
      tree: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (!existsSync(values.executable)) {
    process.stderr.write(`image: there is no ${values.executable}; run "bun run build" before\n`);
    return 1;
  }
  const inputs = inputsOf(values.executable);
  const { layers, sbom } = imageContents(inputs);
  if (values.tree !== undefined) {
    layTree(values.tree, layers);
    return 0;
  }
  const { name, output } = values;
  const { archive, digest } = await imageArchive({ name, config: imageConfig(inputs), layers });
  writeFileSync(output, archive);
  writeFileSync(`${output.replace(/\.tar$/, "")}.spdx.json`, sbom);
  process.stdout.write(`${output}: ${name} ${digest}, ${(archive.length / 1e6).toFixed(1)} MB\n`);
  return 0;
}

/** What this checkout says of the executable. */
function inputsOf(executable: string): ImageInputs {
  const read = (path: string) => readFileSync(`${TOP}${path}`, "utf8");
  const { devDependencies } = JSON.parse(read("package.json")) as {
    readonly devDependencies: Readonly<Record<string, string>>;
  };
  return {
    executable,
    version: VERSION,
    commit: spawnSync("git", ["rev-parse", "HEAD"], { cwd: TOP, encoding: "utf8" }).stdout.trim(),
    bunVersion: devDependencies["bun"] ?? "",
    npm: npmPackages(readFileSync(`${executable}.meta.json`, "utf8"), read("package-lock.json")),
  };
}

/** Lays the layers one over the other in a folder. */
function layTree(folder: string, layers: readonly Layer[]): void {
  mkdirSync(folder, { recursive: true });
  const entries = layers.flatMap((layer) => layer.entries);
  for (const entry of withParents(entries)) {
    const path = `${folder}${entry.path}`;
    if (entry.kind === "link") {
      symlinkSync(entry.target, path);
      continue;
    }
    if (entry.kind === "file") writeFileSync(path, entry.content);
    else mkdirSync(path, { recursive: true });
    // Past the umask, which the other calls obey.
    chmodSync(path, entry.mode ?? (entry.kind === "file" ? 0o644 : 0o755));
  }
}
