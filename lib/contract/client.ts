/**
 * The proxy's side of the control API: a `Certifier` and a `Discovery` over channels. One watch is one
 * stream: full state first, then changes, and a fault when it ends, however it ended. Asking again,
 * and with which pauses, is the caller's business.
 */

import { Fault } from "../base/fault.ts";
import type { Certifier } from "../mesh/certifier.ts";
import type { Discovery, Sink, Unwatch } from "../mesh/discovery.ts";
import { addressToWire } from "./address.ts";
import { certificateRequestToWire, issuedCertificateFromWire } from "./certify.ts";
import type { Channel } from "./channel.ts";
import { clientPolicyFromWire } from "./client-policy-from.ts";
import { endpointUpdateFromWire } from "./endpoint.ts";
import { GetDestination } from "./gen/destination.ts";
import { PortSpec } from "./gen/inbound.ts";
import { TrafficSpec } from "./gen/outbound.ts";
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

/** The two discovery services; they may be the same channel. */
export interface DiscoveryChannels {
  readonly destination: Channel;
  readonly policy: Channel;
}

const CERTIFY_TIMEOUT_MS = 10_000;

/** Asks an identity service for certificates. */
export function createCertifier(channel: Channel): Certifier {
  return {
    async certify(request) {
      const message = certificateRequestToWire(request);
      return issuedCertificateFromWire(await channel.unary(CERTIFY, message, CERTIFY_TIMEOUT_MS));
    },
  };
}

/** Asks the destination and policy services. A stream that the server ends in order is `unavailable`. */
export function createDiscovery({ destination, policy }: DiscoveryChannels): Discovery {
  return {
    watchEndpoints(asker, path, sink) {
      const request = GetDestination.fromPartial({ path, contextToken: asker.context });
      return watch(destination, GET_ENDPOINTS, request, endpointUpdateFromWire, sink);
    },
    watchProfile(asker, path, sink) {
      const request = GetDestination.fromPartial({ path, contextToken: asker.context });
      return watch(destination, GET_PROFILE, request, profileFromWire, sink);
    },
    watchClientPolicy(asker, target, sink) {
      const request = TrafficSpec.fromPartial({
        sourceWorkload: asker.workload,
        target: typeof target === "string"
          ? { $case: "authority", value: target }
          : { $case: "addr", value: addressToWire(target) },
      });
      return watch(policy, WATCH_CLIENT_POLICY, request, clientPolicyFromWire, sink);
    },
    watchServerPolicy(asker, port, sink) {
      const request = PortSpec.fromPartial({ workload: asker.workload, port });
      return watch(policy, WATCH_SERVER_POLICY, request, serverPolicyFromWire, sink);
    },
  };
}

/** One stream. What `convert` does not know is passed over; what it throws ends the stream. */
function watch<I, O, T>(
  channel: Channel,
  method: Method<I, O>,
  request: I,
  convert: (message: O) => T | undefined,
  sink: Sink<T>,
): Unwatch {
  return channel.stream(method, request, {
    message(message) {
      const value = convert(message);
      if (value !== undefined) sink.next(value);
    },
    ended(fault) {
      sink.fail(fault ?? new Fault("unavailable", `Stream ${method.path} ended`));
    },
  });
}
