/** Retries where something is odd: limits without end, bodies too large, clients and backends in a hurry. */

import { describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RawServer, respond } from "../../test/support/raw-http.ts";
import { REPLAY_BYTES_MAX } from "../base/limits.ts";
import type { RetryPolicy } from "../mesh/reliability.ts";
import { RetryBudget } from "./retry-budget.ts";

const { lab, cleanups, dial } = pathTests();

const RETRY: RetryPolicy = {
  statuses: [[503, 503]],
  grpcStatuses: [],
  retriesMax: 2,
  requestBytesMax: REPLAY_BYTES_MAX,
  tryTimeoutMs: 0,
  backoff: { minMs: 1, maxMs: 4, jitter: 0 },
};
const GET = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";
const FAILING = respond("no", "HTTP/1.1 503 Service Unavailable");

/** One try as the application sees it: what came of it, and the connection that it came by. */
interface Try {
  readonly socket: Socket;
  text: string;
  isAnswered: boolean;
}

/** An application that is told of each try as it comes, once for its head and again for each piece. */
async function application(came: (attempt: Try, n: number) => void): Promise<{
  port: number;
  tries: Try[];
}> {
  const tries: Try[] = [];
  const current = new Map<Socket, Try>();
  const server = await new RawServer((socket, text) => {
    // No test pipelines, so that a head begins a piece.
    if (/^(?:GET|POST) /.test(text)) {
      const attempt = { socket, text: "", isAnswered: false };
      tries.push(attempt);
      current.set(socket, attempt);
    }
    const attempt = current.get(socket);
    if (attempt === undefined) return;
    attempt.text += text;
    came(attempt, tries.indexOf(attempt) + 1);
  }).listen();
  cleanups.push(() => server.stop());
  return { port: server.port, tries };
}

/** Answers once, however much of the request comes after. */
function fail(attempt: Try): void {
  if (!attempt.isAnswered) attempt.socket.write(FAILING);
  attempt.isAnswered = true;
}

function bodyOf({ text }: Try): string {
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

/** What a body in chunks or of a length has in it. */
function decoded(attempt: Try): string {
  const body = bodyOf(attempt);
  if (!/transfer-encoding: chunked/i.test(attempt.text)) return body;
  return body.split("\r\n").filter((_, i) => i % 2 === 1).join("");
}

for (const hint of ["h2", "unknown"] as const) {
  describe(`over ${hint === "h2" ? "HTTP/2" : "HTTP/1"} between proxies`, () => {
    const pairOf = (port: number) => {
      const client = lab.proxy("shop");
      const server = lab.proxy("web");
      const target = client.target().endpoints({ ...meshed(server, port), hint });
      return { client, server, target };
    };

    test("a limit of a million retries ends with the budget", async () => {
      const app = await application(({ socket }) => socket.write(FAILING));
      const { client, target } = pairOf(app.port);
      target.configure({
        ...RETRY,
        retriesMax: 1_000_000,
        backoff: { minMs: 1, maxMs: 1, jitter: 0 },
      });
      target.budget = new RetryBudget({ ratio: 0.2, minPerSecond: 1, ttlMs: 10_000 }, 0);
      const shop = dial(client.outbound);
      shop.send(GET);
      await until("answer", () => shop.text === FAILING);
      expect(app.tries.length).toBe(11);
      expect(client.count("outbound_http_route_retry_overflow_total")).toBe(1);
    });

    test("a body larger than the buffer is sent once, whole, and its failure passed on", async () => {
      const body = "b".repeat(3 * REPLAY_BYTES_MAX);
      const app = await application((attempt) => {
        const isWhole = decoded(attempt).length >= body.length &&
          (!/chunked/i.test(attempt.text) || attempt.text.endsWith("0\r\n\r\n"));
        if (isWhole) attempt.socket.write(FAILING);
      });
      const { client, target } = pairOf(app.port);
      target.configure(RETRY);
      const shop = dial(client.outbound);
      shop.send(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      await until("answer", () => shop.text === FAILING);
      expect(app.tries.length).toBe(1);
      // Its connection still serves.
      shop.send(GET.replace("/ ", "/next "));
      await until("next", () => app.tries.length >= 2);
    });

    test("a client that goes away while a retry is under way takes it back", async () => {
      const app = await application(({ socket }, n) => {
        if (n === 1) socket.write(FAILING);
      });
      const { client, server, target } = pairOf(app.port);
      target.configure(RETRY);
      const shop = dial(client.outbound);
      shop.send(GET);
      await until("second try", () => app.tries.length === 2);
      shop.socket.resetAndDestroy();
      await until("the application is told", () => app.tries[1]?.socket.destroyed === true);
      await until("settled", () => target.balancer.pick(0)?.pending === 0);
      expect(app.tries.length).toBe(2);
      expect(client.count("response_total", { error: "canceled" })).toBe(1);
      expect(target.users).toBe(0);
      await until("counted", () => server.count("response_total", { error: "canceled" }) === 1);
    });

    test("a backend that fails before it has read the request gets all of it the next time", async () => {
      const pieces = ["first ", "second ", "third"];
      const body = pieces.join("");
      const app = await application((attempt, n) => {
        if (n === 1) {
          if (attempt.text.includes("first")) fail(attempt);
        } else if (decoded(attempt) === body) attempt.socket.write(respond("yes"));
      });
      const { client, target } = pairOf(app.port);
      target.configure(RETRY);
      const shop = dial(client.outbound);
      shop.send(
        `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${body.length}\r\n\r\n${pieces[0]}`,
      );
      await until("second try", () => app.tries.length === 2);
      shop.send(pieces[1]!);
      await until("second piece", () => app.tries[1]!.text.includes("second"));
      shop.send(pieces[2]!);
      await until("answer", () => shop.text === respond("yes"));
      expect([app.tries.length, decoded(app.tries[1]!)]).toEqual([2, body]);
      shop.send(GET);
      await until("next", () => app.tries.length === 3);
    });

    test("one that fails before it has read a body too large is not asked again", async () => {
      const app = await application((attempt) => {
        fail(attempt);
      });
      const { client, target } = pairOf(app.port);
      target.configure({ ...RETRY, requestBytesMax: 10 });
      const shop = dial(client.outbound);
      shop.send("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 100\r\n\r\nmore than ten bytes");
      await until("answer", () => shop.text.startsWith("HTTP/1.1 503 "));
      expect(shop.text).toEndWith("no");
      expect(app.tries.length).toBe(1);
      shop.stop();
      await until("settled", () => target.balancer.pick(0)?.pending === 0);
    });
  });
}
