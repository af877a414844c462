/**
 * The same bytes to a server directly and through two proxies with HTTP/2 between them: nginx, and Node's
 * HTTP/1 server, must answer the same, or the proxies refuse for a reason that is listed with the case.
 *
 * Differences by right, which the comparison passes over:
 * - names of fields are lower-case, Host comes first, reasons are the registered ones: HTTP/2 carries
 *   neither case nor reason phrases;
 * - fields about one connection (`HOP_BY_HOP`, and what Connection names) end at each hop;
 * - TE is `trailers` or nothing; `l5d-*` is the mesh's own;
 * - a body without a length may be chunked on one way and not on the other; the date;
 * - a target in absolute form: its authority becomes Host, and no path becomes `/` (RFC 9112 §3.2.2);
 * - where both refuse, the code is each one's own;
 * - a server that refuses a request ends its connection: through the proxies those behind it go on.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { nodeProgram } from "../support/node-program.ts";
import { type Answer, exchange } from "../support/http1-answers.ts";
import { freePorts } from "../support/malla.ts";
import { meshed, PathLab, until } from "../support/paths.ts";
import { type Case, differentialCases } from "./differential-cases.ts";

const LONG_MS = 120_000;
const SEED = 23;
const CASES = 350;
const AT_ONCE = 8;

const HOP_BY_HOP = /^(connection|keep-alive|proxy-connection|upgrade|transfer-encoding|te|l5d-.*)$/;
const PASSED_OVER = /^(date|connection|keep-alive|transfer-encoding|content-length|l5d-.*)$/;

const SBIN = `${process.env["PATH"]}:/usr/sbin:/sbin`;
const nginxPath = Bun.which("nginx", { PATH: SBIN });
const reasons: Readonly<Record<string, string | undefined>> = {
  nginx: nginxPath === null ? "not installed: nginx" : undefined,
  Node: nodeProgram() === undefined ? "not installed: node" : undefined,
};

const home = mkdtempSync(`${tmpdir()}/malla-differential-`);
const servers: Bun.Subprocess[] = [];
let lab: PathLab;

beforeAll(() => {
  lab = new PathLab(["shop", "web"]);
});
afterAll(async () => {
  await lab.stop();
  for (const server of servers) {
    server.kill("SIGKILL");
    await server.exited;
  }
  rmSync(home, { recursive: true, force: true });
});

describe.each([["nginx", startNginx], ["Node", startNode]] as const)("%s", (name, start) => {
  const reason = reasons[name];
  if (reason !== undefined) console.log(`skipping the comparison with ${name}: ${reason}`);

  test.skipIf(reason !== undefined)("answers the same, or is spared for a reason", async () => {
    const port = await start();
    const client = lab.proxy("shop");
    const server = lab.proxy("web");
    client.target().endpoints({ ...meshed(server, port), hint: "h2" });
    const cases = differentialCases(SEED, CASES);
    const unlike: string[] = [];
    const spared = new Map<string, number>();
    for (let at = 0; at < cases.length; at += AT_ONCE) {
      await Promise.all(
        cases.slice(at, at + AT_ONCE).map(async (each) => {
          const { text, methods, stricter } = each;
          const [direct, through] = await Promise.all([
            exchange(port, text, methods),
            exchange(client.outbound.port, text, methods),
          ]);
          const difference = compare(each, direct, through);
          if (difference === null) return;
          if (stricter !== undefined && isRefusal(through)) {
            spared.set(stricter, (spared.get(stricter) ?? 0) + 1);
          } else unlike.push(`${each.name}\n    ${difference}`);
        }),
      );
    }
    expect(unlike).toEqual([]);
    // What nobody needs to be spared is no reason.
    expect([...spared.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(5);
    expect(client.path.sessions).toBeLessThan(AT_ONCE);
  }, LONG_MS);
});

/** What is not the same, or null. */
function compare(one: Case, direct: readonly Answer[], through: readonly Answer[]): string | null {
  if (isRefusal(direct) && isRefusal(through)) return null;
  const isLast = isRefusal(direct) && direct.length < through.length;
  if (direct.length !== through.length && !isLast) {
    return `${direct.length} answers, through the proxies ${through.length}: ${brief(direct)} | ${
      brief(through)
    }`;
  }
  for (const [i, answer] of direct.entries()) {
    const [a, b] = [plain(answer, one), plain(through[i]!, one)];
    if (a !== b) return `${firstDifference(a, b)}`;
  }
  return null;
}

/** The only answer says that the request is none, or there is no answer. */
function isRefusal(answers: readonly Answer[]): boolean {
  if (answers.length === 0) return true;
  const last = answers.at(-1)!.status;
  return last === 400 || last === 431 || last === 414 || last === 501 || last === 505;
}

/** What is compared of an answer. */
function plain({ status, headers, body, trailers, cut }: Answer, one: Case): string {
  const kept = headers.filter(([name]) => !PASSED_OVER.test(name));
  const seen = body.startsWith("{") ? JSON.stringify(seenBy(body, one)) : body;
  return JSON.stringify({ status, kept, seen, trailers: trailers.map(lowerName), cut });
}

/** What Node's server saw, as both ways must have it. */
function seenBy(body: string, one: Case) {
  const { method, url, httpVersion, rawHeaders, rawTrailers, body: sent } = JSON.parse(body) as {
    readonly method: string;
    readonly url: string;
    readonly httpVersion: string;
    readonly rawHeaders: readonly string[];
    readonly rawTrailers: readonly string[];
    readonly body: string;
  };
  const named = one.text.matchAll(/^connection:(.*)$/gim);
  const listed = [...named].flatMap(([, value = ""]) => value.toLowerCase().split(","))
    .map((name) => name.trim());
  const fields = pairs(rawHeaders).filter(([name]) =>
    !HOP_BY_HOP.test(name) &&
    !(listed.includes(name) && name !== "host" && name !== "content-length")
  );
  const absolute = /^https?:\/\/([^/?]*)(.*)$/.exec(url);
  const isRoot = absolute !== null && absolute[2] === "" && method !== "OPTIONS";
  const target = isRoot ? `${url}/` : url;
  const host = absolute === null ? [] : [["host", absolute[1]]];
  const others = fields.filter(([name]) => absolute === null || name !== "host");
  const sorted = [...host, ...others].toSorted(([a = ""], [b = ""]) => a < b ? -1 : a > b ? 1 : 0);
  return { method, target, httpVersion, sorted, trailers: pairs(rawTrailers), sent };
}

function pairs(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [
    raw[i * 2]!.toLowerCase(),
    raw[i * 2 + 1]!,
  ]);
}

function lowerName(line: string): string {
  const colon = line.indexOf(":");
  return `${line.slice(0, colon).toLowerCase()}${line.slice(colon)}`;
}

function brief(answers: readonly Answer[]): string {
  return answers.map(({ status, body }) => `${status} ${body.slice(0, 80)}`).join("; ");
}

function firstDifference(a: string, b: string): string {
  let at = 0;
  while (a[at] === b[at]) at++;
  const from = Math.max(0, at - 60);
  return `…${a.slice(from, at + 120)}…\n    …${b.slice(from, at + 120)}…`;
}

async function startNode(): Promise<number> {
  const script = new URL("../fixtures/conformance/echo.mjs", import.meta.url).pathname;
  const server = Bun.spawn([nodeProgram() ?? "node", script], {
    stdout: "pipe",
    stderr: "inherit",
  });
  servers.push(server);
  let said = "";
  void (async () => {
    for await (const chunk of server.stdout) said += new TextDecoder().decode(chunk);
  })();
  await until("Node's port", () => said.includes("\n"));
  return Number(said);
}

/** nginx with a file, and answers that say what it saw. */
async function startNginx(): Promise<number> {
  const [port = 0] = await freePorts(1);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${home}/${name};`).join(" ");
  mkdirSync(`${home}/www`);
  writeFileSync(`${home}/www/length`, "0123456789\n");
  const seen = "$request_method $request_uri $host $server_protocol " +
    "$http_x_mixed|$http_x_empty|$http_x_blank|$http_x_tab|$http_x_latin|$http_x_twice|$http_cookie|" +
    "$http_x_stay|$http_accept|$http_authorization|$http_x_many_59";
  writeFileSync(
    `${home}/nginx.conf`,
    `daemon off; master_process off; pid ${home}/nginx.pid; error_log ${home}/error.log crit;
     events {}
     http {
       access_log off; ${temporary} default_type text/plain; client_max_body_size 10m;
       server {
         listen 127.0.0.1:${port}; add_header X-Answer "A, b" always;
         location / { return 200 "${seen}\\n"; }
         location = /length { root ${home}/www; }
         location = /empty { return 204; }
         location = /redirect { return 302 /elsewhere; }
       }
     }`,
  );
  const server = Bun.spawn([
    nginxPath ?? "nginx",
    "-e",
    `${home}/error.log`,
    "-c",
    `${home}/nginx.conf`,
  ]);
  servers.push(server);
  const ask = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
  for (;;) {
    const [answer] = await exchange(port, ask, ["GET"]);
    if (answer?.status === 200) return port;
    if (server.exitCode !== null) throw new Error(await Bun.file(`${home}/error.log`).text());
    await Bun.sleep(10);
  }
}
