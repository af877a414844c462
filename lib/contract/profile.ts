/**
 * Profiles, to and from the messages of `Destination.GetProfile`.
 *
 * Of a foreign control plane's ServiceProfile the routes are passed over: they only classify, time and
 * repeat requests. A traffic split is not: ignoring it would send traffic where it must not go.
 */

import { create } from "@bufbuild/protobuf";
import { Fault } from "../base/fault.ts";
import type { Profile } from "../mesh/policy.ts";
import { endpointFromWire, endpointToWire } from "./endpoint.ts";
import { type DestinationProfile, DestinationProfileSchema } from "./gen/destination_pb.ts";
import { resourceFromWire, resourceToWire } from "./resource.ts";

/** The message for a profile. */
export function profileToWire(profile: Profile): DestinationProfile {
  const { endpoint, parent } = profile;
  return create(DestinationProfileSchema, {
    fullyQualifiedName: profile.fullyQualifiedName,
    opaqueProtocol: profile.opaque,
    endpoint: endpoint === undefined ? undefined : endpointToWire(endpoint),
    parentRef: parent === undefined ? undefined : resourceToWire(parent),
  });
}

/** The profile in a message. Throws `unimplemented` where following it would need a traffic split. */
export function profileFromWire(message: DestinationProfile): Profile {
  const { fullyQualifiedName, dstOverrides } = message;
  if (dstOverrides.length > 0) {
    throw new Fault(
      "unimplemented",
      `Cannot follow the profile of "${fullyQualifiedName}": unsupported policy: ` +
        `traffic split of a ServiceProfile over ${dstOverrides.length} destinations`,
    );
  }
  const endpoint = message.endpoint === undefined ? undefined : endpointFromWire(message.endpoint);
  if (message.endpoint !== undefined && endpoint === undefined) {
    throw new Fault("unimplemented", "Cannot follow a profile: its endpoint is not understood");
  }
  return {
    fullyQualifiedName,
    opaque: message.opaqueProtocol,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(message.parentRef === undefined ? {} : { parent: resourceFromWire(message.parentRef) }),
  };
}
