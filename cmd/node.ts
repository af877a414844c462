/**
 * `malla node`: the inner half of `malla up`, which starts it inside of the mesh's namespaces. Not for
 * people: what it is to do comes as the first line of standard input, whose end is its own end.
 */

import { totalmem } from "node:os";
import { describeError } from "../lib/base/fault.ts";
import { exitNow } from "../lib/host/process.ts";
import { runNode } from "../lib/local/node.ts";
import type { NodeSpec } from "../lib/local/mod.ts";

/** A terminal that was stopped (Ctrl-S) takes nothing for as long as its user likes. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024;

/** Runs the node until `malla up` ends it or is gone. */
export async function run(): Promise<number> {
  const spec = Promise.withResolvers<NodeSpec>();
  void readInput((line) => spec.resolve(JSON.parse(line) as NodeSpec));
  const machine = { cores: navigator.hardwareConcurrency, memoryBytes: totalmem() };
  const write = boundedWriter();
  let code = 1;
  try {
    code = await runNode(await spec.promise, write, machine);
  } catch (error) {
    write(`malla: ${describeError(error)}\n`);
  }
  // Timers and sockets are still open, and none of them is worth waiting for.
  exitNow(code);
}

/** Writes to standard output; lines that would pile up without bound are dropped, and counted. */
function boundedWriter(): (text: string) => void {
  let dropped = 0;
  return (text) => {
    if (process.stdout.writableLength > WAITING_BYTES_MAX) {
      dropped++;
      return;
    }
    if (dropped > 0) process.stdout.write(`malla: ${dropped} lines were dropped\n`);
    dropped = 0;
    process.stdout.write(text);
  };
}

async function readInput(firstLine: (line: string) => void): Promise<void> {
  let text = "";
  let found = false;
  const decoder = new TextDecoder();
  for await (const chunk of Bun.stdin.stream()) {
    if (found) continue;
    text += decoder.decode(chunk, { stream: true });
    if (!text.includes("\n")) continue;
    found = true;
    firstLine(text.slice(0, text.indexOf("\n")));
  }
  // `malla up` is gone: nobody wants this mesh any more.
  exitNow(137);
}
