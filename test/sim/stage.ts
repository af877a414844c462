/**
 * A small scene for one thing at a time: one client, its proxy, a server behind a proxy or without one,
 * on links that a test chooses. What a run must hold is checked as in every scenario.
 */

import type { Endpoint } from "../../lib/mesh/endpoint.ts";
import type { ClientPolicy, PortProtocol, Route } from "../../lib/mesh/policy.ts";
import { DEFAULT_RETRY_BUDGET } from "../../lib/mesh/reliability.ts";
import type { Credentials, PathSettings } from "../../lib/proxy/environment.ts";
import { type Ask, type AskPlan, Ledger, PLAIN_ASK } from "./ask.ts";
import { ClientHttp1, type ClientPlan } from "./client-http1.ts";
import { ClientHttp2 } from "./client-http2.ts";
import type { Link } from "./conn.ts";
import { INBOUND_PORT, Network } from "./network.ts";
import { admits, DirectControl, Endpoints, RESOURCE, Target } from "./control.ts";
import { SimProxy } from "./proxy.ts";
import { checkAsk, checkIdle } from "./run.ts";
import { ServerHttp1 } from "./server-http1.ts";
import { ServerHttp2 } from "./server-http2.ts";
import { NO_PAUSES } from "./reading.ts";
import { World } from "./world.ts";

const SHOP = "shop.sim";
const WEB = "web.sim";
const PORT = 8_080;
const SERVICE = { ip: "10.43.0.1", port: PORT };
const ROUTE: Route = { resource: RESOURCE, action: { kind: "backends", backends: [] } };
const CLIENT_POLICY: ClientPolicy = {
  protocol: "detect",
  detectTimeoutMs: 10_000,
  http: ROUTE,
  opaque: ROUTE,
  parent: { ...RESOURCE, kind: "Service" },
};

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

/** What a test chooses. */
export interface StageOptions {
  /** Of what a link draws; default 1. */
  readonly seed?: number;
  readonly speech: "http1" | "http2";
  /** By the names of both sides: `client`, `outbound`, `inbound`, `server`. */
  readonly link?: (from: string, to: string) => Partial<Link>;
  /** How the server's endpoint is reached; the server has no proxy without an identity. */
  readonly endpoint?: "plain" | "meshed" | "meshed without a transport header";
  readonly hint?: Endpoint["hint"];
  readonly serverProtocol?: PortProtocol;
  readonly client?: Partial<ClientPlan>;
  /** Of both proxies. */
  readonly settings?: Partial<PathSettings>;
  readonly asks: readonly Partial<AskPlan>[];
}

/** One scene. */
export class Stage {
  readonly world: World;
  readonly ledger: Ledger;
  readonly network: Network;
  readonly outbound: SimProxy;
  readonly inbound: SimProxy | null;
  readonly asks: readonly Ask[];
  readonly #client: ClientHttp1 | ClientHttp2;

  constructor(options: StageOptions) {
    const { speech, endpoint = "plain" } = options;
    const pace = { quantumMs: 0, shortTurns: 1, timerLagMs: 0 };
    const world = this.world = new World(options.seed ?? 1, pace, false);
    const ledger = this.ledger = new Ledger(world);
    this.network = new Network(world, {
      link: (from, to) => ({ ...USUAL_LINK, ...options.link?.(from, to) }),
      attempt: () => null,
    });
    const { network } = this;
    const pod = network.pod("10.42.1.1");
    const policy = admits({ kind: "unauthenticated" }, options.serverProtocol ?? "detect");
    const proxy = (name: string, ip: string, identity: string, control: DirectControl) =>
      new SimProxy({
        network,
        pod: network.pod(ip),
        name,
        credentials: this.#credentials(identity),
        control,
        settings: options.settings ?? {},
      });
    const control = () => new DirectControl(world, policy, () => 0);
    this.inbound = endpoint === "plain" ? null : proxy("inbound", pod.ip, WEB, control());
    const outbound = control();
    this.outbound = proxy("outbound", "10.42.0.1", SHOP, outbound);
    const endpoints = new Endpoints();
    endpoints.add({
      address: { ip: pod.ip, port: PORT },
      weight: 10_000,
      labels: {},
      hint: options.hint ?? "unknown",
      ...(endpoint === "plain" ? {} : { identity: { name: WEB, serverName: WEB } }),
      ...(endpoint === "meshed" ? { transportPort: INBOUND_PORT } : {}),
    });
    outbound.add(new Target(world, SERVICE, CLIENT_POLICY, [endpoints], DEFAULT_RETRY_BUDGET));
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
    if (speech === "http1") new ServerHttp1(plan, serverAround);
    else new ServerHttp2(plan, serverAround);
    this.asks = options.asks.map((ask, i) => ledger.add({ ...PLAIN_ASK, id: i + 1, ...ask }));
    this.#client = this.#newClient(speech, options.client ?? {});
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
    for (const proxy of [outbound, inbound]) {
      if (proxy !== null) checkIdle(this.network, proxy);
    }
    for (const ask of this.asks) checkAsk(world, ask);
    await Promise.resolve();
  }

  #newClient(speech: string, more: Partial<ClientPlan>): ClientHttp1 | ClientHttp2 {
    const pod = this.network.pod("10.42.0.1");
    const net = this.network.netOf({ pod, name: "client", isProxy: false });
    const around = { world: this.world, ledger: this.ledger, net };
    const plan: ClientPlan = {
      name: "client",
      startMs: 0,
      target: SERVICE,
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
