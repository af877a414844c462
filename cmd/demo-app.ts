/**
 * `malla demo-app ROLE`: the programs of the demo. Ordinary HTTP/1.1 servers and clients that know
 * nothing of the mesh: names, encryption, balancing and figures are the mesh's work.
 *
 *     traffic → web → catalog (slow)
 *                   → payments (fails now and then)
 */

import { environment, onSignals } from "../lib/host/process.ts";

const PORT = 8080;
/** How long a page may take to load what it needs. */
const UPSTREAM_TIMEOUT_MS = 5_000;
const FASTEST_MS = 40;
/** Between two clicks of one user. */
const THINK_MS = { least: 500, most: 1_300 };
/** One click in so many is a purchase. */
const PURCHASE_SHARE = 0.4;

const ROLES: Readonly<Record<string, (env: Readonly<Record<string, string>>) => void>> = {
  web,
  catalog,
  payments,
  traffic,
};

/** Runs one role until it is ended. */
export async function run([name = ""]: readonly string[]): Promise<number> {
  const role = Object.hasOwn(ROLES, name) ? ROLES[name] : undefined;
  if (role === undefined) {
    const known = Object.keys(ROLES).join(", ");
    process.stderr.write(`malla demo-app: unknown role "${name}": expected one of ${known}\n`);
    return 64;
  }
  role(environment());
  await new Promise<void>((resolve) => void onSignals(["SIGTERM", "SIGINT"], () => resolve()));
  // Answers under way end with their connections: the proxy in front has drained by now.
  process.exit(0);
}

/** The shop's front: lists things, and sells them. */
function web(env: Readonly<Record<string, string>>): void {
  const catalogUrl = env["CATALOG_URL"] ?? "http://catalog";
  const paymentsUrl = env["PAYMENTS_URL"] ?? "http://payments";
  serve("web", async (path) => {
    const items = await call(`${catalogUrl}/items`);
    if (path !== "/checkout" || items.status !== 200) return items;
    const payment = await call(`${paymentsUrl}/charge`);
    return payment.status === 200
      ? json(200, { sold: true })
      : json(502, { sold: false, reason: "the payment failed" });
  });
}

/** Knows all things, and takes its time. */
function catalog(env: Readonly<Record<string, string>>): void {
  const slowest = Number(env["SLOWEST_MS"] ?? "120");
  const items = ["compass", "lantern", "rope", "tent", "kettle"].map((name, index) => ({
    name,
    price: 10 + index * 7,
  }));
  serve("catalog", async () => {
    await Bun.sleep(between(FASTEST_MS, slowest));
    return json(200, { items });
  });
}

/** Takes money, most of the time. */
function payments(env: Readonly<Record<string, string>>): void {
  const failurePercent = Number(env["FAILURE_PERCENT"] ?? "8");
  serve("payments", async () => {
    await Bun.sleep(between(2, 9));
    return Math.random() * 100 < failurePercent
      ? json(500, { charged: false, reason: "the bank did not answer" })
      : json(200, { charged: true });
  });
}

/** Users who look around and sometimes buy. */
function traffic(env: Readonly<Record<string, string>>): void {
  const target = env["TARGET_URL"] ?? "http://web";
  const users = Number(env["USERS"] ?? "24");
  for (let user = 0; user < users; user++) void shop(target);
  say("traffic", `${users} users visit ${target}`);
}

async function shop(target: string): Promise<never> {
  // Users do not all come at the same moment.
  await Bun.sleep(between(0, THINK_MS.most));
  for (;;) {
    await call(target + (Math.random() < PURCHASE_SHARE ? "/checkout" : "/"));
    await Bun.sleep(between(THINK_MS.least, THINK_MS.most));
  }
}

function serve(name: string, answer: (path: string) => Promise<Response>): void {
  const server = Bun.serve({
    port: PORT,
    fetch(request) {
      const { pathname } = new URL(request.url);
      return pathname === "/healthz" ? new Response("ok\n") : answer(pathname);
    },
  });
  say(name, `serves on port ${server.port}`);
}

/** A request whose failure is an answer too. */
async function call(url: string): Promise<Response> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(UPSTREAM_TIMEOUT_MS) });
    return new Response(await response.text(), { status: response.status });
  } catch (error) {
    return json(502, { reason: `${url}: ${error instanceof Error ? error.message : "no answer"}` });
  }
}

function json(status: number, body: unknown): Response {
  return Response.json(body, { status });
}

function between(least: number, most: number): number {
  return least + Math.random() * (most - least);
}

function say(name: string, text: string): void {
  process.stdout.write(`${name} ${text}\n`);
}
