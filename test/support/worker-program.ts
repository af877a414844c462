/**
 * A program that starts itself in a thread, for the tests of `lib/host/worker.ts`. The thread answers
 * each message with its own words and the message, and ends by itself when it is told to.
 */

import { isMainThread } from "node:worker_threads";
import { parentThread, startWorker } from "../../lib/host/worker.ts";

if (isMainThread) main();
else setTimeout(() => thread(process.argv.slice(2)), 50);

function main(): void {
  const [how = ""] = process.argv.slice(2);
  const worker = startWorker<string, string>(["one", "two"], {
    message(text) {
      console.log(text);
      if (how === "stop" && text.includes("second")) {
        worker.stop();
        // Nothing may be told of the end that we made.
        setTimeout(() => process.exit(0), 100);
      }
    },
    ended(reason) {
      console.log(`ended: ${reason}`);
      process.exit(0);
    },
  });
  // Before the thread is there to take them.
  for (const text of ["first", "second"]) worker.post(text);
  if (how !== "stop") worker.post(how);
}

function thread(words: readonly string[]): void {
  const parent = parentThread<string, string>();
  parent.take((text) => {
    if (text === "throw") throw new Error("this thread is broken");
    if (text === "exit") process.exit(3);
    parent.post(`${words.join(" ")}: ${text}`);
  });
}
