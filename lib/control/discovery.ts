/**
 * The control plane's answers. It is fed by a source, as a `SourceWatcher`, and asked by proxies, as
 * `Discovery`. Until the source has told all that exists nobody is answered: "not found" would be a
 * lie that a proxy acts upon.
 */

import { Fault } from "../base/fault.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { Asker, Discovery, Sink, Unwatch } from "../mesh/discovery.ts";
import type { EndpointUpdate } from "../mesh/endpoint.ts";
import type { ClientPolicy, Profile, ServerPolicy } from "../mesh/policy.ts";
import type { MeshObject, ObjectRef } from "../source/objects.ts";
import { addressIn, parseAsker, parseServiceAuthority } from "./authority.ts";
import { addressPolicy, authorityPolicy, clientPolicyOf } from "./client-policy.ts";
import { type EndpointSet, endpointsQuestion, endpointSteps } from "./destination.ts";
import { Index } from "./index.ts";
import { addressProfile, authorityProfile } from "./profile.ts";
import { serverPolicyQuestion, unknownWorkload } from "./server-policy.ts";
import type { ControlSettings } from "./settings.ts";
import { type Listener, type Question, Topics } from "./topics.ts";

/** Sizes for metrics and tests. */
export interface ControlSizes {
  readonly objects: Readonly<Record<string, number>>;
  readonly topics: number;
  readonly keys: number;
  /** Watches that wait for the first sync. */
  readonly waiting: number;
}

/** Steps from one state to the next, by the node of the asker where that matters. */
interface SharedSteps {
  readonly previous: EndpointSet | undefined;
  readonly next: EndpointSet;
  readonly byNode: Map<string, readonly EndpointUpdate[]>;
}

/** An index and its answers. */
export class Control implements Discovery {
  readonly #settings: ControlSettings;
  readonly #index: Index;
  readonly #topics: Topics;
  /** Starts of watches that came before the first sync; undefined after it. */
  #waiting: Set<() => void> | undefined = new Set();
  /** The full state of each set that is watched now; not tied to the sets before it. */
  readonly #fullSteps = new WeakMap<EndpointSet, SharedSteps>();
  /** The newest change: all askers of one topic are told in a row, so one place is enough. */
  #changeSteps: SharedSteps | undefined;

  /** `schedule` runs a call at the end of this turn of the event loop, so that a burst is one change. */
  constructor(settings: ControlSettings, schedule: (call: () => void) => void) {
    this.#settings = settings;
    this.#index = new Index((key) => this.#topics.touch(key));
    this.#topics = new Topics(this.#index, schedule);
  }

  /** Takes an object as it is now. */
  applied(object: MeshObject): void {
    this.#index.apply(object);
  }

  /** Forgets an object. */
  deleted(ref: ObjectRef): void {
    this.#index.delete(ref);
  }

  /** All that exists has been told: those who wait are answered. */
  synced(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const start of waiting ?? []) start();
  }

  /** Whether watches are answered. */
  get isSynced(): boolean {
    return this.#waiting === undefined;
  }

  /** Computes and tells what changed, without waiting for the end of the turn. */
  flush(): void {
    this.#topics.flush();
  }

  sizes(): ControlSizes {
    return {
      objects: this.#index.sizes(),
      topics: this.#topics.size,
      keys: this.#topics.keys,
      waiting: this.#waiting?.size ?? 0,
    };
  }

  watchEndpoints(asker: Asker, path: string, sink: Sink<EndpointUpdate>): Unwatch {
    if (addressIn(path) !== undefined) {
      return refuse(
        sink,
        new Fault("invalid_argument", `Cannot resolve "${path}": expected a name, not an address`),
      );
    }
    return this.#watch(sink, () => {
      const target = parseServiceAuthority(path, this.#settings.clusterDomain);
      const { nodeName } = parseAsker(asker.context);
      const question = endpointsQuestion(target, this.#zoneOf(asker), this.#settings);
      return this.#follow(question, sink, (next, previous) => {
        if (previous === undefined) {
          const refusal = endpointsRefusal(next, path);
          if (refusal !== undefined) return refusal;
        }
        for (const step of this.#sharedSteps(previous, next, nodeName)) sink.next(step);
      });
    });
  }

  watchProfile(asker: Asker, path: string, sink: Sink<Profile>): Unwatch {
    return this.#watch(sink, () => {
      const { clusterDomain } = this.#settings;
      const address = addressIn(path);
      const { namespace } = parseAsker(asker.context);
      const from = { zone: this.#zoneOf(asker), namespace };
      const question = address === undefined
        ? authorityProfile(parseServiceAuthority(path, clusterDomain), from, this.#settings)
        : addressProfile(address, from, this.#settings);
      return this.#follow(question, sink, (profile) => sink.next(profile));
    });
  }

  watchClientPolicy(
    _asker: Asker,
    target: SocketAddress | string,
    sink: Sink<ClientPolicy>,
  ): Unwatch {
    return this.#watch(sink, () => {
      const { clusterDomain } = this.#settings;
      const address = typeof target === "string" ? addressIn(target) : target;
      const question = address === undefined
        ? authorityPolicy(parseServiceAuthority(`${target}`, clusterDomain), this.#settings)
        : addressPolicy(address, this.#settings);
      return this.#follow(question, sink, (answer) => {
        const policy = clientPolicyOf(answer);
        if (policy instanceof Fault) return policy;
        sink.next(policy);
      });
    });
  }

  watchServerPolicy(asker: Asker, port: number, sink: Sink<ServerPolicy>): Unwatch {
    return this.#watch(sink, () => {
      const { namespace, name } = parseAsker(asker.workload);
      if (namespace === "" || name === "" || !(port >= 1 && port <= 65_535)) {
        throw new Fault(
          "invalid_argument",
          `Cannot find port ${port} of workload "${asker.workload}": expected a port from 1 to ` +
            `65535 and {"ns":"…","pod":"…"}`,
          { source: "downstream" },
        );
      }
      const question = serverPolicyQuestion({ namespace, name }, port, this.#settings);
      return this.#follow(question, sink, (policy) => {
        if (policy === undefined) return unknownWorkload(namespace, name);
        sink.next(policy);
      });
    });
  }

  /** Runs `start` once there is something to answer from; a fault that it throws ends the watch. */
  #watch<T>(sink: Sink<T>, start: () => Unwatch): Unwatch {
    let unwatch: Unwatch | undefined;
    const begin = (): void => {
      try {
        unwatch = start();
      } catch (thrown) {
        if (!(thrown instanceof Fault)) throw thrown;
        sink.fail(thrown);
      }
    };
    if (this.#waiting === undefined) begin();
    else this.#waiting.add(begin);
    return () => {
      this.#waiting?.delete(begin);
      unwatch?.();
      unwatch = undefined;
    };
  }

  /** Passes answers to `tell` until it returns a fault, which ends the watch. */
  #follow<T, S>(
    question: Question<T>,
    sink: Sink<S>,
    tell: (answer: T, previous: T | undefined) => Fault | void,
  ): Unwatch {
    let ended = false;
    let unsubscribe: Unwatch | undefined;
    const end = (): void => {
      ended = true;
      unsubscribe?.();
      unsubscribe = undefined;
    };
    const listener: Listener<T> = (answer, previous) => {
      if (ended) return;
      const fault = tell(answer, previous);
      if (!(fault instanceof Fault)) return;
      end();
      sink.fail(fault);
    };
    unsubscribe = this.#topics.subscribe(question, listener);
    // The first answer comes before `subscribe` returns, and may have ended the watch.
    if (ended) end();
    return end;
  }

  #zoneOf(asker: Asker): string {
    const { namespace, name } = parseAsker(asker.context);
    return this.#index.pod(namespace, name)?.zone ?? "";
  }

  /** The same objects go to all askers on a node: the server encodes each of them once. */
  #sharedSteps(
    previous: EndpointSet | undefined,
    next: EndpointSet,
    nodeName: string,
  ): readonly EndpointUpdate[] {
    const shared = previous === undefined
      ? this.#fullStepsOf(next)
      : this.#changeStepsOf(previous, next);
    const node = next.localOnly || previous?.localOnly === true ? nodeName : "";
    const known = shared.byNode.get(node);
    if (known !== undefined) return known;
    const steps = endpointSteps(previous, next, node);
    shared.byNode.set(node, steps);
    return steps;
  }

  #fullStepsOf(next: EndpointSet): SharedSteps {
    const known = this.#fullSteps.get(next);
    if (known !== undefined) return known;
    const shared: SharedSteps = { previous: undefined, next, byNode: new Map() };
    this.#fullSteps.set(next, shared);
    return shared;
  }

  #changeStepsOf(previous: EndpointSet, next: EndpointSet): SharedSteps {
    const known = this.#changeSteps;
    if (known?.previous === previous && known.next === next) return known;
    this.#changeSteps = { previous, next, byNode: new Map() };
    return this.#changeSteps;
  }
}

function endpointsRefusal(set: EndpointSet, path: string): Fault | undefined {
  switch (set.state) {
    case "present":
      return undefined;
    case "absent":
      return new Fault("not_found", `No service for "${path}"`, { source: "downstream" });
    case "external":
      return new Fault(
        "invalid_argument",
        `Cannot resolve "${path}": its service is of type ExternalName and has no endpoints`,
        { source: "downstream" },
      );
  }
}

function refuse<T>(sink: Sink<T>, fault: Fault): Unwatch {
  sink.fail(fault);
  return () => {};
}
