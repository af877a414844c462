/** What is told of servers that refuse, and of those that cannot be asked. */

import { afterEach, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { describeError, Fault } from "../base/fault.ts";
import { getJson, HttpRefusal, KeptConnections } from "./http-json.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function serve(answer: (request: Request) => Response): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  ends.push(() => server.stop(true));
  return `http://127.0.0.1:${server.port}`;
}

async function failure(url: string): Promise<Fault> {
  try {
    await getJson({ url, headers: {} }, { idleMs: 2_000, bytesMax: 1_000 });
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
  throw new Error(`${url} answered`);
}

describe("a refusal", () => {
  test("is told in the words that an API server has for people, and without the query", async () => {
    const message = `pods is forbidden: User "a" cannot list resource "pods" ${"in ".repeat(100)}`;
    const url = serve(() =>
      Response.json({ kind: "Status", metadata: {}, code: 403, message }, { status: 403 })
    );
    const fault = await failure(`${url}/api/v1/pods?watch=true`);
    expect(fault).toBeInstanceOf(HttpRefusal);
    expect((fault as HttpRefusal).status).toBe(403);
    expect(fault.message)
      .toBe(`Cannot ask ${url}/api/v1/pods: the server answers 403 ${message}`.trim());
  });

  test("of another server is shown as it came, by its beginning", async () => {
    const url = serve(() => new Response(`<html>${"x".repeat(1_000)}`, { status: 502 }));
    const { message } = await failure(url);
    expect(message).toStartWith(`Cannot ask ${url}: the server answers 502 <html>xxx`);
    expect(message.length).toBeLessThan(300);
  });

  test("that never ends is not read to its end", async () => {
    const endless = () =>
      new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(65_536)) });
    const url = serve(() => new Response(endless(), { status: 500 }));
    expect((await failure(url)).message).toContain("the server answers 500");
  });
});

describe("a server that cannot be asked", () => {
  test("refuses connections", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const url = `http://127.0.0.1:${server.port}`;
    await server.stop(true);
    expect(describeError(await failure(`${url}/x?y`)))
      .toBe(`Cannot ask ${url}/x: it refuses connections`);
  });

  test("cuts the connection", async () => {
    const server = createServer((socket) => socket.resetAndDestroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => server.close());
    const { port } = server.address() as { port: number };
    expect(describeError(await failure(`http://127.0.0.1:${port}/`)))
      .toBe(`Cannot ask http://127.0.0.1:${port}/: the connection was cut`);
  });

  test("says nothing", async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => server.close());
    const { port } = server.address() as { port: number };
    expect(describeError(await failure(`http://127.0.0.1:${port}/`)))
      .toBe(`Cannot ask http://127.0.0.1:${port}/: nothing came for 2000 ms`);
  });
});

test("connections that are kept are used again once those of a silence are gone", () => {
  const [patient, hasty] = [new KeptConnections(), new KeptConnections(0)];
  for (const kept of [patient, hasty]) {
    expect(kept.areUsable).toBe(true);
    kept.fellSilent();
  }
  expect(patient.areUsable).toBe(false);
  expect(hasty.areUsable).toBe(true);
});
