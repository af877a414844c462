/** Profiles, to and from messages of `Destination.GetProfile`. */

import { Fault } from "../base/fault.ts";
import type { Profile } from "../mesh/policy.ts";
import { DEFAULT_RETRY_BUDGET } from "../mesh/reliability.ts";
import { endpointFromWire, endpointToWire } from "./endpoint.ts";
import { DestinationProfile } from "./gen/destination.ts";
import { resourceFromWire, resourceToWire } from "./resource.ts";
import {
  budgetFromWire,
  budgetToWire,
  overridesFromWire,
  overrideToWire,
  routeFromWire,
  routeToWire,
} from "./service-profile.ts";

/** The message for a profile. Proxies of the contract do not retry without a budget, so there is one. */
export function profileToWire(profile: Profile): DestinationProfile {
  const { endpoint, parent, source, routes = [], overrides = [], budget } = profile;
  const hasBudget = budget !== undefined || routes.some(({ isRetryable }) => isRetryable);
  return DestinationProfile.fromPartial({
    fullyQualifiedName: profile.fullyQualifiedName,
    opaqueProtocol: profile.opaque,
    endpoint: endpoint === undefined ? undefined : endpointToWire(endpoint),
    parentRef: parent === undefined ? undefined : resourceToWire(parent),
    profileRef: source === undefined ? undefined : resourceToWire(source),
    routes: routes.map(routeToWire),
    retryBudget: hasBudget ? budgetToWire(budget ?? DEFAULT_RETRY_BUDGET) : undefined,
    dstOverrides: overrides.map(overrideToWire),
  });
}

/** The profile in a message. Throws `unimplemented` where its endpoint is not understood. */
export function profileFromWire(message: DestinationProfile): Profile {
  const endpoint = message.endpoint === undefined ? undefined : endpointFromWire(message.endpoint);
  if (message.endpoint !== undefined && endpoint === undefined) {
    throw new Fault("unimplemented", "Cannot follow a profile: its endpoint is not understood");
  }
  const routes = message.routes.flatMap((route) => routeFromWire(route) ?? []);
  const budget = budgetFromWire(message.retryBudget);
  const overrides = overridesFromWire(message.dstOverrides);
  return {
    fullyQualifiedName: message.fullyQualifiedName,
    opaque: message.opaqueProtocol,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(message.parentRef === undefined ? {} : { parent: resourceFromWire(message.parentRef) }),
    ...(message.profileRef === undefined ? {} : { source: resourceFromWire(message.profileRef) }),
    ...(routes.length === 0 ? {} : { routes }),
    ...(budget === undefined ? {} : { budget }),
    ...(overrides.length === 0 ? {} : { overrides }),
  };
}
