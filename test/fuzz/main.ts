/**
 * The fuzz tests of the decoders with other seeds, run after run, until as many are done or one fails:
 *
 *   npm run fuzz -- [--target NAME] [--runs N] [--first N]
 */

import { parseArgs } from "node:util";
import { FUZZ_RUN } from "../support/fuzz.ts";

const TOP = new URL("../..", import.meta.url).pathname;

/** Where each target is, and a word in its tests' names where there are others. */
const TARGETS: Readonly<Record<string, readonly [file: string, names: string]>> = {
  "http1": ["lib/wire/http1/fuzz.test.ts", ""],
  "http2": ["lib/wire/http2/session-fuzz.test.ts", ""],
  "hpack": ["lib/wire/http2/hpack/fuzz.test.ts", ""],
  "client-hello": ["lib/wire/tls-hello.test.ts", "mutated"],
  "transport-header": ["lib/wire/transport-header.test.ts", "mutated"],
  "certificate": ["lib/wire/x509-san.test.ts", "mutated"],
  "grpc-frame": ["lib/contract/grpc-frame.test.ts", "mutated"],
};

const { values } = parseArgs({
  options: {
    target: { type: "string", default: "" },
    runs: { type: "string", default: "10" },
    first: { type: "string", default: "1" },
  },
});
const names = values.target === "" ? Object.keys(TARGETS) : [values.target];
if (names.some((name) => TARGETS[name] === undefined)) {
  throw new Error(`there is no target ${values.target}: ${Object.keys(TARGETS).join(", ")}`);
}
const first = Number(values.first);
for (let run = first; run < first + Number(values.runs); run++) {
  for (const name of names) {
    const [file, tests] = TARGETS[name]!;
    const chosen = tests === "" ? [] : ["-t", tests];
    const done = Bun.spawnSync([process.execPath, "test", `./${file}`, ...chosen], {
      cwd: TOP,
      env: { ...process.env, [FUZZ_RUN]: String(run) },
    });
    if (done.exitCode === 0) continue;
    console.log(`${done.stdout}${done.stderr}`);
    console.log(`Again: npm run fuzz -- --target ${name} --first ${run} --runs 1`);
    process.exit(1);
  }
  console.log(`run ${run} is good: ${names.join(", ")}`);
}
