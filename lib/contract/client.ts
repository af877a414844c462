/**
 * The proxy's side of the control API: a `Certifier` and a `Discovery` over channels. A watch that
 * breaks is asked for again, with a pause that grows; its reader sees no gap and no reset, only values.
 * It ends with a fault only where asking again makes no sense.
 */

import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { Fault, FaultCode } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Certifier } from "../mesh/certifier.ts";
import type { Asker, Discovery, Sink, Unwatch } from "../mesh/discovery.ts";
import type { EndpointUpdate } from "../mesh/endpoint.ts";
import type { ClientPolicy, Profile, ServerPolicy } from "../mesh/policy.ts";
import { addressToWire } from "./address.ts";
import { certificateRequestToWire, issuedCertificateFromWire } from "./certify.ts";
import type { Channel } from "./channel.ts";
import { clientPolicyFromWire } from "./client-policy-from.ts";
import { endpointUpdateFromWire } from "./endpoint.ts";
import { GetDestinationSchema } from "./gen/destination_pb.ts";
import { PortSpecSchema } from "./gen/inbound_pb.ts";
import { TrafficSpecSchema } from "./gen/outbound_pb.ts";
import {
  CERTIFY,
  GET_ENDPOINTS,
  GET_PROFILE,
  type Method,
  WATCH_CLIENT_POLICY,
  WATCH_SERVER_POLICY,
} from "./methods.ts";
import { profileFromWire } from "./profile.ts";
import { serverPolicyFromWire } from "./server-policy-from.ts";

/** How to reach the two discovery services. */
export interface DiscoveryClientOptions {
  readonly destination: Channel;
  readonly policy: Channel;
  readonly clock: Clock;
  /** A number in [0, 1), to spread the attempts of many proxies. */
  readonly random: () => number;
  /** Told of each failed attempt, for the log. */
  readonly retrying?: (what: string, fault: Fault, delayMs: number) => void;
}

const CERTIFY_TIMEOUT_MS = 10_000;
/** A stream that does not say anything for so long at its start is asked for anew. */
const FIRST_MESSAGE_MS = 3_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 60_000;

/** Faults that the next attempt would meet again, for all watches. */
const FINAL: readonly FaultCode[] = ["invalid_argument", "failed_precondition"];
/** Faults after which what is asked for is known not to be there. */
const FINAL_OUTBOUND: readonly FaultCode[] = [...FINAL, "not_found", "unimplemented"];

/** Asks an identity service for certificates. */
export function createCertifier(channel: Channel): Certifier {
  return {
    async certify(request) {
      const message = certificateRequestToWire(request);
      return issuedCertificateFromWire(await channel.unary(CERTIFY, message, CERTIFY_TIMEOUT_MS));
    },
  };
}

/**
 * Asks the destination and policy services. Endpoints, profiles and client policies end with
 * `not_found`, `unimplemented`, `invalid_argument` and `failed_precondition`; server policies only with
 * the last two, since a workload may become known to the policy service after its proxy has started.
 */
export function createDiscovery(options: DiscoveryClientOptions): Discovery {
  const { destination, policy } = options;
  return {
    watchEndpoints(asker, path, sink) {
      const request = create(GetDestinationSchema, { path, contextToken: asker.context });
      const diff = new EndpointContinuity(sink);
      return watch(options, destination, GET_ENDPOINTS, request, FINAL_OUTBOUND, {
        begin: () => diff.begin(),
        message(message) {
          const update = endpointUpdateFromWire(message);
          if (update !== undefined) diff.next(update);
        },
        fail: (fault) => sink.fail(fault),
      });
    },
    watchProfile(asker: Asker, path: string, sink: Sink<Profile>) {
      const request = create(GetDestinationSchema, { path, contextToken: asker.context });
      return watch(options, destination, GET_PROFILE, request, FINAL_OUTBOUND, {
        message: (message) => sink.next(profileFromWire(message)),
        fail: (fault) => sink.fail(fault),
      });
    },
    watchClientPolicy(asker, target: SocketAddress | string, sink: Sink<ClientPolicy>) {
      const request = create(TrafficSpecSchema, {
        sourceWorkload: asker.workload,
        target: typeof target === "string"
          ? { case: "authority", value: target }
          : { case: "addr", value: addressToWire(target) },
      });
      return watch(options, policy, WATCH_CLIENT_POLICY, request, FINAL_OUTBOUND, {
        message: (message) => sink.next(clientPolicyFromWire(message)),
        fail: (fault) => sink.fail(fault),
      });
    },
    watchServerPolicy(asker, port: number, sink: Sink<ServerPolicy>) {
      const request = create(PortSpecSchema, { workload: asker.workload, port });
      return watch(options, policy, WATCH_SERVER_POLICY, request, FINAL, {
        message: (message) => sink.next(serverPolicyFromWire(message)),
        fail: (fault) => sink.fail(fault),
      });
    },
  };
}

/** What a watch does with what comes. */
interface WatchEvents<O extends DescMessage> {
  /** A stream begins, the first one or a later one: full state comes next. */
  readonly begin?: () => void;
  /** May throw a `Fault`, which is treated like one of the server's. */
  readonly message: (message: MessageShape<O>) => void;
  readonly fail: (fault: Fault) => void;
}

/** Holds one stream open until it is unwatched or ends with a final fault. */
function watch<I extends DescMessage, O extends DescMessage>(
  options: DiscoveryClientOptions,
  channel: Channel,
  method: Method<I, O>,
  request: MessageShape<I>,
  final: readonly FaultCode[],
  events: WatchEvents<O>,
): Unwatch {
  const { clock, random, retrying } = options;
  let delayMs = RETRY_MIN_MS;
  let cancel: (() => void) | undefined;
  let timer: Timer | undefined;

  function attempt(): void {
    let isFirst = true;
    events.begin?.();
    timer = clock.after(FIRST_MESSAGE_MS, () => {
      cancel?.();
      again(null);
    });
    cancel = channel.stream(method, request, {
      message(message) {
        if (isFirst) timer?.cancel();
        isFirst = false;
        delayMs = RETRY_MIN_MS;
        events.message(message);
      },
      ended(fault) {
        timer?.cancel();
        if (fault !== null && final.includes(fault.code)) events.fail(fault);
        else again(fault);
      },
    });
  }

  function again(fault: Fault | null): void {
    const waitMs = delayMs * (0.5 + random() / 2);
    delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
    if (fault !== null) retrying?.(method.path, fault, waitMs);
    timer = clock.after(waitMs, attempt);
  }

  attempt();
  return () => {
    timer?.cancel();
    cancel?.();
  };
}

/**
 * Makes one sequence of changes out of several streams: the first message of a later stream is full
 * state, so what it does not name any more is removed first.
 */
class EndpointContinuity {
  readonly #sink: Sink<EndpointUpdate>;
  #known = new Map<string, SocketAddress>();
  #isFirst = true;

  constructor(sink: Sink<EndpointUpdate>) {
    this.#sink = sink;
  }

  begin(): void {
    this.#isFirst = true;
  }

  next(update: EndpointUpdate): void {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    switch (update.kind) {
      case "add": {
        const added = update.endpoints.map(({ address }) => address);
        if (isFirst) this.#removeAllBut(new Set(added.map(formatAddress)));
        for (const address of added) this.#known.set(formatAddress(address), address);
        break;
      }
      case "remove":
        for (const address of update.addresses) this.#known.delete(formatAddress(address));
        break;
      case "none":
        this.#known.clear();
        break;
    }
    this.#sink.next(update);
  }

  #removeAllBut(kept: ReadonlySet<string>): void {
    const gone = [...this.#known].filter(([key]) => !kept.has(key));
    if (gone.length === 0) return;
    for (const [key] of gone) this.#known.delete(key);
    this.#sink.next({ kind: "remove", addresses: gone.map(([, address]) => address) });
  }
}
