/** A seeded mixture of requests through two proxies, with Node's HTTP at both ends as the judge. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Agent, createServer, request, type Server } from "node:http";
import { PathLab, until } from "../../test/support/paths.ts";

const SEED = Number(process.env["MALLA_TEST_SEED"] ?? 20_261_123);
const REQUESTS = 400;

let lab: PathLab;
let server: Server;

beforeAll(() => {
  lab = new PathLab(["shop", "web"]);
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await lab.stop();
});

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** An integer in [0, below). */
  below(below: number): number {
    this.#state = (this.#state * 1_664_525 + 1_013_904_223) >>> 0;
    return Math.floor(this.#state / 2 ** 32 * below);
  }
}

function body(random: Random): Buffer {
  const size = [0, 1, 100, 5_000, 40_000, 300_000][random.below(6)]!;
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i += 7) bytes[i] = random.below(256);
  return bytes;
}

const sha = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

/** Writes the bytes in random pieces, some of them after a while. */
async function dribble(
  to: { write(chunk: Buffer): boolean },
  bytes: Buffer,
  random: Random,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.below(random.below(4) === 0 ? 20 : 60_000);
    to.write(bytes.subarray(at, at + length));
    at += length;
    if (random.below(5) === 0) await Bun.sleep(random.below(3));
  }
}

async function collect(from: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of from) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test(`every request and every response arrives whole (seed ${SEED})`, async () => {
  const atServer = new Random(SEED + 1);
  server = createServer(async (incoming, response) => {
    const got = await collect(incoming);
    const answer = body(atServer);
    response.setHeader("x-request-sha", sha(got));
    response.setHeader("x-response-sha", sha(answer));
    response.setHeader("x-method", incoming.method ?? "");
    response.setHeader("x-client", incoming.headers["l5d-client-id"] ?? "");
    if (atServer.below(2) === 0) response.setHeader("content-length", answer.length);
    if (atServer.below(8) === 0) response.setHeader("connection", "close");
    await dribble(response, answer, atServer);
    response.end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { client, server: web } = lab.pair((server.address() as { port: number }).port);
  const agent = new Agent({ keepAlive: true, maxSockets: 6 });

  async function ask(index: number): Promise<void> {
    const random = new Random(SEED + 100 + index);
    const method = ["GET", "POST", "PUT", "HEAD", "DELETE"][random.below(5)]!;
    const sent = method === "POST" || method === "PUT" ? body(random) : Buffer.alloc(0);
    const outgoing = request({
      ...{ agent, method, host: "127.0.0.1", port: client.outbound.port, path: `/${index}` },
      headers: random.below(2) === 0 && sent.length > 0 ? { "content-length": sent.length } : {},
    });
    const answered = new Promise<void>((done, fail) => {
      outgoing.on("error", fail);
      outgoing.on("response", (response) => {
        collect(response).then((got) => {
          expect(response.statusCode).toBe(200);
          expect(response.headers["x-method"]).toBe(method);
          expect(response.headers["x-request-sha"]).toBe(sha(sent));
          if (method !== "HEAD") expect(response.headers["x-response-sha"]).toBe(sha(got));
        }).then(done, fail);
      });
    });
    await dribble(outgoing, sent, random);
    outgoing.end();
    await answered;
  }

  let next = 0;
  await Promise.all(Array.from({ length: 6 }, async () => {
    while (next < REQUESTS) await ask(next++);
  }));
  agent.destroy();
  await until("all closed", () => client.path.sessions === 0);
  const labels = { direction: "outbound", classification: "success" };
  expect(client.count("response_total", labels)).toBe(REQUESTS);
  expect(web.count("response_total", { direction: "inbound" })).toBe(REQUESTS);
}, 30_000);
