/**
 * One run's cast: pods with proxies and applications, services, clients, and what happens to them
 * meanwhile. Everything is drawn from the seed.
 *
 *     client pod ─▶ its proxy ─▶ server pods' proxies ─▶ applications
 *     strangers ────────────────────────▲
 */

import { Prng } from "../../lib/base/prng.ts";
import type { SocketAddress } from "../../lib/mesh/address.ts";
import type { Endpoint } from "../../lib/mesh/endpoint.ts";
import type {
  ClientMatch,
  ClientPolicy,
  PortProtocol,
  ServerPolicy,
} from "../../lib/mesh/policy.ts";
import { DEFAULT_RETRY_BUDGET } from "../../lib/mesh/reliability.ts";
import type { Credentials } from "../../lib/proxy/environment.ts";
import { type Ask, Ledger, PLAIN_ASK } from "./ask.ts";
import { NO_PAUSES } from "./reading.ts";
import { ClientHttp1, type ClientPlan } from "./client-http1.ts";
import { ClientHttp2 } from "./client-http2.ts";
import { Dice, type Nastiness, type Speech } from "./dice.ts";
import { INBOUND_PORT, Network, type Pod } from "./network.ts";
import { ClientOpaque, type OpaqueStyle, ServerOpaque } from "./opaque.ts";
import { admits, type Control, DirectControl, Endpoints, RESOURCE, Target } from "./control.ts";
import { ControlPlane, WatchedControl } from "./control-plane.ts";
import { SimProxy, tracingLogger } from "./proxy.ts";
import { ServerHttp1 } from "./server-http1.ts";
import { pathOf, type Server, type Service } from "./service.ts";
import { ServerHttp2, type ServerHttp2Plan } from "./server-http2.ts";
import { plotUpheavals } from "./upheaval.ts";
import { World } from "./world.ts";

const CLIENT_IDENTITY = "shop.sim";
const SERVER_IDENTITY = "web.sim";

const PORTS: Readonly<Record<Speech, number>> = { http1: 8_080, http2: 8_081, opaque: 9_090 };

/** Somebody who asks. */
export interface Client {
  leave(): void;
}

/** The whole cast. */
export interface Scenario {
  readonly seed: number;
  readonly nastiness: Nastiness;
  readonly dice: Dice;
  readonly world: World;
  readonly network: Network;
  readonly ledger: Ledger;
  /** null: proxies are told by the objects themselves. */
  readonly plane: ControlPlane | null;
  readonly outbound: SimProxy;
  /** By the index of their pod; null where a pod has none. */
  readonly inbound: readonly (SimProxy | null)[];
  readonly services: readonly Service[];
  readonly clients: readonly Client[];
  /** Pods, by their index, whose proxies have drained. */
  readonly drained: Set<number>;
  /** Has a new client ask a plain thing of a service. */
  readonly askOnce: (service: Service) => Ask;
  /** Some clients reach pods without a proxy of their own. */
  readonly hasStrangers: boolean;
}

/** How a scenario is chosen. */
export interface ScenarioOptions {
  readonly seed: number;
  /** Drawn when absent. */
  readonly nastiness?: Nastiness;
  readonly traced: boolean;
}

/** Draws a scenario and sets it up; nothing has happened yet. */
export function makeScenario(options: ScenarioOptions): Scenario {
  return new Builder(options).build();
}

class Builder {
  readonly #seed: number;
  readonly #dice: Dice;
  readonly #prng: Prng;
  readonly #world: World;
  readonly #network: Network;
  readonly #ledger: Ledger;
  readonly #pods: Pod[] = [];
  readonly #inbound: (SimProxy | null)[] = [];
  readonly #clients: Client[] = [];
  readonly #nastiness: Nastiness;
  readonly #plane: ControlPlane | null;
  #isMeshed = false;

  constructor({ seed, nastiness, traced }: ScenarioOptions) {
    this.#seed = seed;
    this.#prng = new Prng(seed);
    this.#nastiness = nastiness ?? this.#prng.pick([0, 1, 2, 3] as const);
    this.#dice = new Dice(this.#prng, this.#nastiness);
    const dice = this.#dice;
    this.#world = new World(seed ^ 0x5eed, dice.weather(), traced);
    const links = new Prng(seed ^ 0x11cc);
    this.#network = new Network(this.#world, {
      link: (_, to) => dice.link(links, to === "pair"),
      attempt: () => dice.attempt(links),
    });
    this.#ledger = new Ledger(this.#world);
    const manners = dice.plane();
    this.#plane = manners === null ? null : new ControlPlane(this.#world, manners);
  }

  build(): Scenario {
    const prng = this.#prng;
    const pods = prng.pick([1, 1, 2, 3]);
    const isMeshed = this.#isMeshed = prng.chance(0.8);
    const hasStrangers = prng.chance(0.2);
    const match: ClientMatch = isMeshed && !hasStrangers && prng.chance(0.5)
      ? { kind: "identities", names: [CLIENT_IDENTITY], suffixes: [] }
      : { kind: "unauthenticated" };
    for (let i = 0; i < pods; i++) this.#addPod(i, isMeshed || prng.chance(0.5), match);
    const outbound = this.#proxy("outbound", this.#network.pod("10.42.0.1"), CLIENT_IDENTITY, null);
    const services: Service[] = [];
    for (const speech of ["http1", "http2", "opaque"] as const) {
      if (services.length > 0 && !prng.chance(0.4)) continue;
      services.push(this.#service(speech, isMeshed, outbound, match));
    }
    const count = prng.between(1, 4);
    for (let i = 0; i < count; i++) this.#addClient(i, prng.pick(services), hasStrangers, isMeshed);
    const scenario: Scenario = {
      seed: this.#seed,
      nastiness: this.#nastiness,
      dice: this.#dice,
      world: this.#world,
      network: this.#network,
      ledger: this.#ledger,
      plane: this.#plane,
      outbound,
      inbound: this.#inbound,
      services,
      clients: this.#clients,
      askOnce: (service) => this.#askOnce(service),
      drained: new Set(),
      hasStrangers,
    };
    if (this.#nastiness === 3) plotUpheavals(scenario, prng, (name) => this.credentials(name));
    return scenario;
  }

  #addPod(index: number, hasProxy: boolean, match: ClientMatch): void {
    const pod = this.#network.pod(`10.42.1.${index + 1}`);
    this.#pods.push(pod);
    const name = `inbound ${index}`;
    this.#inbound.push(hasProxy ? this.#proxy(name, pod, SERVER_IDENTITY, match) : null);
  }

  #proxy(name: string, pod: Pod, identity: string, match: ClientMatch | null): SimProxy {
    const policy = admits(match ?? { kind: "unauthenticated" }, "detect");
    return new SimProxy({
      network: this.#network,
      pod,
      name,
      credentials: this.credentials(identity),
      control: this.#control(name, policy),
      paying: () => this.#ledger.asks.size,
      settings: { poolIdleTimeoutMs: this.#prng.pick([500, 3_000]) },
    });
  }

  #control(name: string, policy: ServerPolicy): Control {
    const world = this.#world;
    if (this.#plane !== null) {
      return new WatchedControl(this.#plane, policy, tracingLogger(world, name));
    }
    const delayMs = this.#prng.chance(0.3) ? () => 50 * world.prng.float() : () => 0;
    return new DirectControl(world, policy, delayMs);
  }

  credentials(name: string): Credentials {
    const material = this.#network.certificates.issue(name, "root");
    return { ...material, name, serverName: name, expiresAtMs: Infinity };
  }

  #service(speech: Speech, isMeshed: boolean, outbound: SimProxy, match: ClientMatch): Service {
    const prng = this.#prng;
    const port = PORTS[speech];
    const style = this.#style(speech);
    const protocol = this.#protocol(speech, style);
    const address = { ip: "10.43.0.1", port };
    const announced = this.#pods.length > 1 && prng.chance(0.3)
      ? [new Endpoints(), new Endpoints()]
      : [new Endpoints()];
    const paths = announced.map((_, backend) => pathOf({ speech, address }, backend));
    const policy = this.#clientPolicy(protocol, paths);
    const hint = prng.chance(0.6) ? "h2" as const : "unknown" as const;
    // Only what is detected can do without: a port that is opaque is so for TLS as well.
    const hasTransport = speech === "opaque" || prng.chance(0.85);
    const transportPort = hasTransport ? { transportPort: INBOUND_PORT } : {};
    const identity = { identity: { name: SERVER_IDENTITY, serverName: SERVER_IDENTITY } };
    const endpoints = this.#pods.map(({ ip }): Endpoint => ({
      address: { ip, port },
      weight: 10_000,
      labels: { pod: ip },
      hint: isMeshed ? hint : "unknown",
      ...(isMeshed ? { ...identity, ...transportPort } : {}),
    }));
    endpoints.forEach((endpoint, i) => announced[i % announced.length]!.add(endpoint));
    this.#announce(outbound, address, policy, paths, announced);
    const cells = prng.chance(0.3) || style.greets ? protocol : "detect";
    for (const proxy of this.#inbound) proxy?.control.cell(port).set(admits(match, cells));
    const plans = this.#pods.map((pod, index) => this.#serverPlan(speech, pod, index, port));
    const start = (index: number) => this.#start(speech, style, plans[index]!, this.#pods[index]!);
    const servers = this.#pods.map((_, index) => start(index));
    const withdrawn = new Set<number>();
    return {
      speech,
      address,
      policy,
      endpoints,
      announced,
      style,
      servers,
      start,
      withdrawn,
    };
  }

  /** Has the clients' proxy know of a service. */
  #announce(
    { control, metrics }: SimProxy,
    address: SocketAddress,
    policy: ClientPolicy,
    paths: readonly string[],
    announced: readonly Endpoints[],
  ): void {
    const requestMs = policy.http.timeouts?.requestMs ?? 0;
    if (requestMs > 0) metrics.latenciesMaxMs.set(`${address.port}`, requestMs);
    if (control instanceof DirectControl) {
      const budget = this.#dice.retryBudget();
      control.add(new Target(this.#world, address, policy, announced, budget));
      metrics.budgets.push(budget);
      return;
    }
    this.#plane?.add(address, policy, new Map(paths.map((path, i) => [path, announced[i]!])));
    metrics.budgets.push(DEFAULT_RETRY_BUDGET);
  }

  #clientPolicy(protocol: PortProtocol, paths: readonly string[]): ClientPolicy {
    const measures = { defaultRttMs: 30, decayMs: 10_000 };
    const backends = paths.map((path) => ({
      resource: RESOURCE,
      target: { kind: "balancer" as const, path, ...measures },
      weight: this.#prng.pick([1, 3]),
    }));
    const route = { resource: RESOURCE, action: { kind: "backends", backends } as const };
    const parent = { ...RESOURCE, kind: this.#prng.pick(["Service", "default"]) };
    const http = { ...route, ...this.#dice.route() };
    const more = this.#dice.accrual();
    return { protocol, detectTimeoutMs: 10_000, http, opaque: route, parent, ...more };
  }

  #style(speech: Speech): OpaqueStyle {
    const prng = this.#prng;
    const { certificates } = this.#network;
    if (speech !== "opaque") return { greets: false, tls: null };
    const greets = prng.chance(0.25);
    if (!prng.chance(0.25)) return { greets, tls: null };
    const material = certificates.issue("app.sim", "app root");
    const none = { certificateChain: "", privateKey: "", trustAnchors: "app root" };
    const names = { serverName: "app.sim", peerName: "app.sim" };
    const tls = { client: { ...none, ...names, alpn: [] }, server: { ...material, alpn: [] } };
    return { greets, tls };
  }

  #protocol(speech: Speech, style: OpaqueStyle): PortProtocol {
    if (speech === "opaque") return style.greets || this.#prng.chance(0.3) ? "opaque" : "detect";
    return this.#prng.chance(0.7) ? "detect" : speech;
  }

  #serverPlan(speech: Speech, pod: Pod, index: number, port: number): ServerHttp2Plan {
    const prng = this.#prng;
    const isNasty = this.#nastiness > 0;
    return {
      name: `${speech} server ${index}`,
      address: { ip: pod.ip, port },
      idleMs: isNasty && prng.chance(0.4) ? prng.pick([5, 100, 2_000]) : Infinity,
      reading: this.#dice.reading(),
      clientId: (ask: Ask) => ask.expectedId,
      streamsMax: prng.pick([null, 1, 2, 10, 100]),
      window: this.#dice.window(),
      goawayAfter: prng.chance(0.3) && isNasty ? prng.between(1, 10) : Infinity,
      goawayGracefully: prng.chance(0.5),
      laterWindow: prng.chance(0.3) ? this.#dice.window() : null,
    };
  }

  #start(
    speech: Speech,
    style: OpaqueStyle,
    plan: ServerHttp2Plan,
    pod: Pod,
  ): Server {
    const net = this.#network.netOf({ pod, name: plan.name, isProxy: false });
    const around = { world: this.#world, net, ledger: this.#ledger };
    if (speech === "http1") return new ServerHttp1(plan, around);
    if (speech === "http2") return new ServerHttp2(plan, around);
    return new ServerOpaque(plan, style, around);
  }

  #addClient(index: number, service: Service, hasStrangers: boolean, isMeshed: boolean): void {
    const prng = this.#prng;
    // Without a proxy in between, who pipelines would find a simple-minded server.
    const hasProxies = this.#inbound.every((proxy) => proxy !== null);
    const isStranger = hasStrangers && hasProxies && prng.chance(0.5);
    const name = isStranger ? `stranger ${index}` : `client ${index}`;
    const pod = this.#network.pod(isStranger ? `10.42.9.${index}` : "10.42.0.1");
    const net = this.#network.netOf({ pod, name, isProxy: false });
    const around = { world: this.#world, net, ledger: this.#ledger };
    const { speech, style } = service;
    const target = this.#address(service, isStranger);
    const expectedId = isMeshed && !isStranger ? CLIENT_IDENTITY : null;
    const asks = Array.from({ length: this.#dice.count() }, () => {
      const ask = this.#ledger.add(this.#dice.ask(speech));
      ask.expectedId = expectedId;
      ask.timeoutMs = ask.deadlineMs = ask.plan.deadlineMs ?? Infinity;
      if (!isStranger) followRoute(ask, service.policy);
      return ask;
    });
    const plan: ClientPlan = {
      name,
      startMs: prng.pick([0, 10, 1_000]) * prng.float(),
      target,
      depth: speech === "http2" ? prng.pick([1, 3, 100]) : prng.pick([1, 1, 2, 8]),
      reading: this.#dice.reading(),
      halfCloses: prng.chance(0.15),
      leaves: prng.pick(["fin", "destroy", "reset", "stay"]),
    };
    if (speech === "http1") this.#clients.push(new ClientHttp1(plan, asks, around));
    else if (speech === "http2") {
      const window = this.#dice.window();
      this.#clients.push(new ClientHttp2(plan, window, asks, around));
    } else this.#clients.push(new ClientOpaque(plan, style, asks, around));
  }

  #askOnce({ speech, address, style }: Service): Ask {
    const name = "late client";
    const net = this.#network.netOf({ pod: this.#network.pod("10.42.0.1"), name, isProxy: false });
    const around = { world: this.#world, net, ledger: this.#ledger };
    const ask = this.#ledger.add({ ...PLAIN_ASK, id: this.#dice.nextId() });
    ask.expectedId = this.#isMeshed ? CLIENT_IDENTITY : null;
    const plan: ClientPlan = {
      name,
      startMs: 0,
      target: address,
      depth: 1,
      reading: NO_PAUSES,
      halfCloses: false,
      leaves: "fin",
    };
    if (speech === "http1") new ClientHttp1(plan, [ask], around);
    else if (speech === "http2") new ClientHttp2(plan, null, [ask], around);
    else new ClientOpaque(plan, style, [ask], around);
    return ask;
  }

  #address(service: Service, isStranger: boolean): SocketAddress {
    if (!isStranger) return service.address;
    return this.#prng.pick(service.endpoints).address;
  }
}

/** Notes what the route may do to a request. */
function followRoute(ask: Ask, { http }: ClientPolicy): void {
  const { retry, timeouts } = http;
  ask.retriesMax = retry?.retriesMax ?? 0;
  const requestMs = timeouts?.requestMs ?? 0;
  if (requestMs > 0) ask.deadlineMs = Math.min(ask.deadlineMs, requestMs);
  const times = [retry?.tryTimeoutMs, timeouts?.requestMs, timeouts?.responseMs, timeouts?.idleMs];
  for (const ms of times) {
    if (ms !== undefined && ms > 0) ask.timeoutMs = Math.min(ask.timeoutMs, ms);
  }
}
