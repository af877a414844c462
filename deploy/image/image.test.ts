/** Images: bytes that depend on nothing but their inputs, archives as tools expect them, the SBOM. */

import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { type TarFile, untar } from "../../test/support/tar.ts";
import { fullImageName, type Image, imageArchive } from "./archive.ts";
import { imageConfig, imageContents, type ImageInputs } from "./contents.ts";
import { type Entry, layerTar, withParents } from "./layer.ts";
import { npmPackages, sbomJson } from "./sbom.ts";

const TOP = new URL("../..", import.meta.url).pathname;

const file = (path: string, content?: string, mode?: number): Entry => ({
  kind: "file",
  path,
  content: content ?? "x",
  ...(mode === undefined ? {} : { mode }),
});

const IMAGE: Image = {
  name: "malla/malla:1.2.3",
  config: {
    user: "2102:2102",
    env: ["PATH=/usr/bin"],
    entrypoint: ["/usr/bin/malla"],
    labels: { a: "b" },
  },
  layers: [
    { comment: "one", entries: [file("/etc/passwd", "root")] },
    { comment: "two", entries: [file("/usr/bin/malla", "program", 0o755)] },
  ],
};

describe("a layer", () => {
  test("is sorted, has every folder once before what is in it, and no times", async () => {
    const entries: Entry[] = [
      file("/usr/lib/b"),
      { kind: "link", path: "/lib", target: "usr/lib" },
      file("/usr/lib/a", "x", 0o755),
      { kind: "folder", path: "/tmp", mode: 0o1777 },
    ];
    const files = await untar(await layerTar({ comment: "", entries }));
    expect(files.map(({ name }) => name.replace(/\/$/, "")))
      .toEqual(["lib", "tmp", "usr", "usr/lib", "usr/lib/a", "usr/lib/b"]);
    expect(files.map(({ mode }) => mode)).toEqual([0o777, 0o1777, 0o755, 0o755, 0o755, 0o644]);
    expect(files[0]?.linkname).toBe("usr/lib");
    expect(files.every(({ mtime }) => mtime?.getTime() === 0)).toBe(true);
  });

  test("does not depend on the order of its entries", async () => {
    const entries = [file("/b"), file("/a/c"), file("/a/b")];
    const first = await layerTar({ comment: "", entries });
    expect(await layerTar({ comment: "", entries: entries.toReversed() })).toEqual(first);
  });

  test.each(["a", "/a/", "//a", "/", ""])("refuses the path %p", (path) => {
    expect(() => withParents([file(path)])).toThrow("expected an absolute path");
  });

  test("refuses a path that comes twice", () => {
    expect(() => withParents([file("/a"), file("/a")])).toThrow("twice");
  });
});

describe("an archive", () => {
  const json = (files: readonly TarFile[], name: string) => {
    const found = files.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`the archive has no ${name}`);
    return { value: JSON.parse(Buffer.from(found.bytes).toString()), size: found.bytes.length };
  };

  test("is the same for the same image, and another for another one", async () => {
    const first = await imageArchive(IMAGE);
    const second = await imageArchive(structuredClone(IMAGE));
    expect(second.archive).toEqual(first.archive);
    const [one, two] = IMAGE.layers;
    if (one === undefined || two === undefined) throw new Error("the image has two layers");
    const other = await imageArchive({ ...IMAGE, layers: [two, one] });
    expect(other.digest).not.toBe(first.digest);
  });

  for (const compression of ["gzip", "none"] as const) {
    test(`holds an OCI layout and docker's manifest (${compression})`, async () => {
      const { archive, digest } = await imageArchive({ ...IMAGE, compression });
      const files = await untar(archive);
      for (const { name, bytes } of files.filter(({ name }) => name.startsWith("blobs/"))) {
        expect(name).toBe(`blobs/sha256/${createHash("sha256").update(bytes).digest("hex")}`);
      }
      const place = (wanted: string) => `blobs/${wanted.replace(":", "/")}`;
      const [described] = json(files, "index.json").value.manifests;
      expect(described.digest).toBe(digest);
      expect(described.annotations["io.containerd.image.name"])
        .toBe("docker.io/malla/malla:1.2.3");
      const manifest = json(files, place(digest));
      expect(manifest.size).toBe(described.size);
      const config = json(files, place(manifest.value.config.digest)).value;
      expect(config.config).toEqual({
        User: "2102:2102",
        Env: ["PATH=/usr/bin"],
        Entrypoint: ["/usr/bin/malla"],
        WorkingDir: "/",
        Labels: { a: "b" },
      });
      const [docker] = json(files, "manifest.json").value;
      expect(docker.RepoTags).toEqual(["malla/malla:1.2.3"]);
      expect(docker.Config).toBe(place(manifest.value.config.digest));
      const contents = manifest.value.layers.map(({ digest }: { digest: string }) => {
        const blob = files.find(({ name }) => name === place(digest))?.bytes ?? new Uint8Array();
        return compression === "gzip" ? gunzipSync(blob) : blob;
      });
      expect(docker.Layers).toHaveLength(2);
      expect(config.rootfs.diff_ids).toEqual(
        contents.map((content: Uint8Array) =>
          `sha256:${createHash("sha256").update(content).digest("hex")}`
        ),
      );
      expect((await untar(contents[1])).at(-1)).toMatchObject({
        name: "usr/bin/malla",
        mode: 0o755,
      });
    });
  }

  test.each([
    ["malla/malla:1", "docker.io/malla/malla:1"],
    ["nginx:1", "docker.io/library/nginx:1"],
    ["malla.test/web:1", "malla.test/web:1"],
    ["localhost/web:1", "localhost/web:1"],
    ["host:5000/web:1", "host:5000/web:1"],
  ])("%s is filed as %s", (name, full) => expect(fullImageName(name)).toBe(full));
});

describe("the bill of materials", () => {
  const lock = JSON.stringify({
    packages: {
      "": { version: "9" },
      "node_modules/@a/b": { version: "1.0.0", license: "MIT" },
      "node_modules/c": { version: "2.0.0", license: "(MIT AND ISC)" },
      "node_modules/c/node_modules/@a/b": { version: "3.0.0" },
      "node_modules/unused": { version: "4.0.0" },
    },
  });
  const metafile = (...paths: string[]) =>
    JSON.stringify({ inputs: Object.fromEntries(paths.map((path) => [path, {}])) });

  test("names what the bundler took, each version of it, and nothing else", () => {
    const taken = metafile(
      "cmd/malla.ts",
      "node_modules/@a/b/x.js",
      "node_modules/@a/b/y.js",
      "node_modules/c/z.js",
      "node_modules/c/node_modules/@a/b/x.js",
    );
    expect(npmPackages(taken, lock)).toEqual([
      { name: "@a/b", version: "1.0.0", license: "MIT" },
      { name: "c", version: "2.0.0", license: "(MIT AND ISC)" },
      { name: "@a/b", version: "3.0.0", license: "" },
    ]);
    expect(() => npmPackages(metafile("node_modules/d/x.js"), lock)).toThrow("not locked");
  });

  test("is SPDX: every part has an id of its own and is related to the whole", () => {
    const inputs = {
      version: "1.2.3",
      commit: "abc",
      bunVersion: "1.4.5",
      npm: [{ name: "@a/b", version: "1.0.0", license: "see LICENSE" }],
      debian: [{ name: "libc6", version: "2.36-9+deb12u1", architecture: "amd64" }],
    };
    const document = JSON.parse(sbomJson(inputs));
    const ids = document.packages.map(({ SPDXID }: { SPDXID: string }) => SPDXID);
    expect(new Set(ids).size).toBe(4);
    expect(ids.every((id: string) => /^SPDXRef-[A-Za-z0-9.-]+$/.test(id))).toBe(true);
    const related = document.relationships.map((one: { relatedSpdxElement: string }) =>
      one.relatedSpdxElement
    );
    expect(related.toSorted()).toEqual(ids.toSorted());
    const urls = document.packages.flatMap(({ externalRefs = [] }: {
      externalRefs?: { referenceLocator: string }[];
    }) => externalRefs.map(({ referenceLocator }) => referenceLocator));
    expect(urls).toEqual([
      "pkg:npm/bun@1.4.5",
      "pkg:npm/%40a/b@1.0.0",
      "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64",
    ]);
    expect(document.packages[2].licenseDeclared).toBe("NOASSERTION");
    expect(sbomJson(inputs)).toBe(sbomJson(structuredClone(inputs)));
    expect(sbomJson({ ...inputs, commit: "def" })).not.toBe(sbomJson(inputs));
  });
});

const INPUTS: ImageInputs = {
  executable: process.execPath,
  version: (JSON.parse(readFileSync(`${TOP}package.json`, "utf8")) as { version: string }).version,
  commit: "",
  bunVersion: "1.4.5",
  npm: [],
};

const isDebian = existsSync("/var/lib/dpkg") && existsSync("/usr/sbin/xtables-nft-multi");
if (!isDebian) console.warn("skipped: the image's contents: they need Debian with iptables");

describe.skipIf(!isDebian)("Malla's image on Debian", () => {
  const contents = isDebian ? imageContents(INPUTS) : { layers: [] };
  const paths = contents.layers.flatMap(({ entries }) => entries.map(({ path }) => path));

  test("has what programs load, certificates, users, both iptables, and no shell", () => {
    for (const name of ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"]) {
      expect(paths.some((path) => path.endsWith(`/${name}`))).toBe(true);
    }
    for (
      const path of [
        "/etc/passwd",
        "/etc/ssl/certs/ca-certificates.crt",
        "/usr/sbin/iptables-nft-restore",
        "/usr/sbin/ip6tables-legacy-save",
        "/usr/sbin/iptables",
        "/usr/share/doc/libc6/copyright",
      ]
    ) expect(paths).toContain(path);
    expect(paths.filter((path) => /bin\/(?:ba|da)?sh$|busybox/.test(path))).toEqual([]);
    expect(new Set(paths).size).toBe(paths.length);
  });

  test("every link leads to a file of the image", () => {
    const known = new Set(
      contents.layers.flatMap(({ entries }) => withParents(entries).map(({ path }) => path)),
    );
    for (const entry of contents.layers.flatMap(({ entries }) => entries)) {
      if (entry.kind !== "link") continue;
      const from = entry.target.startsWith("/") ? "/" : entry.path.replace(/[^/]*$/, "");
      const target = `${from}${entry.target}`.replace("//", "/").replace(/^\/lib\//, "/usr/lib/");
      expect(known).toContain(target);
    }
  });

  test("trusts Debian's authorities only, not what this machine's owner added", () => {
    const bundle = contents.layers.flatMap(({ entries }) => entries)
      .find(({ path }) => path === "/etc/ssl/certs/ca-certificates.crt");
    const text = bundle?.kind === "file" ? String(bundle.content) : "";
    const count = text.split("-----BEGIN CERTIFICATE-----").length - 1;
    const list = Bun.spawnSync(["dpkg", "-L", "ca-certificates"]).stdout.toString();
    expect(count).toBe(list.split("\n").filter((line) => line.endsWith(".crt")).length);
  });

  test("the Dockerfile starts it in the same way, from the same files", () => {
    const text = readFileSync(`${TOP}deploy/Dockerfile`, "utf8").replaceAll("\\\n", " ");
    const last = text.slice(text.lastIndexOf("FROM "));
    const words = (name: string) =>
      last.split("\n").filter((line) => line.startsWith(`${name} `))
        .map((line) => line.slice(name.length + 1).trim());
    const { user, env, entrypoint, labels } = imageConfig(INPUTS);
    expect(words("FROM")).toEqual(["scratch"]);
    expect(words("USER")).toEqual([user ?? ""]);
    expect(words("ENV")).toEqual([...env]);
    expect(JSON.parse(words("ENTRYPOINT").join())).toEqual([...entrypoint]);
    const given = [...words("LABEL").join(" ").matchAll(/(\S+)="([^"]*)"/g)]
      .map(([, key = "", value = ""]) => [key, value]);
    expect(Object.fromEntries(given)).toEqual({ ...labels });
    // The one tree that goes in is what `--tree` lays out, so the lists are one list.
    expect(words("COPY")).toEqual(["--from=build /image/ /"]);
    expect(text).toContain("npm run image -- --tree /image\n");
  });
});
