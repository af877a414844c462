/** What the simulator has found, each by the smallest scene that shows it. */

import { expect, test } from "bun:test";
import { STREAMS_UNTIL_TOLD_MAX } from "../../lib/base/limits.ts";
import { USUAL_LIMITS } from "../../lib/proxy/path-limits.ts";
import { Stage } from "./stage.ts";

test("a client goes on when what was gathered, and found too much, has been written", async () => {
  const stage = new Stage({
    speech: "http1",
    link: (from, to) => from === "outbound" || to.startsWith("10.42.1.1") ? { capacity: 50 } : {},
    asks: [{ method: "POST", requestBytes: 400, requestPieceBytes: 100, requestPauseMs: 5 }],
  });
  await stage.run();
  expect(stage.asks[0]?.outcome).toBe("answered");
});

test("a tunnel's endpoint has nothing to do when the tunnel is over", async () => {
  const stage = new Stage({
    speech: "http1",
    asks: [{ tunnel: "upgrade", requestBytes: 300, responseBytes: 500 }],
  });
  await stage.run();
  expect(stage.asks[0]?.outcome).toBe("answered");
});

test("a connection whose last stream ends with the request is given up in time", async () => {
  const stage = new Stage({
    speech: "http1",
    endpoint: "meshed",
    hint: "h2",
    asks: [{
      method: "POST",
      requestBytes: 600,
      requestPieceBytes: 100,
      requestPauseMs: 20,
      early: true,
    }],
  });
  await stage.run();
  expect(stage.asks[0]?.outcome).toBe("answered");
});

test("a port of HTTP/1 takes HTTP/1 that a peer carries by HTTP/2", async () => {
  const stage = new Stage({
    speech: "http1",
    endpoint: "meshed without a transport header",
    hint: "h2",
    serverProtocol: "http1",
    asks: [{}, { method: "POST", requestBytes: 200 }],
  });
  await stage.run();
  expect(stage.asks.map((ask) => ask.outcome)).toEqual(["answered", "answered"]);
});

/** Ten requests more than a new connection takes, which is silent and then found to be lost. */
async function asksBeyondRoom(outboundQueueMs: number) {
  let connections = 0;
  const stage = new Stage({
    speech: "http2",
    // Silence comes before what the server says first, so that it is not known how many streams it takes.
    seed: 2,
    link: (_, to) =>
      to.startsWith("10.42.1.1") && connections++ === 0 ? { silentAtByte: 1, jitterMs: 20 } : {},
    client: { depth: STREAMS_UNTIL_TOLD_MAX + 10 },
    settings: { limits: { ...USUAL_LIMITS, outboundQueueMs } },
    asks: Array.from({ length: STREAMS_UNTIL_TOLD_MAX + 10 }, () => ({})),
  });
  await stage.run();
  return stage.asks;
}

test("requests that found no room on a new connection outlive its loss", async () => {
  const asks = await asksBeyondRoom(60_000);
  expect(asks.filter((ask) => ask.outcome === "answered")).toHaveLength(10);
});

test("requests that find no room wait no longer than they may", async () => {
  const asks = await asksBeyondRoom(USUAL_LIMITS.outboundQueueMs);
  expect(new Set(asks.map((ask) => ask.outcome))).toEqual(new Set(["refused"]));
});

test("a response of HTTP/1.0 that is cut off does not look whole", async () => {
  const stage = new Stage({
    speech: "http1",
    asks: [{ http10: true, framing: "close", responseBytes: 900, trouble: "reset within" }],
  });
  await stage.run();
  expect(stage.asks[0]?.outcome).toBe("lost");
});

test("a response that is cut off does not take with it what was answered before", async () => {
  const stage = new Stage({
    speech: "http1",
    link: (from) => from === "client" ? { readMax: 40 } : {},
    client: { depth: 3, reading: { pauses: 1, pauseMs: 50, stopAtByte: Infinity, stopMs: 0 } },
    asks: [{}, { framing: "chunked", responseBytes: 900, trouble: "reset within" }, {}],
  });
  await stage.run();
  expect(stage.asks.map((ask) => ask.outcome)).toEqual(["answered", "lost", "lost"]);
});
