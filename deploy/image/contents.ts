/**
 * What is in Malla's image: three layers, so that an upgrade of Malla moves only the last of them.
 *
 *     glibc, certificates, users     what the executable needs to run, and no shell
 *     iptables, both variants        for `malla init`, which alone runs as root
 *     the executable and its SBOM
 */

import { readFileSync } from "node:fs";
import {
  copyrightEntry,
  ownersOf,
  packageFiles,
  packageOf,
  pathEntries,
  sharedObjects,
  withoutRepeats,
} from "./debian.ts";
import type { ImageConfig } from "./archive.ts";
import type { Entry, Layer } from "./layer.ts";
import { type NpmPackage, sbomJson } from "./sbom.ts";

/** The user of everything but `malla init`: the proxy's, whom the redirect exempts. */
const MALLA_ID = 2102;
const NOBODY_ID = 65_534;
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const EXECUTABLE = "/usr/bin/malla";
/** What is in the image beside itself, for scanners. */
const SBOM = "/usr/share/malla/sbom.spdx.json";
/** Links of Debian's file system, without which no program finds its loader. */
const MERGED = ["bin", "lib", "lib64", "sbin"];
/** What `malla init` needs of iptables: its programs, and its modules for both versions of IP. */
const FIREWALL_FILES =
  /^\/usr\/sbin\/(?:xtables|ip6?tables)-(?:nft|legacy)|\/xtables\/lib(?:xt|ip6?t)_/;

/** What goes into an image. */
export interface ImageInputs {
  /** The built executable's path. */
  readonly executable: string;
  readonly version: string;
  /** The commit that it was built from; empty where that is not known. */
  readonly commit: string;
  /** The runtime inside of the executable. */
  readonly bunVersion: string;
  readonly npm: readonly NpmPackage[];
}

/** The layers, and the SBOM that is in the last of them. */
export interface ImageContents {
  readonly layers: readonly Layer[];
  readonly sbom: string;
}

/** Collects the image's contents from this machine. Throws when it is no Debian. */
export function imageContents(inputs: ImageInputs): ImageContents {
  const base = baseEntries(inputs.executable);
  const taken = new Set(base.map(({ path }) => path));
  const firewall = firewallEntries().filter(({ path }) => !taken.has(path));
  const below = [...packagesOf(base), "ca-certificates"];
  const above = packagesOf(firewall).filter((name) => !below.includes(name));
  const sbom = sbomJson({ ...inputs, debian: [...below, ...above].toSorted().map(packageOf) });
  return {
    sbom,
    layers: [
      { comment: "glibc, certificates, users", entries: [...base, ...below.map(copyrightEntry)] },
      {
        comment: "iptables for malla init",
        entries: [...firewall, ...above.map(copyrightEntry)],
      },
      {
        comment: `malla ${inputs.version}`,
        entries: [
          {
            kind: "file",
            path: EXECUTABLE,
            content: readFileSync(inputs.executable),
            mode: 0o755,
          },
          { kind: "file", path: SBOM, content: sbom },
        ],
      },
    ],
  };
}

/** How containers of the image start. */
export function imageConfig({ version, commit }: ImageInputs): ImageConfig {
  return {
    user: `${MALLA_ID}:${MALLA_ID}`,
    env: ["PATH=/usr/bin:/usr/sbin"],
    entrypoint: [EXECUTABLE],
    labels: {
      "org.opencontainers.image.title": "Malla",
      "org.opencontainers.image.description": "A service mesh in one executable",
      "org.opencontainers.image.licenses": "Apache-2.0",
      "org.opencontainers.image.version": version,
      ...(commit === "" ? {} : { "org.opencontainers.image.revision": commit }),
    },
  };
}

function baseEntries(executable: string): Entry[] {
  return withoutRepeats([
    ...MERGED.map((name): Entry => ({ kind: "link", path: `/${name}`, target: `usr/${name}` })),
    ...["bin", "lib", "lib64", "sbin"].map((name): Entry => ({
      kind: "folder",
      path: `/usr/${name}`,
    })),
    ...sharedObjects([executable]).flatMap(pathEntries),
    { kind: "file", path: CERTIFICATES, content: certificates() },
    { kind: "file", path: "/etc/passwd", content: passwd() },
    { kind: "file", path: "/etc/group", content: group() },
    { kind: "file", path: "/etc/nsswitch.conf", content: "passwd: files\nhosts: files dns\n" },
    { kind: "file", path: "/etc/os-release", content: readFileSync("/usr/lib/os-release") },
    { kind: "folder", path: "/run" },
    { kind: "folder", path: "/tmp", mode: 0o1777 },
  ]);
}

/** Both variants of iptables under all their names; the plain name is the nft variant, as in Debian. */
function firewallEntries(): Entry[] {
  const files = packageFiles("iptables", FIREWALL_FILES);
  const plain = ["iptables", "ip6tables"].flatMap((name) =>
    ["", "-save", "-restore"].map((suffix): Entry => ({
      kind: "link",
      path: `/usr/sbin/${name}${suffix}`,
      target: "xtables-nft-multi",
    }))
  );
  const objects = files.filter((path) => path.endsWith(".so") || path.endsWith("-multi"));
  return withoutRepeats([
    ...files.flatMap(pathEntries),
    ...sharedObjects(objects).flatMap(pathEntries),
    ...plain,
  ]);
}

/** The packages that entries are from, sorted. Files that are made here have none. */
function packagesOf(entries: readonly Entry[]): string[] {
  const files = entries.filter(({ kind, path }) => kind === "file" && path.startsWith("/usr/"));
  return ownersOf([...files.map(({ path }) => path)]);
}

/** The authorities that Debian trusts; what this machine's owner added to them stays here. */
function certificates(): string {
  return packageFiles("ca-certificates", /^\/usr\/share\/.*\.crt$/)
    .toSorted().map((path) => readFileSync(path, "utf8").trim() + "\n").join("");
}

function passwd(): string {
  return [
    "root:x:0:0:root:/:/usr/sbin/nologin",
    `malla:x:${MALLA_ID}:${MALLA_ID}:malla:/:/usr/sbin/nologin`,
    `nobody:x:${NOBODY_ID}:${NOBODY_ID}:nobody:/:/usr/sbin/nologin`,
  ].map((line) => `${line}\n`).join("");
}

function group(): string {
  return `root:x:0:\nmalla:x:${MALLA_ID}:\nnogroup:x:${NOBODY_ID}:\n`;
}
