/** Programs that know HTTP/2, gRPC, WebSocket and TLS well, through the sidecars of one laptop mesh. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testGrpc } from "./grpc.ts";
import { testH2spec } from "./h2spec.ts";
import { testHttp } from "./http.ts";
import { ConformanceMesh, GO_REASON, REASON } from "./mesh.ts";
import { testTls } from "./tls.ts";

/** A machine's first build of the Go programs is part of it. */
const START_MS = 300_000;

if (REASON !== undefined) console.log(`skipping conformance of programs: ${REASON}`);
else if (GO_REASON !== undefined) console.log(`skipping h2spec and gRPC in Go: ${GO_REASON}`);

describe.skipIf(REASON !== undefined)("conformance", () => {
  const mesh = new ConformanceMesh();

  beforeAll(() => mesh.start(), START_MS);
  afterAll(() => mesh.clean());

  testH2spec(mesh);
  testGrpc(mesh);
  testHttp(mesh);
  testTls(mesh);

  test("after the end nothing is left", async () => {
    expect(await mesh.laptop.end()).toBe(0);
    expect(mesh.laptop.leftovers()).toEqual([]);
  }, 60_000);
});
