/** Files on a real folder: faults by their code, whole writes, and news of changes. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../base/fault.ts";
import {
  listFolder,
  readText,
  removeFile,
  statPath,
  watchFolder,
  writeTextAtomic,
} from "./files.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "malla-host-files-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (thrown) {
    return thrown instanceof Fault ? thrown.code : "foreign";
  }
}

test("what is missing or no file has its code and a message without a stack", async () => {
  await writeFile(join(folder, "file"), "text");
  expect(await codeOf(readText(join(folder, "none")))).toBe("not_found");
  expect(await codeOf(readText(folder))).toBe("permission_denied");
  expect(await codeOf(readText(join(folder, "file/below")))).toBe("not_found");
  expect(await codeOf(listFolder(join(folder, "none")))).toBe("not_found");
  expect(await codeOf(writeTextAtomic(join(folder, "file/below"), ""))).not.toBe("none");
  expect(() => watchFolder(join(folder, "none"), () => {})).toThrow("no such file or folder");
  await expect(readText(join(folder, "none"))).rejects.toThrow(
    `Cannot read "${join(folder, "none")}": no such file or folder`,
  );
});

test("a write makes its folder, sets the mode and leaves nothing beside the file", async () => {
  const path = join(folder, "a/b/file");
  await writeTextAtomic(path, "one", 0o600);
  await writeTextAtomic(path, "two", 0o640);
  expect(await readText(path)).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o640);
  expect(await readdir(join(folder, "a/b"))).toEqual(["file"]);
});

test("writes at once never mix: the file is one of them", async () => {
  const path = join(folder, "file");
  const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
  await Promise.all(texts.map((text) => writeTextAtomic(path, text)));
  expect(texts).toContain(await readText(path));
  expect(await listFolder(folder)).toEqual(["file"]);
});

test("the version tells a change even of the same size", async () => {
  const path = join(folder, "file");
  expect(await statPath(path)).toBeUndefined();
  await writeTextAtomic(path, "one");
  const before = await statPath(path);
  expect(before).toMatchObject({ kind: "file", size: 3 });
  await writeTextAtomic(path, "two");
  expect((await statPath(path))?.version).not.toBe(before?.version ?? "");
  expect((await statPath(folder))?.kind).toBe("directory");
  await removeFile(path);
  await removeFile(path);
  expect(await statPath(path)).toBeUndefined();
});

test("a watch names what changed until it ends", async () => {
  const seen = new Set<string | null>();
  let wake = (): void => {};
  const end = watchFolder(folder, (name) => {
    seen.add(name);
    wake();
  });
  const until = async (name: string): Promise<void> => {
    while (!seen.has(name)) await new Promise<void>((resolve) => void (wake = resolve));
  };
  await writeTextAtomic(join(folder, "one"), "");
  await until("one");
  end();
  // A second watch tells when the system has told of the change at all.
  const endSecond = watchFolder(folder, (name) => {
    seen.add(`second ${name}`);
    wake();
  });
  await writeTextAtomic(join(folder, "two"), "");
  await until("second two");
  endSecond();
  expect(seen.has("two")).toBe(false);
});
