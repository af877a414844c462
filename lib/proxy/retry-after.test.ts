/** What `Retry-After` of a response does to its endpoint, between two proxies. */

import { expect, test } from "bun:test";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RawServer } from "../../test/support/raw-http.ts";

const { lab, cleanups, dial } = pathTests();

const MOST_MS = 60_000;

/** What an endpoint is taken for after it has answered once with this status and field. */
async function loadAfter(status: number, value: string, retryAfterMaxMs: number): Promise<number> {
  const text = `HTTP/1.1 ${status} X\r\nretry-after: ${value}\r\ncontent-length: 0\r\n\r\n`;
  const app = await new RawServer((socket) => void socket.write(text)).listen();
  cleanups.push(() => app.stop());
  const client = lab.proxy("shop");
  const target = client.target();
  // Nothing fades while the test looks.
  target.balance({ defaultRttMs: 0, decayMs: 1e12, penalty: { penaltyMs: 0, retryAfterMaxMs } });
  target.endpoints({ ...meshed(lab.proxy("web"), app.port), hint: "h2" });
  const shop = dial(client.outbound);
  shop.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  await until("answer", () => shop.text.startsWith(`HTTP/1.1 ${status} `));
  // It is the application's word, and its client's to hear.
  expect(shop.text).toContain(`retry-after: ${value}\r\n`);
  return await target.settledLoad();
}

test.each([
  [503, "20", 20_000],
  [429, "20", 20_000],
  [503, "3600", MOST_MS],
  [429, "99999999", MOST_MS],
])("%i with %s weighs as long as it asks for, up to the bound", async (status, value, ms) => {
  // A sixteenth comes on top where the response counts as a failure besides.
  expect(await loadAfter(status, value, MOST_MS)).toBeWithin(ms - 1, ms * 16 / 15 + 1);
});

test.each([
  [200, "20"],
  [301, "20"],
  [500, "20"],
  [503, "0"],
  [503, "-20"],
  [503, "soon"],
  [503, "99999999999999999999"],
  [503, "Wed, 21 Oct 2026 07:28:00 GMT"],
])("%i with %s is measured as any other", async (status, value) => {
  expect(await loadAfter(status, value, MOST_MS)).toBeLessThan(20_000);
});

test("it is not heeded where that is not configured", async () => {
  expect(await loadAfter(503, "20", 0)).toBeLessThan(20_000);
});
