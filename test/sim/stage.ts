/**
 * A small scene for one thing at a time: one client, its proxy, a server behind a proxy or without one,
 * on links that a test chooses. What a run must hold is checked as in every scenario.
 */

import type { Endpoint } from "../../lib/mesh/endpoint.ts";
import type { PortProtocol } from "../../lib/mesh/policy.ts";
import type { Credentials } from "../../lib/proxy/environment.ts";
import { type Ask, type AskPlan, Ledger } from "./ask.ts";
import { ClientHttp1, type ClientPlan } from "./client-http1.ts";
import { ClientHttp2 } from "./client-http2.ts";
import type { Link } from "./conn.ts";
import { INBOUND_PORT, Network } from "./network.ts";
import { admits, SimProxy, Target } from "./proxy.ts";
import { checkAsk, checkIdle } from "./run.ts";
import type { Service } from "./scenario.ts";
import { ServerHttp1 } from "./server-http1.ts";
import { ServerHttp2 } from "./server-http2.ts";
import { World } from "./world.ts";

const SHOP = "shop.sim";
const WEB = "web.sim";
const NO_PAUSES = { pauses: 0, pauseMs: 0, stopAtByte: Infinity, stopMs: 0 };
const PORT = 8_080;

const USUAL_LINK: Link = {
  latencyMs: 1,
  jitterMs: 0,
  capacity: 65_536,
  smallReads: 0,
  readMax: 65_536,
  shortWrites: 0,
  resetAtByte: Infinity,
  silentAtByte: Infinity,
};

const USUAL_ASK: AskPlan = {
  id: 1,
  method: "GET",
  requestBytes: 0,
  requestChunked: false,
  requestTrailers: false,
  expectContinue: false,
  requestPauseMs: 0,
  requestPieceBytes: 16_384,
  http10: false,
  status: 200,
  responseBytes: 100,
  framing: "length",
  responseTrailers: false,
  interim: false,
  early: false,
  delayMs: 0,
  responsePauseMs: 0,
  responsePieceBytes: 16_384,
  afterwards: "keep",
  trouble: null,
  troubleOnce: false,
  garbage: null,
  paddingBytes: 0,
  grpcStatus: null,
  cancelMs: null,
  thinkMs: 0,
  tunnel: null,
};

/** What a test chooses. */
export interface StageOptions {
  readonly speech: "http1" | "http2";
  /** By the names of both sides: `client`, `outbound`, `inbound`, `server`. */
  readonly link?: (from: string, to: string) => Partial<Link>;
  /** How the server's endpoint is reached; the server has no proxy without an identity. */
  readonly endpoint?: "plain" | "meshed" | "meshed without a transport header";
  readonly hint?: Endpoint["hint"];
  readonly serverProtocol?: PortProtocol;
  readonly client?: Partial<ClientPlan>;
  readonly asks: readonly Partial<AskPlan>[];
}

/** One scene. */
export class Stage {
  readonly world = new World(1, { quantumMs: 0, shortTurns: 1, timerLagMs: 0 }, false);
  readonly ledger = new Ledger(this.world);
  readonly network: Network;
  readonly outbound: SimProxy;
  readonly inbound: SimProxy | null;
  readonly asks: readonly Ask[];
  readonly #service: Service;
  readonly #client: ClientHttp1 | ClientHttp2;

  constructor(options: StageOptions) {
    const { speech, endpoint = "plain" } = options;
    const { world, ledger } = this;
    this.network = new Network(world, {
      link: (from, to) => ({ ...USUAL_LINK, ...options.link?.(from, to) }),
      attempt: () => null,
    });
    const { network } = this;
    const pod = network.pod("10.42.1.1");
    const policy = admits({ kind: "unauthenticated" }, options.serverProtocol ?? "detect");
    const proxy = (name: string, ip: string, identity: string) =>
      new SimProxy(
        network,
        network.pod(ip),
        name,
        this.#credentials(identity),
        policy,
        { delayMs: () => 0 },
        {},
      );
    this.inbound = endpoint === "plain" ? null : proxy("inbound", pod.ip, WEB);
    this.outbound = proxy("outbound", "10.42.0.1", SHOP);
    const target = new Target(world, { ip: "10.43.0.1", port: PORT }, "detect", "Service");
    target.add({
      address: { ip: pod.ip, port: PORT },
      weight: 10_000,
      labels: {},
      hint: options.hint ?? "unknown",
      ...(endpoint === "plain" ? {} : { identity: { name: WEB, serverName: WEB } }),
      ...(endpoint === "meshed" ? { transportPort: INBOUND_PORT } : {}),
    });
    this.outbound.addTarget(target);
    const plan = {
      name: "server",
      address: { ip: pod.ip, port: PORT },
      idleMs: Infinity,
      reading: NO_PAUSES,
      clientId: () => endpoint === "plain" ? null : SHOP,
      streamsMax: null,
      window: null,
      goawayAfter: Infinity,
      goawayGracefully: true,
      laterWindow: null,
    };
    const serverNet = network.netOf({ pod, name: "server", isProxy: false });
    const serverAround = { world, ledger, net: serverNet };
    const start = () =>
      speech === "http1"
        ? new ServerHttp1(plan, serverAround)
        : new ServerHttp2(plan, serverAround);
    const style = { greets: false, tls: null };
    const withdrawn = new Set<number>();
    const servers = [start()];
    this.#service = { speech, port: PORT, target, endpoints: [], style, servers, start, withdrawn };
    this.asks = options.asks.map((ask, i) => ledger.add({ ...USUAL_ASK, id: i + 1, ...ask }));
    this.#client = this.#newClient(speech, target, options.client ?? {});
  }

  /** Lets everything happen, and checks it. Throws a `Violation`. */
  async run(): Promise<void> {
    const { world, ledger, outbound, inbound } = this;
    const isOver = world.runUntil(() => ledger.pending === 0, 100_000);
    if (!isOver) throw new Error("somebody waits for ever");
    // What was answered early may not have been sent.
    world.runUntil(() => false, world.nowMs + 1_000);
    this.#client.leave();
    world.runUntil(() => false, world.nowMs + 300_000);
    const services = [this.#service];
    for (const proxy of [outbound, inbound]) {
      if (proxy !== null) checkIdle({ network: this.network, services }, proxy);
    }
    for (const ask of this.asks) checkAsk(world, ask);
    await Promise.resolve();
  }

  #newClient(speech: string, target: Target, more: Partial<ClientPlan>): ClientHttp1 | ClientHttp2 {
    const pod = this.network.pod("10.42.0.1");
    const net = this.network.netOf({ pod, name: "client", isProxy: false });
    const around = { world: this.world, ledger: this.ledger, net };
    const plan: ClientPlan = {
      name: "client",
      startMs: 0,
      target: target.address,
      depth: 1,
      reading: NO_PAUSES,
      halfCloses: false,
      leaves: "fin",
      ...more,
    };
    if (speech === "http1") return new ClientHttp1(plan, this.asks, around);
    return new ClientHttp2(plan, null, this.asks, around);
  }

  #credentials(name: string): Credentials {
    const material = this.network.certificates.issue(name, "root");
    return { ...material, name, serverName: name, expiresAtMs: Infinity };
  }
}
