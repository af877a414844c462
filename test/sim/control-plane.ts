/**
 * A simulated control plane behind the proxy's own watches: it is slow, goes away, falls silent, ends
 * streams for no reason, and repeats itself. What it tells is true all the same.
 */

import { Fault, type FaultCode } from "../../lib/base/fault.ts";
import { formatAddress, parseNetwork, type SocketAddress } from "../../lib/mesh/address.ts";
import type { Asker, Discovery, Sink, Unwatch } from "../../lib/mesh/discovery.ts";
import type { EndpointUpdate } from "../../lib/mesh/endpoint.ts";
import type { ClientPolicy, Profile, ServerPolicy } from "../../lib/mesh/policy.ts";
import type { WatchHost } from "../../lib/proxy/steady-watch.ts";
import { StreamHealth } from "../../lib/proxy/stream-health.ts";
import { WatchedPolicies } from "../../lib/proxy/server-policies.ts";
import { WatchedTargets } from "../../lib/proxy/targets.ts";
import type { Logger } from "../../lib/telemetry/logger.ts";
import { Cell, type Control, type Endpoints } from "./control.ts";
import type { World } from "./world.ts";

const SOON: readonly FaultCode[] = ["unavailable", "internal", "deadline_exceeded", "unknown"];
/** How often a silent control plane looks whether it may speak again. */
const SILENCE_STEP_MS = 50;
/** How long a proxy remembers what it does not use. */
const IDLE_MS = 5_000;

/** What a control plane is like. */
export interface PlaneManners {
  /** The longest wait before an answer or a change is told; 0: none. */
  readonly delayMs: number;
  /** Chance that a stream ends behind its first answer, and after which time at most. */
  readonly streamsEnd: number;
  readonly streamMs: number;
  /** Chance that something is told twice, or in vain. */
  readonly repeats: number;
}

/** One service as the control plane knows it. */
interface Known {
  policy: ClientPolicy;
  /** Of its backends, by their paths. */
  readonly backends: ReadonlyMap<string, Endpoints>;
  /** Told when the policy has changed. */
  readonly followers: Set<() => void>;
}

/** Everything that it knows, and the streams on which it tells it. */
export class ControlPlane {
  readonly world: World;
  readonly manners: PlaneManners;
  readonly #services = new Map<string, Known>();
  #ids = 0;
  readonly #streams = new Set<{ fail(code: FaultCode): void }>();
  /** Nobody answers, or connecting fails. */
  state: "up" | "silent" | "down" = "up";

  constructor(world: World, manners: PlaneManners) {
    this.world = world;
    this.manners = manners;
  }

  /** Streams that are open now. */
  get streams(): number {
    return this.#streams.size;
  }

  add(
    address: SocketAddress,
    policy: ClientPolicy,
    backends: ReadonlyMap<string, Endpoints>,
  ): void {
    const known = { policy, backends, followers: new Set<() => void>() };
    this.#services.set(formatAddress(address), known);
  }

  /** The policy of a service as it is now; `change` gives the next one. */
  changePolicy(address: SocketAddress, change: (policy: ClientPolicy) => ClientPolicy): void {
    const known = this.#services.get(formatAddress(address));
    if (known === undefined) return;
    known.policy = change(known.policy);
    for (const changed of [...known.followers]) changed();
  }

  /** It goes away: all streams end, new ones fail. */
  goDown(): void {
    this.state = "down";
    for (const stream of [...this.#streams]) stream.fail("unavailable");
  }

  /** As one proxy sees it; `cell` gives the policies of its ports. */
  discovery(cell: (port: number) => Cell): Discovery {
    return {
      watchEndpoints: (_: Asker, path, sink) => this.#watchEndpoints(path, sink),
      watchProfile: (_, __, sink: Sink<Profile>) =>
        this.#stream(sink, () => ({ fullyQualifiedName: "", opaque: false }), () => () => {}),
      watchClientPolicy: (_, target, sink: Sink<ClientPolicy>) => {
        const key = typeof target === "string" ? target : formatAddress(target);
        const known = this.#services.get(key);
        return this.#stream(sink, () => known?.policy ?? null, (tell) => {
          const changed = () => void (known !== undefined && tell(known.policy));
          known?.followers.add(changed);
          return () => void known?.followers.delete(changed);
        });
      },
      watchServerPolicy: (_, port, sink: Sink<ServerPolicy>) => {
        const { subscribers } = cell(port);
        return this.#stream(sink, () => cell(port).current, (tell) => {
          const changed = () => tell(cell(port).current);
          subscribers.add(changed);
          return () => void subscribers.delete(changed);
        });
      },
    };
  }

  #watchEndpoints(path: string, sink: Sink<EndpointUpdate>): Unwatch {
    const services = [...this.#services.values()];
    const known = services.find(({ backends }) => backends.has(path))?.backends.get(path);
    return this.#stream(sink, () => known?.all() ?? null, (tell) => {
      const { prng } = this.world;
      const told = (update: EndpointUpdate) => {
        tell(update);
        if (!prng.chance(this.manners.repeats)) return;
        tell(update);
        tell({ kind: "remove", addresses: [{ ip: "10.42.99.99", port: 1 }] });
      };
      known?.subscribers.add(told);
      return () => void known?.subscribers.delete(told);
    });
  }

  /** A stream: first everything, then changes, each after a while but in order. */
  #stream<T>(
    sink: Sink<T>,
    first: () => T | null,
    follow: (tell: (value: T) => void) => Unwatch,
  ): Unwatch {
    const { world, manners } = this;
    const { prng } = world;
    const id = ++this.#ids;
    let isOpen = true;
    let unfollow: Unwatch = () => {};
    // Whichever event comes first, what is told first is what was to be told first.
    const queue: (() => void)[] = [];
    const due = () => {
      if (isOpen && this.state === "silent") world.schedule(SILENCE_STEP_MS, due);
      else {
        const next = queue.shift();
        if (isOpen) next?.();
      }
    };
    const later = (call: () => void) => {
      queue.push(call);
      world.schedule(manners.delayMs * prng.float(), due);
    };
    const tell = (value: T) => {
      world.note(() => `stream ${id} of the control plane tells ${textOf(value)}`);
      sink.next(value);
    };
    const stream = {
      fail: (code: FaultCode) => {
        if (!isOpen) return;
        world.note(() => `stream ${id} of the control plane fails: ${code}`);
        end();
        sink.fail(new Fault(code, "the simulated control plane fails"));
      },
    };
    const end = () => {
      isOpen = false;
      unfollow();
      this.#streams.delete(stream);
    };
    if (this.state === "down") {
      world.schedule(manners.delayMs * prng.float(), () => stream.fail("unavailable"));
      return () => void (isOpen = false);
    }
    this.#streams.add(stream);
    const begin = () => {
      const value = first();
      if (value === null) return stream.fail("not_found");
      // Changes from now on are told behind it.
      unfollow = follow((change) => later(() => tell(change)));
      tell(value);
      if (!prng.chance(manners.streamsEnd)) return;
      world.schedule(manners.streamMs * prng.float(), () => stream.fail(prng.pick(SOON)));
    };
    if (manners.delayMs === 0 && this.state === "up") begin();
    else later(begin);
    return end;
  }
}

/** A value as a short text; numbers of networks are no JSON. */
function textOf(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => typeof part === "bigint" ? `${part}` : part);
  return text.slice(0, 200);
}

/** The proxy's own watches of such a control plane. */
export class WatchedControl implements Control {
  readonly targets: WatchedTargets;
  readonly serverPolicies: WatchedPolicies;
  readonly #cells = new Map<number, Cell>();
  readonly #policy: ServerPolicy;

  /** `policy`: the default of a port, which is also what the control plane says if nobody sets it. */
  constructor(plane: ControlPlane, policy: ServerPolicy, log: Logger) {
    const { world } = plane;
    this.#policy = policy;
    const host: WatchHost = {
      clock: world.clock(),
      random: () => world.prng.float(),
      times: {
        initialMs: 3_000,
        idleMs: world.prng.pick([5_000, 300_000]),
        lifetimeMs: world.prng.pick([20_000, 3_600_000]),
      },
    };
    const health = new StreamHealth("simulated", host.clock, log);
    const discovery = plane.discovery((port) => this.cell(port));
    const common = { host, discovery, health, asker: { context: "", workload: "" } };
    this.targets = new WatchedTargets({
      ...common,
      policyHealth: health,
      log,
      profileNetworks: [parseNetwork("10.43.0.0/16")],
      detectTimeoutMs: 10_000,
      idleMs: IDLE_MS,
      lookupMs: 3_000,
    });
    this.serverPolicies = new WatchedPolicies({
      ...common,
      defaultPolicy: () => policy,
      ports: [],
      idleMs: IDLE_MS,
    });
  }

  cell(port: number): Cell {
    let cell = this.#cells.get(port);
    if (cell === undefined) this.#cells.set(port, cell = new Cell(this.#policy));
    return cell;
  }

  kept(): string[] {
    this.serverPolicies.sweep();
    const { targets, destinations } = this.targets.size;
    const wrong: string[] = [];
    if (targets > 0) wrong.push(`${targets} targets`);
    if (destinations > 0) wrong.push(`${destinations} destinations`);
    for (const { subscribers } of this.#cells.values()) {
      if (subscribers.size > 0) wrong.push(`${subscribers.size} watches of ports`);
    }
    return wrong;
  }

  stop(): void {
    this.targets.stop();
    this.serverPolicies.stop();
  }
}
