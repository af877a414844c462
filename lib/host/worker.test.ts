/** Threads of a real process: messages both ways, in order and none lost, and each way to end. */

import { expect, test } from "bun:test";

const PROGRAM = new URL("../../test/support/worker-program.ts", import.meta.url).pathname;

async function outputOf(how: string): Promise<string> {
  const child = Bun.spawn([process.execPath, PROGRAM, how], { stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text;
}

test("what is posted before the thread takes messages is not lost", async () => {
  expect(await outputOf("stop")).toBe("one two: first\none two: second\n");
});

test("a thread that throws has ended with its error", async () => {
  expect(await outputOf("throw")).toEndWith("ended: this thread is broken\n");
});

test("one that exits has ended with its code", async () => {
  expect(await outputOf("exit")).toEndWith("ended: exit code 3\n");
});
