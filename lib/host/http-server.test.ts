import { afterEach, expect, test } from "bun:test";
import { type HttpRequest, type HttpServer, serveHttp } from "./http-server.ts";

let server: HttpServer | null = null;

afterEach(() => server?.stop());

function serve(ip: string, handle: (request: HttpRequest) => string | Promise<string>): number {
  server = serveHttp({
    address: { ip, port: 0 },
    bodyBytesMax: 100,
    idleTimeoutMs: 1_000,
    handle: async (request) => ({
      status: 200,
      contentType: "text/plain",
      body: await handle(request),
    }),
  });
  return server.address.port;
}

test("a request is told with its path, query, body and client", async () => {
  const port = serve(
    "127.0.0.1",
    async ({ method, path, query, remoteIp, body }) =>
      [method, path, query.get("a"), remoteIp, await body()].join(" "),
  );
  const answer = await fetch(`http://127.0.0.1:${port}/x/y?a=b`, { method: "PUT", body: "text" });
  expect(await answer.text()).toBe("PUT /x/y b 127.0.0.1 text");
});

test("the unspecified IPv6 address serves both families and tells them apart", async () => {
  const port = serve("::", ({ remoteIp }) => remoteIp);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("::ffff:127.0.0.1");
});

test("a handler that throws is a 500 without its words", async () => {
  const port = serve("127.0.0.1", () => {
    throw new Error("secret");
  });
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  expect(answer.status).toBe(500);
  expect(await answer.text()).not.toContain("secret");
});

test("HEAD has no body, and too large a body is refused", async () => {
  const port = serve("127.0.0.1", ({ body }) => body());
  const head = await fetch(`http://127.0.0.1:${port}/`, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  const large = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "x".repeat(101) });
  expect(large.status).toBe(413);
});
