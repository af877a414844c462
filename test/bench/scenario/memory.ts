/**
 * Memory and start: what a proxy holds when it is idle, at 128 busy connections and after a burst; what
 * each further idle connection of the application costs, and each idle peer (mutual TLS); how long it
 * takes from `exec` to `/ready` with a control plane at hand. Each sample is of new proxies.
 */

import { readFileSync } from "node:fs";
import { encodeTransportHeader, TRANSPORT_PROTOCOL } from "../../../lib/wire/transport-header.ts";
import { type Memory, memory, type Node, type Program } from "../../support/lab.ts";
import { identity, type PodSpec } from "../../support/mesh.ts";
import { frame, GET_BLOCK, hello } from "../../support/raw-http2.ts";
import type { Bench } from "../bench.ts";
import { ENVOY_ADMIN_PORT, inboundHop, startEnvoyProcess } from "../envoy.ts";
import { type HoldOptions, startHolding } from "../load/hold.ts";
import { runWrk } from "../load/wrk.ts";
import { BACKEND_PORTS, type Place, proxyCores, type TwoHops } from "../place.ts";
import { type Column, interleave, type Sample, table } from "../sample.ts";

const BUSY_CONNECTIONS = 128;
/** The first ones pay for what the runtime grows once. */
const FIRST_CONNECTIONS = 1_000;
const MORE_CONNECTIONS = 2_000;
const FIRST_PEERS = 200;
const MORE_PEERS = 500;
/** Until what was freed is given back. */
const SETTLE_MS = 15_000;
const READY_LIMIT_MS = 10_000;
/** How often memory is looked at under load. */
const SAMPLE_EACH_MS = 100;

const START: readonly Column[] = [
  { key: "readyMs", title: "exec to ready, ms", digits: 0, ratio: true },
  { key: "idleResidentMb", title: "idle, resident MB", digits: 1 },
  { key: "idlePrivateMb", title: "private", digits: 1 },
  { key: "connectionKb", title: "KB per idle connection", digits: 1, ratio: true },
  { key: "peerKb", title: "KB per idle peer", digits: 1, ratio: true },
];

const BUSY: readonly Column[] = [
  { key: "busyResidentMb", title: `${BUSY_CONNECTIONS} busy, resident MB`, digits: 1 },
  { key: "busyProportionalMb", title: "proportional", digits: 1 },
  { key: "busyPrivateMb", title: "private", digits: 1, ratio: true },
  { key: "mostPrivateMb", title: "private at the most", digits: 1 },
  { key: "busyAnonymousMb", title: "anonymous", digits: 1 },
  { key: "afterPrivateMb", title: "idle again, private", digits: 1 },
  { key: "gonePrivateMb", title: "connections and peers gone, private", digits: 1 },
];

/** Runs the scenario. */
export async function memoryUse(bench: Bench): Promise<void> {
  const peers = bench.options.peers.filter((name) => name !== "none").map((name) => ({ name }));
  const samples = await interleave(peers, bench.options.rounds, ({ name }) => measure(bench, name));
  bench.report(table("Start and idle", samples, START));
  bench.report(table("Busy, and given back", samples, BUSY));
}

async function measure(bench: Bench, peer: string): Promise<Sample> {
  return { ...await underLoad(bench, peer), ...await holding(bench, peer) };
}

/** A pair that is idle, then busy, then idle again. */
async function underLoad(bench: Bench, peer: string): Promise<Sample> {
  const plane = await bench.startPlane(peer);
  const readyMs = await execToReady(bench, plane);
  await Bun.sleep(SETTLE_MS);
  const idle = largest(plane);
  const { busy, most } = await whileBusy(plane, 2 * bench.options.seconds);
  await Bun.sleep(SETTLE_MS);
  const after = largest(plane);
  await plane.place.stop();
  return {
    readyMs,
    ...named("idle", idle),
    ...named("busy", busy),
    ...named("most", most),
    ...named("after", after),
  };
}

/** Another pair, whose heap has no room from a burst that connections could be put into. */
async function holding(bench: Bench, peer: string): Promise<Sample> {
  const plane = await bench.startPlane(peer);
  const connectionKb = await heldConnections(plane, {
    first: FIRST_CONNECTIONS,
    more: MORE_CONNECTIONS,
    proxy: 0,
    from: plane.place.client,
    options: clientConnection(plane),
  });
  const peerKb = await heldConnections(plane, {
    first: FIRST_PEERS,
    more: MORE_PEERS,
    proxy: 1,
    // Not from the client's namespace, whose proxy would take the connections.
    from: bench.lab,
    options: await peerConnection(bench, plane),
  });
  await Bun.sleep(SETTLE_MS);
  const gone = largest(plane);
  await plane.place.stop();
  return { connectionKb, peerKb, ...named("gone", gone) };
}

/** A third proxy of the plane's kind, in a namespace of its own, asked every millisecond. */
async function execToReady(bench: Bench, { name, place }: TwoHops): Promise<number> {
  const node = bench.lab.node(`${place.name}-start`);
  const ready = `http://${node.ip}:${name === "envoy" ? ENVOY_ADMIN_PORT : 4191}/ready`;
  const launch = await launcher(bench, name, { name: node.name, node, port: 9, labels: {} });
  const startedMs = performance.now();
  const proxy = launch();
  while (!await isReady(ready)) {
    if (performance.now() - startedMs > READY_LIMIT_MS) throw new Error(`${name} is not ready`);
    await Bun.sleep(1);
  }
  const tookMs = performance.now() - startedMs;
  await proxy.stop("SIGKILL");
  return tookMs;
}

async function launcher(bench: Bench, peer: string, pod: PodSpec): Promise<() => Program> {
  const { lab, options } = bench;
  const { node } = pod;
  if (peer === "envoy") {
    return () => startEnvoyProcess(lab, node, options.envoy, [inboundHop("http1", node)], 1);
  }
  const mesh = await bench.mesh();
  mesh.pod(pod);
  const sidecar = bench.sidecar(peer);
  const launch = await mesh.launcher(pod, sidecar === "malla" ? undefined : sidecar.stock);
  return () => launch(proxyCores(1));
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    // Nobody listens yet.
    return false;
  }
}

/** What some connections more cost a proxy, in KB each. */
interface Held {
  readonly first: number;
  readonly more: number;
  /** Index among the plane's proxies. */
  readonly proxy: number;
  readonly from: Pick<Node, "start">;
  readonly options: Omit<HoldOptions, "connections">;
}

async function heldConnections(plane: TwoHops, held: Held): Promise<number> {
  const { place, proxies } = plane;
  const pid = proxies[held.proxy]?.pid ?? 0;
  const first = await startHolding(place, held.from, { ...held.options, connections: held.first });
  await Bun.sleep(SETTLE_MS);
  const before = memory(pid);
  const more = await startHolding(place, held.from, { ...held.options, connections: held.more });
  await Bun.sleep(SETTLE_MS);
  const after = memory(pid);
  for (const holder of [first, more]) await holder.stop("SIGKILL");
  return (after.privateMb - before.privateMb) * 1024 / held.more;
}

function clientConnection(plane: TwoHops): Omit<HoldOptions, "connections"> {
  const [ip = "", port = ""] = plane.ways.http1.split(":");
  return { address: { ip, port: Number(port) }, hello: request().toHex() };
}

/** One request by HTTP/2, as a peer's proxy would send it; a mesh's begins with the transport header. */
async function peerConnection(
  bench: Bench,
  { name, place }: TwoHops,
): Promise<Omit<HoldOptions, "connections">> {
  const http2 = [...hello(), ...frame(1, 5, 1, GET_BLOCK)];
  if (name === "envoy") {
    const { port } = inboundHop("http2", place.server);
    const tls = { ...envoyMaterial(place), serverName: "peer", peerName: "peer", alpn: ["h2"] };
    return { address: { ip: place.server.ip, port }, hello: Uint8Array.from(http2).toHex(), tls };
  }
  const header = encodeTransportHeader({ port: BACKEND_PORTS.http2, name: "", protocol: "http2" });
  const material = await (await bench.mesh()).certify(identity("holder"));
  const serverName = identity(`${place.name}-server`);
  const tls = { ...material, serverName, peerName: serverName, alpn: [TRANSPORT_PROTOCOL] };
  return {
    address: { ip: place.server.ip, port: 4143 },
    hello: Uint8Array.from([...header, ...http2]).toHex(),
    tls,
  };
}

function envoyMaterial({ lab }: Place) {
  const read = (file: string) => readFileSync(`${lab.home}/envoy/${file}`, "utf8");
  return {
    certificateChain: read("peer.crt"),
    privateKey: read("peer.key"),
    trustAnchors: read("ca.crt"),
  };
}

function request(): Uint8Array {
  return new TextEncoder().encode("GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
}

/** The usual memory under load, and the most: heaps grow and shrink with each collection. */
async function whileBusy(
  plane: TwoHops,
  seconds: number,
): Promise<{ readonly busy: Memory; readonly most: Memory }> {
  let isBusy = true;
  const load = runWrk(plane, { connections: BUSY_CONNECTIONS, seconds })
    .finally(() => void (isBusy = false));
  const seen: Memory[] = [];
  while (isBusy) {
    seen.push(largest(plane));
    await Bun.sleep(SAMPLE_EACH_MS);
  }
  await load;
  const ordered = seen.sort((a, b) => a.privateMb - b.privateMb);
  const busy = ordered[ordered.length >> 1];
  const most = ordered.at(-1);
  if (busy === undefined || most === undefined) throw new Error(`${plane.name} was never busy`);
  return { busy, most };
}

/** Of the plane's proxies the one with more private memory. */
function largest({ proxies }: TwoHops): Memory {
  const all = proxies.map(({ pid }) => memory(pid));
  return all.reduce((most, one) => one.privateMb > most.privateMb ? one : most);
}

function named(prefix: string, memory: Memory): Sample {
  const entries = Object.entries(memory).map(([key, value]) => [
    prefix + key.charAt(0).toUpperCase() + key.slice(1),
    value,
  ]);
  return Object.fromEntries(entries);
}
