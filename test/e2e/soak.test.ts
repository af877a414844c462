/** A short soak: mixed traffic while a pod comes and goes; a long one is run by hand (`bun run soak`). */

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { whyNoMesh } from "../support/laptop.ts";

const SOAK = new URL("../soak/main.ts", import.meta.url).pathname;
const EXECUTABLE = new URL("../../dist/malla", import.meta.url).pathname;
const LONG_MS = 180_000;
/** A loaded machine makes a tenth of what a free one does. */
const SHORT = { seconds: "12", renewal: "4", requests: "3000", connections: "300" };

const reason = existsSync(EXECUTABLE)
  ? whyNoMesh("wrk", "h2load", "nghttpd", "nginx", "curl")
  : "the executable is not built";
if (reason !== undefined) console.log(`skipping the soak: ${reason}`);

test.skipIf(reason !== undefined).each(["1", "2"])("nothing fails with %s cores", async (cores) => {
  const flags = Object.entries({ ...SHORT, cores }).flatMap((
    [name, value],
  ) => [`--${name}`, value]);
  const soak = Bun.spawn([process.execPath, SOAK, ...flags], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(soak.stdout).text(),
    new Response(soak.stderr).text(),
  ]);
  // First, since it says what failed.
  expect(out + err).toContain("√ all held");
  expect(await soak.exited).toBe(0);
}, LONG_MS);
