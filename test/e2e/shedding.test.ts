/**
 * Calls that are more than can be answered, by gRPC's own library for JavaScript as client and as server:
 * each side's proxy says UNAVAILABLE for them, in the form of a gRPC server, and serves on.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { nodeProgram } from "../support/node-program.ts";
import { GRPC_FIXTURE, GRPC_PORT, grpcManifest, grpcService } from "../support/grpc-pods.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";
import { PodShell } from "../support/pod-shell.ts";

const LONG_MS = 120_000;
const UNAVAILABLE = 14;
const TOO_MANY = "too many requests are under way";
const TOO_LATE = "waited too long for a turn";
const NOBODY = "no endpoint is available";

/** What `shed.mjs` prints. */
interface Outcome {
  readonly ended: readonly { code: number; details: string; error: string }[];
  readonly head: Readonly<Record<string, unknown>>;
}

const reason = whyNoMesh("curl", "socat") ??
  (nodeProgram() === undefined ? "not installed: node" : undefined);
if (reason !== undefined) console.log(`skipping shedding: ${reason}`);

describe.skipIf(reason !== undefined)("calls that are too many", () => {
  const laptop = new Laptop("self");
  /** Asks without bounds of its own. */
  const greedy = new PodShell(laptop.home, "greedy");
  /** Its own proxy lets one request out at a time. */
  const modest = new PodShell(laptop.home, "modest");
  /** Its own proxy lets one request at a time wait for an endpoint. */
  const hasty = new PodShell(laptop.home, "hasty");

  beforeAll(async () => {
    laptop.write("wide.json", grpcManifest("wide"));
    laptop.write(
      "narrow.json",
      grpcManifest("narrow", {
        "config.malla.dev/proxy-inbound-concurrency-limit": "1",
        ...environment({ LINKERD2_PROXY_INBOUND_HTTP_QUEUE_CAPACITY: "1" }),
      }),
    );
    for (const name of ["wide", "narrow", "nobody"]) {
      laptop.write(`service-${name}.json`, grpcService(name, name));
    }
    laptop.write("greedy.json", greedy.manifest());
    const one = environment({ LINKERD2_PROXY_OUTBOUND_MAX_IN_FLIGHT: "1" });
    laptop.write("modest.json", modest.manifest(one));
    const short = environment({
      LINKERD2_PROXY_OUTBOUND_HTTP_QUEUE_CAPACITY: "1",
      LINKERD2_PROXY_OUTBOUND_HTTP_FAILFAST_TIMEOUT: "60s",
    });
    laptop.write("hasty.json", hasty.manifest(short));
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  async function call(client: PodShell, to: string, count: number, held = 1): Promise<Outcome> {
    const script = `${nodeProgram()} ${GRPC_FIXTURE}shed.mjs ${to}:${GRPC_PORT} ${count} ${held}`;
    const { out } = await client.run(script);
    return JSON.parse(out) as Outcome;
  }

  /** A whole response in one head, as a server of gRPC's refuses a call. */
  function expectTrailersOnly(head: Outcome["head"], message: string): void {
    expect(head).toMatchObject({
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(UNAVAILABLE),
      "grpc-message": message,
      "l5d-proxy-error": message,
      isWhole: true,
    });
  }

  const unavailable = (message: string) => ({
    code: UNAVAILABLE,
    details: message,
    error: message,
  });

  test("for the application: the server's proxy sheds them", async () => {
    const { ended, head } = await call(greedy, "narrow", 5);
    // One is with the application, one waited for its turn and the others found no room.
    expect(ended).toEqual([...Array(3).fill(unavailable(TOO_MANY)), unavailable(TOO_LATE)]);
    expectTrailersOnly(head, TOO_LATE);
    const shed = (error: string) => laptop.metric("narrow", "inbound_http_errors_total", error);
    expect([shed('"loadshed"'), shed('"failfast"')]).toEqual([3, 2]);
    const unavailables = ['direction="outbound"', 'grpc_status="14"', 'status_code="200"'];
    await until(() => laptop.metric("greedy", "response_total", ...unavailables) === 5);
    // Who was taken back has left its place.
    await until(() => laptop.metric("narrow", "malla_inbound_concurrency_in_flight") === 0);
    expect((await call(greedy, "narrow", 2)).ended).toEqual([unavailable(TOO_LATE)]);
  }, LONG_MS);

  test("for the caller's proxy: it sheds them itself", async () => {
    const { ended, head } = await call(modest, "wide", 4);
    expect(ended).toEqual(Array(3).fill(unavailable(TOO_MANY)));
    expectTrailersOnly(head, TOO_MANY);
    expect(laptop.metric("modest", "outbound_http_errors_total", '"loadshed"')).toBe(4);
    expect(laptop.metric("wide", "request_total", 'direction="inbound"')).toBe(1);
  }, LONG_MS);

  test("for a service without endpoints: they wait for a bounded time", async () => {
    const { ended, head } = await call(greedy, "nobody", 4, 0);
    expect(ended).toEqual(Array(4).fill(unavailable(NOBODY)));
    expectTrailersOnly(head, NOBODY);
    expect(laptop.metric("greedy", "outbound_http_errors_total", '"failfast"')).toBe(5);
  }, LONG_MS);

  test("for the queue before a service without endpoints: the rest is told at once", async () => {
    // One waits for a minute, longer than all of this takes.
    const { ended, head } = await call(hasty, "nobody", 4);
    expect(ended).toEqual(Array(3).fill(unavailable(TOO_MANY)));
    expectTrailersOnly(head, TOO_MANY);
    const failed = (error: string) => laptop.metric("hasty", "outbound_http_errors_total", error);
    expect([failed('"loadshed"'), failed('"failfast"')]).toEqual([4, 0]);
  }, LONG_MS);
});

function environment(variables: Readonly<Record<string, string>>): Record<string, string> {
  const list = Object.entries(variables).map(([name, value]) => ({ name, value }));
  return { "config.linkerd.io/proxy-additional-env": JSON.stringify(list) };
}
