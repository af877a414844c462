/**
 * What two sidecars of a laptop mesh refuse: bytes that are no HTTP or only look like it, from a client
 * and from a server, and whatever a stranger sends to the ports of a proxy itself.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { encodeTransportHeader } from "../../lib/wire/transport-header.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { MALFORMED_REQUESTS, MALFORMED_RESPONSES } from "../support/malformed.ts";

const LONG_MS = 90_000;
const GET = "GET /from-a-stranger HTTP/1.1\r\nHost: rude\r\n\r\n";

const reason = whyNoMesh("curl", "openssl", "python3", "socat");
if (reason !== undefined) console.log(`skipping what a mesh refuses: ${reason}`);

/** A pod without a proxy, for what no proxy of ours would let out; it says `NAME: ANSWER` of each attempt. */
const STRANGER = (rude: string, shy: string) =>
  `apiVersion: v1
kind: Pod
metadata:
  name: stranger
  annotations: { linkerd.io/inject: disabled }
spec:
  restartPolicy: Never
  containers:
    - name: sh
      image: any
      command:
        - sh
        - -c
        - |
          raw() { python3 app/client.py ${rude} $1 app/$2.list; }
          raw 8001 malformed | sed 's/^/malformed: /'
          for port in 4140 4143 4190; do echo "$port: $(raw $port stranger)"; done
          tls() { timeout 20 openssl s_client -quiet -connect ${rude}:4143 -servername ${SERVER} \\
            -alpn transport.l5d.io/v1 "$@" < app/to-peer 2>tls.err | base64 -w0; \
            grep -o identity.malla.cluster.local tls.err; }
          openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / \\
            -addext subjectAltName=DNS:${SERVER} -keyout key.pem -out cert.pem 2>/dev/null
          echo "tls without a certificate: $(tls)"
          echo "tls with a certificate of its own: $(tls -cert cert.pem -key key.pem)"
          ask() { curl -s -m 20 -o /dev/null -w '%{http_code}' "$@"; }
          for path in live ready metrics env.json proxy-log-level shutdown anything; do
            echo "4191/$path: $(ask http://${rude}:4191/$path)"
          done
          echo "app: $(ask http://${rude}:8004/rude.yaml)"
          echo "level: $(ask -X PUT -d trace http://${rude}:4191/proxy-log-level)"
          echo "shutdown: $(ask -X POST http://${rude}:4191/shutdown)"
          echo "secrets: $(curl -s http://${rude}:4191/env.json | grep -ciE 'BEGIN|PRIVATE|eyJ')"
          for path in live ready metrics env.json; do
            echo "shy 4191/$path: $(ask http://${shy}:4191/$path)"
          done
          echo "shy: $(ask http://${shy}:8000/)"
          echo stranger done
`;

const SERVER = "default.default.serviceaccount.identity.malla.cluster.local";

describe.skipIf(reason !== undefined)("a mesh refuses", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    laptop.copy("rude");
    const marked = (text: string, index: number) => text.replaceAll("MARK", `mark-${index}-`);
    const requests = MALFORMED_REQUESTS.map(({ text }, index) => marked(text, index));
    const answers = Object.values(MALFORMED_RESPONSES);
    const paths = answers.map((_, index) => `GET /${index} HTTP/1.1\r\nHost: rude\r\n\r\n`);
    const lists = { malformed: requests, answers: answers.map(marked), paths, stranger: [GET] };
    for (const [name, texts] of Object.entries(lists)) {
      laptop.write(`${name}.list`, JSON.stringify(texts));
    }
    const header = encodeTransportHeader({ port: 8001, name: "", protocol: "opaque" });
    writeFileSync(`${laptop.app}/to-peer`, Buffer.concat([header, Buffer.from(GET)]));
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  /** What the servers on the port said to each text of the list, through both proxies. */
  async function ask(port: number, list: string): Promise<readonly string[]> {
    const script = ["python3", "app/client.py", "rude", String(port), `app/${list}.list`];
    const { out, code } = await laptop.run("run", `client-${++clients}`, "--", ...script);
    expect(code).toBe(0);
    return out.trim().split("\n").map((line) => JSON.parse(line));
  }

  test("malformed and ambiguous requests, and not a byte of them passes", async () => {
    expectRefused(await ask(8001, "malformed"), laptop.output);
    // The recorder does record, and the proxies still serve.
    await laptop.says("recorded b'GET /good HTTP/1.1");
    expect((await ask(8001, "stranger"))[0]).toStartWith("HTTP/1.1 200 OK\r\n");
    await laptop.says("recorded b'GET /from-a-stranger HTTP/1.1");
  }, LONG_MS);

  test("malformed and ambiguous responses", async () => {
    const answers = await ask(8003, "paths");
    const wrong = Object.keys(MALFORMED_RESPONSES).flatMap((name, index) => {
      const answer = answers[index] ?? "";
      const isRefused = answer.startsWith("HTTP/1.1 502 ") && !answer.includes("mark-");
      return isRefused ? [] : [`${name}: ${answer.slice(0, 200)}`];
    });
    expect(wrong).toEqual([]);
  }, LONG_MS);

  test("a stranger at every port", async () => {
    laptop.write("stranger.yaml", STRANGER(laptop.podIp("rude") ?? "", laptop.podIp("shy") ?? ""));
    await laptop.says("stranger done");
    const said = strangerSaid(laptop.output);
    const malformed = said.filter(([name]) => name === "malformed");
    expectRefused(malformed.map(([, answer]) => JSON.parse(answer)), laptop.output);
    const nothing = expect.stringMatching(/^"(<Connection(Reset|Refused)Error>)?"$/);
    expect(Object.fromEntries(said.filter(([name]) => name !== "malformed"))).toEqual({
      // The application's own port is for everybody, since no policy says otherwise.
      app: "200",
      "4140": nothing,
      "4143": nothing,
      "4190": nothing,
      // The issuer's name is that of the server's certificate: TLS was spoken, and nothing came of it.
      "tls without a certificate": "identity.malla.cluster.local",
      "tls with a certificate of its own": "identity.malla.cluster.local",
      "4191/live": "200",
      "4191/ready": "200",
      // The inbound policy of this pod admits everybody: a Prometheus without a proxy needs that.
      "4191/metrics": "200",
      "4191/env.json": "200",
      "4191/proxy-log-level": "403",
      "4191/shutdown": "404",
      "4191/anything": "404",
      level: "403",
      shutdown: "404",
      secrets: "0",
      "shy 4191/live": "200",
      "shy 4191/ready": "200",
      "shy 4191/metrics": "403",
      "shy 4191/env.json": "403",
      shy: "403",
    });
    // The one that a client of the mesh sent.
    expect(laptop.output.split("GET /from-a-stranger")).toHaveLength(2);
  }, LONG_MS);

  test("after the end nothing is left", async () => {
    expect(await laptop.end()).toBe(0);
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);
});

/** Each answer refuses, and nothing of a request reached the server. */
function expectRefused(answers: readonly string[], recorded: string): void {
  expect(answers).toHaveLength(MALFORMED_REQUESTS.length);
  const wrong = MALFORMED_REQUESTS.flatMap(({ name, status = 400, before = 0 }, index) => {
    const heads = (answers[index] ?? "").match(/HTTP\/1\.1 \d{3}/g) ?? [];
    const wanted = [...Array(before).fill(200), status].map((each) => `HTTP/1.1 ${each}`);
    const isRecorded = recorded.includes(`mark-${index}-`);
    if (!isRecorded && heads.join() === wanted.join()) return [];
    return [`${name}: ${heads.join()}${isRecorded ? ", recorded" : ""}`];
  });
  expect(wrong).toEqual([]);
}

/** What the stranger's lines say, with their names. */
function strangerSaid(output: string): (readonly [string, string])[] {
  const lines = output.matchAll(/^stranger\S*\s+\| (.*?): (.*)$/gm);
  return [...lines].map(([, name = "", answer = ""]) => [name, answer]);
}
