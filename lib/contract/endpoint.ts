/**
 * Endpoints and their changes, to and from the messages of `Destination.Get`.
 *
 * What cannot be understood is left out rather than weakened: an endpoint without an address, or one
 * that demands an identity of an unknown kind, is dropped, never reached in plain text.
 */

import type { Endpoint, EndpointUpdate, PeerIdentity, ProtocolHint } from "../mesh/endpoint.ts";
import { addressFromWire, addressToWire } from "./address.ts";
import {
  type DeepPartial,
  type ProtocolHint as WireHint,
  type TlsIdentity,
  Update,
  WeightedAddr,
} from "./gen/destination.ts";

type HintInit = DeepPartial<WireHint>;

/** The message for one step of a destination's changes. */
export function endpointUpdateToWire(update: EndpointUpdate): Update {
  switch (update.kind) {
    case "add": {
      const addrs = update.endpoints.map(endpointToWire);
      const value = { addrs, metricLabels: { ...update.labels } };
      return Update.fromPartial({ update: { $case: "add", value } });
    }
    case "remove": {
      const addrs = update.addresses.map(addressToWire);
      return Update.fromPartial({ update: { $case: "remove", value: { addrs } } });
    }
    case "none":
      return Update.fromPartial({
        update: { $case: "noEndpoints", value: { exists: update.exists } },
      });
  }
}

/** The step in a message; undefined for a kind of step that is not known. */
export function endpointUpdateFromWire(message: Update): EndpointUpdate | undefined {
  switch (message.update?.$case) {
    case "add": {
      const { addrs, metricLabels } = message.update.value;
      return { kind: "add", endpoints: present(addrs.map(endpointFromWire)), labels: metricLabels };
    }
    case "remove":
      return {
        kind: "remove",
        addresses: present(message.update.value.addrs.map(addressFromWire)),
      };
    case "noEndpoints":
      return { kind: "none", exists: message.update.value.exists };
    default:
      return undefined;
  }
}

/** The message for one endpoint. */
export function endpointToWire(endpoint: Endpoint): WeightedAddr {
  const { identity, authorityOverride } = endpoint;
  return WeightedAddr.fromPartial({
    addr: addressToWire(endpoint.address),
    weight: endpoint.weight,
    metricLabels: { ...endpoint.labels },
    tlsIdentity: identity === undefined ? undefined : identityInit(identity),
    protocolHint: hintInit(endpoint.hint, endpoint.transportPort),
    authorityOverride: authorityOverride === undefined ? undefined : { authorityOverride },
  });
}

/** The endpoint in a message; undefined when it has no address or demands what we do not know. */
export function endpointFromWire(message: WeightedAddr): Endpoint | undefined {
  const address = addressFromWire(message.addr);
  if (address === undefined) return undefined;
  const identity = message.tlsIdentity === undefined
    ? undefined
    : identityFromWire(message.tlsIdentity);
  if (message.tlsIdentity !== undefined && identity === undefined) return undefined;
  const transportPort = message.protocolHint?.opaqueTransport?.inboundPort ?? 0;
  const override = message.authorityOverride?.authorityOverride ?? "";
  return {
    address,
    weight: message.weight,
    labels: message.metricLabels,
    hint: hintFromWire(message.protocolHint),
    ...(identity === undefined ? {} : { identity }),
    ...(transportPort > 0 && transportPort < 65_536 ? { transportPort } : {}),
    ...(override === "" ? {} : { authorityOverride: override }),
  };
}

function identityInit(identity: PeerIdentity): DeepPartial<TlsIdentity> {
  const { name, serverName } = identity;
  return {
    strategy: name.includes("://")
      ? { $case: "uriLikeIdentity", value: { uri: name } }
      : { $case: "dnsLikeIdentity", value: { name } },
    serverName: { name: serverName },
  };
}

function identityFromWire(message: TlsIdentity): PeerIdentity | undefined {
  const { strategy, serverName } = message;
  switch (strategy?.$case) {
    case "dnsLikeIdentity": {
      const { name } = strategy.value;
      return name === "" ? undefined : { name, serverName: serverName?.name || name };
    }
    case "uriLikeIdentity": {
      const { uri } = strategy.value;
      // A URI says nothing of the SNI, so a server name must stand beside it.
      if (uri === "" || !serverName?.name) return undefined;
      return { name: uri, serverName: serverName.name };
    }
    default:
      return undefined;
  }
}

function hintInit(hint: ProtocolHint, transportPort: number | undefined): HintInit | undefined {
  if (hint === "unknown" && transportPort === undefined) return undefined;
  return {
    ...(hint === "unknown" ? {} : { protocol: { $case: hint, value: {} } }),
    ...(transportPort === undefined ? {} : { opaqueTransport: { inboundPort: transportPort } }),
  };
}

function hintFromWire(message: WireHint | undefined): ProtocolHint {
  return message?.protocol?.$case ?? "unknown";
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
