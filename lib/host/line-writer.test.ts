/** Lines through a real pipe, whose reader takes its time. */

import { afterEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLineWriter } from "./line-writer.ts";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((end) => end()));

/** A pipe's two ends; both without waiting. */
function pipe(): { readonly writes: number; readonly read: () => string } {
  const folder = mkdtempSync(`${tmpdir()}/malla-lines-`);
  const path = `${folder}/pipe`;
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
  const reads = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writes = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  cleanups.push(() => {
    closeSync(reads);
    closeSync(writes);
    rmSync(folder, { recursive: true });
  });
  const chunk = Buffer.alloc(65_536);
  return {
    writes,
    read() {
      try {
        return chunk.toString("latin1", 0, readSync(reads, chunk));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === "EAGAIN") return "";
        throw thrown;
      }
    },
  };
}

test("a reader that does not read makes nobody wait; lines that were taken come whole", async () => {
  const { writes, read } = pipe();
  const lines = createLineWriter(writes, 200_000);
  let taken = 0;
  // More than the pipe (64 KiB) and the bound hold together.
  while (lines.write(`${String(taken).padStart(999, "x")}\n`)) taken++;
  expect(taken).toBe(200);
  const flushed = lines.flushed();
  let text = "";
  let isFlushed = false;
  flushed.then(() => isFlushed = true);
  while (!isFlushed) {
    text += read();
    await Bun.sleep(1);
  }
  text += read();
  const got = text.trimEnd().split("\n");
  expect(got.length).toBe(taken);
  expect(got.every((line, index) => line === String(index).padStart(999, "x"))).toBe(true);
  // There is room again.
  expect(lines.write("more\n")).toBe(true);
  await lines.flushed();
  expect(read()).toBe("more\n");
});

test("a reader that has gone is no fault", async () => {
  const lines = createLineWriter(1_000_000, 100);
  expect(lines.write("nobody reads this\n")).toBe(true);
  await lines.flushed();
  expect(lines.write("nor this\n")).toBe(true);
  await lines.flushed();
});
