/**
 * The simulated network: pods with addresses, listeners, and the redirects that a sidecar's pod has. One
 * `Net` per program in a pod; where its connections lead depends on whose they are.
 */

import type {
  CloseReason,
  Conn,
  ConnectOptions,
  ConnHandler,
  Listener,
  Net,
} from "../../lib/host/net.ts";
import type { SocketAddress } from "../../lib/mesh/address.ts";
import { type Flow, type Habitat, type Link, SimConn } from "./conn.ts";
import { Certificates } from "./tls.ts";
import type { World } from "./world.ts";

/** Ports of a sidecar. */
export const INBOUND_PORT = 4_143;
export const OUTBOUND_PORT = 4_140;

/** How connections are made and fail. */
export interface NetworkWeather {
  /** The link of a new connection between these two. */
  link(from: string, to: string): Link;
  /** What becomes of an attempt to connect: null is success, if somebody listens. */
  attempt(from: string, to: string): "refused" | "unreachable" | "lost" | null;
}

/** A program in a pod. */
export interface Program {
  readonly pod: Pod;
  readonly name: string;
  /** The sidecar's connections are not redirected. */
  readonly isProxy: boolean;
}

/** A network namespace. */
export class Pod {
  readonly ip: string;
  readonly listeners = new Map<number, SimListener>();
  /** Connections of its programs go to the sidecar's outbound port. */
  hasProxy = false;

  constructor(ip: string) {
    this.ip = ip;
  }
}

/** Takes connections of a pod's port. */
export class SimListener implements Listener {
  readonly address: SocketAddress;
  readonly pod: Pod;
  readonly name: string;
  readonly handler: ConnHandler<unknown>;
  readonly data: () => unknown;
  isStopped = false;

  constructor(
    program: Program,
    address: SocketAddress,
    handler: ConnHandler<unknown>,
    data: () => unknown,
  ) {
    this.pod = program.pod;
    this.name = program.name;
    this.address = address;
    this.handler = handler;
    this.data = data;
  }

  stop(): void {
    this.isStopped = true;
    if (this.pod.listeners.get(this.address.port) === this) {
      this.pod.listeners.delete(this.address.port);
    }
  }
}

/** Where a connection leads. */
interface Route {
  readonly listener: SimListener;
  readonly original: SocketAddress | null;
}

/** All pods, and what is open between them. */
export class Network implements Habitat {
  readonly world: World;
  readonly certificates: Certificates = new Certificates();
  readonly open: Set<SimConn> = new Set();
  readonly #weather: NetworkWeather;
  readonly #pods = new Map<string, Pod>();
  readonly #flows = new Map<string, Flow>();
  #port = 30_000;

  constructor(world: World, weather: NetworkWeather) {
    this.world = world;
    this.#weather = weather;
  }

  label(conn: SimConn): string {
    return `${conn.owner} #${conn.serial}`;
  }

  pod(ip: string): Pod {
    let pod = this.#pods.get(ip);
    if (pod === undefined) this.#pods.set(ip, pod = new Pod(ip));
    return pod;
  }

  flowOf(owner: string): Flow {
    let flow = this.#flows.get(owner);
    if (flow === undefined) this.#flows.set(owner, flow = { came: 0, went: 0 });
    return flow;
  }

  /** Open ends of one program. */
  openOf(name: string): number {
    let count = 0;
    for (const conn of this.open) if (conn.owner === name) count++;
    return count;
  }

  /** The network as a program has it. */
  netOf(program: Program): Net {
    return {
      listen: (address, handler, data) => {
        const { pod } = program;
        const listener = new SimListener(
          program,
          { ip: pod.ip, port: address.port },
          handler as ConnHandler<unknown>,
          data,
        );
        pod.listeners.set(address.port, listener);
        return listener;
      },
      connect: (options, handler, data) => this.#connect(program, options, handler, data),
      pair: ([nearHandler, nearData], [farHandler, farData], { remote, local }) => {
        const near = this.#end(program.name, "pair", { remote: local, local: remote });
        const far = this.#end(program.name, "pair", { remote, local });
        near.handler = nearHandler as ConnHandler<unknown>;
        near.data = nearData;
        far.handler = farHandler as ConnHandler<unknown>;
        far.data = farData;
        join(near, far);
        near.isPair = far.isPair = true;
        this.world.schedule(0, () => near.establish());
        this.world.schedule(0, () => far.establish());
        return [near as unknown as Conn<never>, far as unknown as Conn<never>];
      },
    };
  }

  #connect<D>(
    program: Program,
    options: ConnectOptions,
    handler: ConnHandler<D>,
    data: D,
  ): Conn<D> {
    const { address, tls, timeoutMs } = options;
    const local = { ip: program.pod.ip, port: this.#port++ };
    const to = `${address.ip}:${address.port}`;
    const near = this.#end(program.name, to, { remote: address, local });
    near.handler = handler as ConnHandler<unknown>;
    near.data = data;
    near.tlsClient = tls ?? null;
    near.startTimer(timeoutMs, "timeout");
    this.world.note(() => `${this.label(near)} connects to ${to}${tls ? " by TLS" : ""}`);
    const fate = this.#weather.attempt(program.name, to);
    if (fate !== null) this.world.fault(`${this.label(near)}: connecting is ${fate}`);
    if (fate === "lost") return near as unknown as Conn<D>;
    const latencyMs = near.link.latencyMs;
    this.world.schedule(latencyMs, () => {
      if (near.closed) return;
      const route = fate === null ? this.#route(program, address) : fate;
      if (typeof route !== "string") this.#arrive(near, route);
      else {
        this.world.fault(`${this.label(near)}: nobody takes it, ${route}`);
        this.world.schedule(latencyMs, () => near.finish(route));
      }
    });
    return near as unknown as Conn<D>;
  }

  /** Somebody listens: both ends are told, in any order. */
  #arrive(near: SimConn, { listener, original }: Route): void {
    const { world } = this;
    const addresses = { remote: near.local, local: listener.address };
    const far = new SimConn(this, listener.name, near.link, addresses, SILENT, null);
    far.original = original;
    join(near, far);
    const jitterMs = near.link.latencyMs + near.link.jitterMs;
    world.schedule(near.link.latencyMs * world.prng.float(), () => near.establish());
    world.schedule(jitterMs * world.prng.float(), () => {
      // Reset before anybody has taken it: the listener never learns of it.
      if (far.closed) return;
      if (listener.isStopped || (near.closed && !near.opened)) {
        far.destroy(true);
        return;
      }
      far.handler = listener.handler;
      far.data = listener.data();
      far.establish();
    });
  }

  #route(program: Program, address: SocketAddress): Route | CloseReason {
    const { pod, isProxy } = program;
    const isOwn = address.ip === pod.ip;
    const outbound = pod.listeners.get(OUTBOUND_PORT);
    if (!isProxy && pod.hasProxy && !isOwn) {
      return outbound === undefined ? "refused" : { listener: outbound, original: address };
    }
    const target = this.#pods.get(address.ip);
    if (target === undefined) return "unreachable";
    if (target.hasProxy && !isOwn) {
      const listener = target.listeners.get(INBOUND_PORT);
      if (listener === undefined) return "refused";
      return { listener, original: address.port === INBOUND_PORT ? null : address };
    }
    const listener = target.listeners.get(address.port);
    return listener === undefined ? "refused" : { listener, original: null };
  }

  #end(
    owner: string,
    to: string,
    addresses: { readonly remote: SocketAddress; readonly local: SocketAddress },
  ): SimConn {
    const link = this.#weather.link(owner, to);
    return new SimConn(this, owner, link, addresses, SILENT, null);
  }
}

function join(near: SimConn, far: SimConn): void {
  near.peer = far;
  far.peer = near;
  far.incoming = near.outgoing;
  far.outgoing = near.incoming;
}

/** For an end that nobody has got. */
const SILENT: ConnHandler<unknown> = {
  open() {},
  secure() {},
  data() {},
  drain() {},
  end() {},
  close() {},
};
