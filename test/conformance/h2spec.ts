/**
 * h2spec, every case of its strict mode, against the outbound proxy (behind it the inbound proxy and a
 * plain HTTP/2 server) and against the inbound proxy, which a stranger reaches directly.
 */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type ConformanceMesh, GO_REASON, PORTS } from "./mesh.ts";

const LONG_MS = 90_000;
/** Cases of h2spec 2.2.1 with `-S`. */
const CASES = 146;

/**
 * Not a case for a proxy that finds the protocol in the first bytes: `INVALID CONNECTION PREFACE` is no
 * HTTP/2, so the connection is the application's, opaque, and its answer passes. Where the Service says
 * that the port speaks HTTP/2, this case passes too.
 */
const OPAQUE_BY_RIGHT = "3.5: Sends invalid connection preface";

/** Registers the runs. */
export function testH2spec(mesh: ConformanceMesh): void {
  describe.skipIf(GO_REASON !== undefined)("h2spec, strict", () => {
    test("against the outbound proxy, where the Service says HTTP/2", async () => {
      expect(await run(mesh, "client", "apps", 8081)).toEqual([]);
    }, LONG_MS);

    test("against the outbound proxy, which detects", async () => {
      expect(await run(mesh, "client", "apps", PORTS.h2c)).toEqual([OPAQUE_BY_RIGHT]);
    }, LONG_MS);

    test("against the inbound proxy, which detects", async () => {
      expect(await run(mesh, "stranger", mesh.ip, PORTS.h2c)).toEqual([OPAQUE_BY_RIGHT]);
    }, LONG_MS);
  });
}

/** The cases that failed. */
async function run(
  mesh: ConformanceMesh,
  from: "client" | "stranger",
  host: string,
  port: number,
): Promise<string[]> {
  const report = `${mesh.laptop.home}/h2spec-${from}-${port}.xml`;
  const words = `-S -h ${host} -p ${port} -o 10 -j ${report}`;
  const { out } = await mesh[from].run(`${mesh.go.h2spec} ${words}`);
  const xml = readFileSync(report, "utf8");
  const failed: string[] = [];
  let cases = 0;
  for (const [, head = "", body = ""] of xml.matchAll(/<testcase ([^>]*)>([^]*?)<\/testcase>/g)) {
    cases++;
    if (body.trim() === "") continue;
    const attribute = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(head)?.[1] ?? "";
    failed.push(`${attribute("package").split("/")[1]}: ${attribute("classname")}`);
  }
  expect([cases, out.slice(-400)]).toEqual([CASES, out.slice(-400)]);
  return failed;
}
