/** Images for tests, made of programs that this machine has; no registry is asked for any of them. */

import { readFileSync, writeFileSync } from "node:fs";
import { imageArchive } from "../../deploy/image/archive.ts";
import { pathEntries, sharedObjects, withoutRepeats } from "../../deploy/image/debian.ts";
import type { Entry } from "../../deploy/image/layer.ts";
import type { Programs } from "./build.ts";
import { COREDNS_IMAGE, PAUSE_IMAGE } from "./node-files.ts";

/** An image of programs of this machine. */
export interface ProgramImage {
  readonly name: string;
  /** Their paths or names on PATH; each comes with what it loads. */
  readonly programs: readonly string[];
  readonly entrypoint: readonly string[];
  /** What tells its program to end; default: SIGTERM. */
  readonly stopSignal?: string;
  /** More files, folders and links. */
  readonly entries?: readonly Entry[];
}

const SHELL = "/bin/busybox";
/** What every image of tests has beside its programs. */
const COMMON: readonly Entry[] = [
  {
    kind: "file",
    path: "/etc/passwd",
    content: "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
  },
  { kind: "file", path: "/etc/group", content: "root:x:0:\nnogroup:x:65534:\n" },
  { kind: "file", path: "/etc/nsswitch.conf", content: "passwd: files\nhosts: files dns\n" },
  { kind: "folder", path: "/tmp", mode: 0o1777 },
  { kind: "link", path: "/bin", target: "usr/bin" },
  { kind: "link", path: "/lib", target: "usr/lib" },
  { kind: "link", path: "/lib64", target: "usr/lib64" },
  { kind: "link", path: "/sbin", target: "usr/sbin" },
];

/** Writes an archive of programs of this machine, with a shell beside them. */
export async function writeProgramImage(path: string, image: ProgramImage): Promise<void> {
  const programs = image.programs.map((program) => {
    const found = program.startsWith("/") ? program : Bun.which(program);
    if (found === null) throw new Error(`Cannot make image ${image.name}: no program "${program}"`);
    return found;
  });
  const entries = withoutRepeats([
    ...COMMON,
    { kind: "file", path: "/usr/bin/busybox", content: readFileSync(SHELL), mode: 0o755 },
    { kind: "link", path: "/usr/bin/sh", target: "busybox" },
    { kind: "link", path: "/usr/bin/sleep", target: "busybox" },
    { kind: "link", path: "/usr/bin/cat", target: "busybox" },
    ...programs.flatMap(pathEntries),
    ...sharedObjects(programs).flatMap(pathEntries),
    ...image.entries ?? [],
  ]);
  await writeArchive(path, image, entries);
}

/** Writes the images that a cluster itself needs into a folder; returns the archives' paths. */
export async function writeClusterImages(folder: string, programs: Programs): Promise<string[]> {
  const images = { [PAUSE_IMAGE]: programs.pause, [COREDNS_IMAGE]: programs.coredns };
  return await Promise.all(
    Object.entries(images).map(async ([name, program]) => {
      const file = program.slice(program.lastIndexOf("/"));
      const content = readFileSync(program);
      const path = `${folder}${file}.tar`;
      const entries = [{ kind: "file", path: file, content, mode: 0o755 }] as const;
      await writeArchive(path, { name, entrypoint: [file] }, entries);
      return path;
    }),
  );
}

async function writeArchive(
  path: string,
  { name, entrypoint, stopSignal }: Omit<ProgramImage, "programs">,
  entries: readonly Entry[],
): Promise<void> {
  const env = ["PATH=/usr/bin:/usr/sbin"];
  const { archive } = await imageArchive({
    name,
    config: { env, entrypoint, ...(stopSignal === undefined ? {} : { stopSignal }) },
    layers: [{ comment: "programs of a test machine", entries }],
    compression: "none",
  });
  writeFileSync(path, archive);
}
