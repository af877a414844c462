/** `bun run image` as it is called: the same bytes each time, and for Docker a tree of the same files. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { gunzipSync } from "node:zlib";
import { untar } from "../../test/support/tar.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
/** Stands in for Malla, which these tests need not have built. */
const PROGRAM = "/usr/bin/env";
/** Two archives are made and compressed; other work may go on beside. */
const LONG_MS = 60_000;
const ANYWHERE = { TZ: "Asia/Tokyo", LC_ALL: "C", HOME: "/nowhere", SOURCE_DATE_EPOCH: "1" };

const isDebian = existsSync("/var/lib/dpkg") && existsSync("/usr/sbin/xtables-nft-multi");
if (!isDebian) console.warn("skipped: making the image: it needs Debian with iptables");

describe.skipIf(!isDebian)("the image, made", () => {
  const home = mkdtempSync(`${tmpdir()}/malla-image-`);

  beforeAll(() => {
    symlinkSync(PROGRAM, `${home}/malla`);
    writeFileSync(`${home}/malla.meta.json`, JSON.stringify({ inputs: { "cmd/malla.ts": {} } }));
    made(["--output", `${home}/one.tar`]);
  }, LONG_MS);
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  /** Runs it with another umask than usual, from another folder. */
  function image(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const words = [process.execPath, MAIN, "--executable", `${home}/malla`, ...args];
    return spawnSync("sh", ["-c", 'umask 077 && exec "$@"', "sh", ...words], {
      cwd: "/",
      encoding: "utf8",
      env: { ...process.env, ...env },
    });
  }

  function made(args: readonly string[], env?: Readonly<Record<string, string>>): void {
    const { status, stderr } = image(args, env);
    expect([status, stderr]).toEqual([0, ""]);
  }

  /** A `dpkg` that knows of one more file of iptables; the folder to find it in. */
  function dpkgThatLists(name: string, path: string): string {
    const folder = `${home}/${name}`;
    const real = Bun.which("dpkg");
    mkdirSync(folder);
    const more = `case "$*" in "-L iptables") echo ${path};; esac`;
    writeFileSync(`${folder}/dpkg`, `#!/bin/sh\n${real} "$@" || exit\n${more}\n`);
    chmodSync(`${folder}/dpkg`, 0o755);
    return `${folder}:${process.env["PATH"]}`;
  }

  test("twice has the same bytes, whoever makes it, where and when", () => {
    made(["--output", `${home}/two.tar`], ANYWHERE);
    const digest = (name: string) =>
      createHash("sha256").update(readFileSync(`${home}/${name}`)).digest("hex");
    expect(digest("two.tar")).toBe(digest("one.tar"));
    expect(digest("two.spdx.json")).toBe(digest("one.spdx.json"));
  }, LONG_MS);

  test("as Docker makes it has the same files, where Debian has no manuals", async () => {
    const PATH = dpkgThatLists("slim", "/usr/share/man/man8/nowhere.8.gz");
    made(["--tree", `${home}/made/image`], { PATH });
    const files = new Map<string, string>();
    for (const layer of await layersOf(readFileSync(`${home}/one.tar`))) {
      for (const { name, type, mode = 0, linkname, bytes } of await untar(layer)) {
        const path = `/${name.replace(/\/$/, "")}`;
        files.set(path, fileText(`${type}`, mode, linkname ?? "", bytes));
      }
    }
    expect(files.size).toBeGreaterThan(100);
    expect(treeOf(`${home}/made/image`)).toEqual(files);
  }, LONG_MS);

  test("is not made where a file is missing that is needed", () => {
    const path = "/usr/sbin/iptables-nft-nowhere";
    const { status, stderr } = image(["--tree", `${home}/never`], {
      PATH: dpkgThatLists("broken", path),
    });
    expect(status).not.toBe(0);
    expect(stderr).toContain(path);
    expect(existsSync(`${home}/never`)).toBe(false);
  });
});

/** The uncompressed layers of an archive, the lowest first. */
async function layersOf(archive: Uint8Array): Promise<Uint8Array[]> {
  const blobs = new Map((await untar(archive)).map(({ name, bytes }) => [name, bytes]));
  const blob = (name: string) => blobs.get(name) ?? new Uint8Array();
  const [{ Layers }] = JSON.parse(Buffer.from(blob("manifest.json")).toString()) as [
    { readonly Layers: readonly string[] },
  ];
  return Layers.map((name) => gunzipSync(blob(name)));
}

/** Every path below a folder, with what is there. */
function treeOf(top: string, folder = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(`${top}${folder}`)) {
    const path = `${folder}/${name}`;
    const at = `${top}${path}`;
    const stat = lstatSync(at);
    const mode = stat.mode & 0o7777;
    if (stat.isSymbolicLink()) found.set(path, fileText("symlink", mode, readlinkSync(at)));
    else if (stat.isDirectory()) {
      found.set(path, fileText("directory", mode));
      for (const [inside, text] of treeOf(top, path)) found.set(inside, text);
    } else found.set(path, fileText("file", mode, "", readFileSync(at)));
  }
  return found;
}

function fileText(
  type: string,
  mode: number,
  target = "",
  bytes: Uint8Array = Buffer.of(),
): string {
  const digest = createHash("sha256").update(bytes).digest("hex");
  return `${type} ${mode.toString(8)} ${target} ${digest}`;
}
