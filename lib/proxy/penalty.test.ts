/** What an endpoint's bad answers weigh when the next one is chosen, between two proxies. */

import { expect, test } from "bun:test";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";

const { lab, cleanups } = pathTests();

const PENALTY_MS = 20_000;

/** How an application answers: an HTTP status, or a call's in trailers or in the head alone. */
type Answer = number | { readonly trailer: number } | { readonly head: number };

function answer(stream: ServerHttp2Stream, how: Answer): void {
  stream.on("error", () => {});
  if (typeof how === "number") return stream.respond({ ":status": how }, { endStream: true });
  if ("head" in how) {
    return stream.respond({ ":status": 200, "grpc-status": how.head }, { endStream: true });
  }
  stream.respond({ ":status": 200 }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": how.trailer }));
  stream.end("message");
}

/** What an endpoint is taken for after it has answered once. */
async function loadAfter(how: Answer, penaltyMs: number): Promise<number> {
  const app = createServer().on("stream", (stream: ServerHttp2Stream) => answer(stream, how));
  await new Promise<void>((done) => app.listen(0, "127.0.0.1", done));
  cleanups.push(() => app.close());
  const client = lab.proxy("shop");
  const target = client.target();
  // Nothing fades while the test looks.
  target.balance({ defaultRttMs: 0, decayMs: 1e12, penalty: { penaltyMs, retryAfterMaxMs: 0 } });
  const { port } = app.address() as AddressInfo;
  target.endpoints({ ...meshed(lab.proxy("web"), port), hint: "h2" });
  const session = connect(`http://127.0.0.1:${client.outbound.port}`);
  cleanups.push(() => session.destroy());
  const call = typeof how === "number" ? {} : { "content-type": "application/grpc" };
  const stream = session.request({ ":path": "/s/M", ":method": "POST", ...call });
  let isOver = false;
  stream.on("close", () => isOver = true);
  stream.resume();
  stream.end("message");
  await until("answer", () => isOver);
  return await target.settledLoad();
}

test.each<[Answer]>([[503], [500], [429], [{ trailer: 14 }], [{ trailer: 8 }], [{ head: 8 }]])(
  "%o weighs as the penalty",
  async (how) => {
    // A sixteenth comes on top where the answer counts as a failure besides.
    const most = PENALTY_MS * 16 / 15 + 1;
    expect(await loadAfter(how, PENALTY_MS)).toBeWithin(PENALTY_MS - 1, most);
  },
);

test.each<[Answer]>([[200], [404], [{ trailer: 0 }], [{ trailer: 5 }], [{ head: 5 }]])(
  "%o is measured as any other",
  async (how) => {
    expect(await loadAfter(how, PENALTY_MS)).toBeLessThan(PENALTY_MS / 2);
  },
);

test.each<[Answer]>([[503], [429], [{ trailer: 8 }]])(
  "%o weighs nothing where no penalty is configured",
  async (how) => {
    expect(await loadAfter(how, 0)).toBeLessThan(PENALTY_MS / 2);
  },
);
