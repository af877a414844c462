/**
 * A stock linkerd2-proxy in a mesh of Malla's: it takes the place of one sidecar, first as client, then
 * as server, with certificate, discovery and policy from our control plane; HTTP/1 to Python's file
 * server, HTTP/2 to nghttpd, gRPC by Go's library where there is a compiler, and opaque TCP to Redis. Its
 * program was built elsewhere:
 *
 *   npm run interop -- --linkerd2-proxy PATH [--executable dist/malla]
 */

import { parseArgs } from "node:util";
import { GO_FIXTURES, goFixtures, whyNoGo } from "../support/go-fixtures.ts";
import { enterLab, insideLab, Lab, until } from "../support/lab.ts";
import { Mesh, type PodSpec } from "../support/mesh.ts";

const { values } = parseArgs({
  options: {
    "linkerd2-proxy": { type: "string" },
    executable: { type: "string", default: new URL("../../dist/malla", import.meta.url).pathname },
  },
});
const stock = values["linkerd2-proxy"] ?? "";
if (stock === "") throw new Error("give the program of a stock proxy with --linkerd2-proxy PATH");
if (!insideLab()) {
  if (whyNoGo() === undefined) await goFixtures();
  process.exit(enterLab(import.meta.path, process.argv.slice(2)));
}

/** One way through the mesh: which side is the stock proxy. */
type Way = "stock client" | "stock server";

const FOLDER = "/usr/share/common-licenses";
const lab = new Lab();
const mesh = await Mesh.start(lab, values.executable);
let failures = 0;
for (const [index, way] of (["stock client", "stock server"] as const).entries()) {
  await tryWay(way, index + 1);
}
process.exit(failures === 0 ? 0 : 1);

async function tryWay(way: Way, index: number): Promise<void> {
  const client: PodSpec = { name: `c${index}`, node: lab.node(`c${index}`), port: 9, labels: {} };
  const files: PodSpec = pod(`files${index}`, 8000);
  const cache: PodSpec = pod(`cache${index}`, 6379);
  const h2: PodSpec = pod(`h2${index}`, 8001);
  const rpc: PodSpec = pod(`rpc${index}`, 50051);
  files.node.start(["python3", "-m", "http.server", "8000", "--directory", FOLDER]);
  h2.node.start(["nghttpd", "--no-tls", "-d", FOLDER, "8001"]);
  cache.node.start(["redis-server", "--protected-mode", "no", "--save", ""]);
  const hasGo = whyNoGo() === undefined;
  if (hasGo) rpc.node.start([GO_FIXTURES.rpc, "server", "0.0.0.0:50051"]);
  const servers = [files, cache, h2, ...(hasGo ? [rpc] : [])];
  for (const each of [client, ...servers]) {
    const isStock = (each === client) === (way === "stock client");
    mesh.pod(each);
    mesh.redirect(each.node, isStock ? "unmarked" : "marked");
    await (isStock ? mesh.startPeer(each, stock) : mesh.startProxy(each));
  }
  const ip = (last: number) => `10.43.${index}.${last}`;
  const [filesIp, cacheIp, h2Ip, rpcIp] = [ip(1), ip(2), ip(3), ip(4)];
  mesh.service(files.name, filesIp, 80, 8000);
  mesh.service(cache.name, cacheIp, 6379, 6379);
  mesh.service(h2.name, h2Ip, 80, 8001);
  mesh.service(rpc.name, rpcIp, 50051, 50051);
  const sum = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
  const wanted = sum(await Bun.file(`${FOLDER}/GPL-3`).text());
  const curl = ["curl", "-sf", "--max-time", "5"];
  await until("curl is answered", async () => {
    const got = client.node.start([...curl, `http://${filesIp}/GPL-3`]);
    return await got.exited === 0 && sum(await got.output()) === wanted;
  });
  report(`${way}: HTTP/1 through mutual TLS, same bytes`, true);
  const pipe = "for i in $(seq 5000); do echo SET k$i $i; done | redis-cli -h";
  const redis = client.node.start(["sh", "-c", `${pipe} ${cacheIp} --pipe`]);
  await redis.exited;
  report(
    `${way}: Redis, pipelined, opaque`,
    (await redis.output()).includes("errors: 0, replies: 5000"),
  );
  const prior = [...curl, "--http2-prior-knowledge", `http://${h2Ip}/GPL-3`];
  await until("HTTP/2 is answered", async () => await client.node.start(prior).exited === 0);
  const got = client.node.start(prior);
  report(
    `${way}: HTTP/2 through mutual TLS, same bytes`,
    await got.exited === 0 && sum(await got.output()) === wanted,
  );
  for (const [what, flags, url] of [["2", [], h2Ip], ["1", ["--h1"], filesIp]] as const) {
    const load = client.node.start([
      ...["h2load", ...flags, "-n", "2000", "-c", "4", ...(what === "2" ? ["-m", "20"] : [])],
      `http://${url}/GPL-3`,
    ]);
    await load.exited;
    const text = await load.output();
    report(`${way}: 2000 requests by HTTP/${what} under load`, text.includes(" 2000 succeeded"));
  }
  if (hasGo) await tryCalls(way, client, rpc, rpcIp);
  else console.log(`- ${way}: no gRPC: ${whyNoGo()}`);
  await reportPeers(way, client, servers);
}

/** Each way of calling: unary, streams both ways, errors at once and late, a deadline, cancellation. */
async function tryCalls(way: Way, client: PodSpec, server: PodSpec, ip: string): Promise<void> {
  const target = `${ip}:50051`;
  let results: Record<string, string> = {};
  await until("a call is answered", async () => {
    const calls = client.node.start([GO_FIXTURES.rpc, "client", target]);
    await calls.exited;
    results = JSON.parse(await calls.output())[target];
    return results["unary"] === "ok";
  });
  for (const [trial, outcome] of Object.entries(results)) {
    report(`${way}: gRPC, ${trial}${outcome === "ok" ? "" : `: ${outcome}`}`, outcome === "ok");
  }
  // NOT_FOUND stands in a head without a body, DATA_LOSS behind a stream's messages.
  for (const [pod, direction] of [[client, "outbound"], [server, "inbound"]] as const) {
    const lines = (await metrics(pod)).split("\n").filter((line) =>
      line.startsWith("response_total{") && line.includes(`direction="${direction}"`)
    );
    const counted = ["0", "5", "15"].map((status) =>
      lines.some((line) => line.includes(`grpc_status="${status}"`))
    );
    report(`${way}: ${pod.name} counts calls by status`, counted.every((each) => each));
  }
}

/** Both sides must name the other's identity in their counters of secured connections. */
async function reportPeers(
  way: Way,
  client: PodSpec,
  servers: readonly PodSpec[],
): Promise<void> {
  const identity = (pod: PodSpec) =>
    `${pod.name}.default.serviceaccount.identity.malla.cluster.local`;
  const outbound = await metrics(client);
  for (const server of servers) {
    const inbound = await metrics(server);
    report(`${way}: client names ${server.name}`, secured(outbound, "server_id", identity(server)));
    report(`${way}: ${server.name} names client`, secured(inbound, "client_id", identity(client)));
  }
}

function secured(text: string, label: string, name: string): boolean {
  return text.split("\n").some((line) =>
    line.startsWith("tcp_open_total{") && line.includes(`${label}="${name}"`) &&
    line.includes('tls="true"')
  );
}

async function metrics(pod: PodSpec): Promise<string> {
  const got = pod.node.start(["curl", "-s", `http://${pod.node.ip}:4191/metrics`]);
  await got.exited;
  return await got.output();
}

function pod(name: string, port: number): PodSpec {
  return { name, node: lab.node(name), port, labels: { app: name } };
}

function report(what: string, isGood: boolean): void {
  if (!isGood) failures++;
  console.log(`${isGood ? "√" : "×"} ${what}`);
}
