/**
 * Retries and timeouts of gRPC calls, switched on by annotations of their Service, with gRPC's own library
 * for JavaScript as client and as server; each shown with and without.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { nodeProgram } from "../support/node-program.ts";
import { GRPC_FIXTURE, GRPC_PORT, grpcManifest, grpcService } from "../support/grpc-pods.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";
import { PodShell } from "../support/pod-shell.ts";

const LONG_MS = 120_000;
const OK = 0;
const DEADLINE_EXCEEDED = 4;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const LIMIT = 2;

/** How a call ended, and how many of it the server's proxy has counted. */
interface Outcome {
  readonly code: number;
  readonly message: string;
  readonly tries: number;
}

const reason = whyNoMesh("curl", "socat") ??
  (nodeProgram() === undefined ? "not installed: node" : undefined);
if (reason !== undefined) console.log(`skipping gRPC calls: ${reason}`);

describe.skipIf(reason !== undefined)("gRPC calls", () => {
  const laptop = new Laptop("self");
  const caller = new PodShell(laptop.home, "caller");
  let calls = 0;

  beforeAll(async () => {
    laptop.write("echo.json", grpcManifest("echo"));
    laptop.write("caller.json", caller.manifest());
    const services = {
      plain: {},
      retried: {
        "retry.linkerd.io/grpc": "unavailable,resource-exhausted",
        "retry.linkerd.io/limit": String(LIMIT),
      },
      bounded: { "timeout.linkerd.io/request": "300ms" },
    };
    for (const [name, annotations] of Object.entries(services)) {
      laptop.write(`service-${name}.json`, grpcService(name, "echo", annotations));
    }
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  const counted = (name: string) => laptop.metric("echo", name, 'direction="inbound"');

  /** One call, which tells the server what to do with it. */
  async function call(service: string, fields: Readonly<Record<string, number>>): Promise<Outcome> {
    const before = counted("request_total");
    const words = Object.entries({ ...fields, "x-call": ++calls }).map(([name, value]) =>
      `${name}=${value}`
    );
    const address = `${service}:${GRPC_PORT}`;
    const program = `${nodeProgram()} ${GRPC_FIXTURE}main.mjs`;
    const { out } = await caller.run(`${program} call ${address} ${words.join(" ")}`);
    const ended = JSON.parse(out) as Omit<Outcome, "tries">;
    return { ...ended, tries: counted("request_total") - before };
  }

  // A server may end a call in one head, or send that and trailers behind it.
  for (const [form, more] of [["in one head", {}], ["by trailers", { "x-head": 1 }]] as const) {
    test(`that fail ${form} are made again as often as the annotation says`, async () => {
      const failing = (failures: number, status = UNAVAILABLE) => ({
        "x-status": status,
        "x-failures": failures,
        ...more,
      });
      expect(await call("plain", failing(1))).toMatchObject({ code: UNAVAILABLE, tries: 1 });
      for (let failures = 0; failures <= LIMIT; failures++) {
        const mended = await call("retried", failing(failures));
        expect(mended).toMatchObject({ code: OK, tries: 1 + failures });
      }
      // What the last try has said is what the caller gets.
      expect(await call("retried", failing(LIMIT + 1))).toEqual({
        code: UNAVAILABLE,
        message: `failure ${LIMIT + 1}`,
        tries: 1 + LIMIT,
      });
      const other = await call("retried", failing(1, INTERNAL));
      expect(other).toMatchObject({ code: INTERNAL, tries: 1 });
    }, LONG_MS);
  }

  test("that take too long end with DEADLINE_EXCEEDED, and the server is told", async () => {
    expect(await call("plain", { "x-delay-ms": 500 })).toMatchObject({ code: OK, tries: 1 });
    expect(await call("bounded", { "x-delay-ms": 1 })).toMatchObject({ code: OK, tries: 1 });
    const late = await call("bounded", { "x-delay-ms": 600_000 });
    expect(late).toMatchObject({ code: DEADLINE_EXCEEDED, tries: 1 });
    await until(() => counted("response_total") === counted("request_total"));
  }, LONG_MS);
});
