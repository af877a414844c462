/** The calls of the control API: their paths, and the codecs of their messages. */

import { BinaryReader, type BinaryWriter } from "@bufbuild/protobuf/wire";
import { Fault } from "../base/fault.ts";
import { DestinationProfile, GetDestination, Update } from "./gen/destination.ts";
import { CertifyRequest, CertifyResponse } from "./gen/identity.ts";
import { PortSpec, Server } from "./gen/inbound.ts";
import { OutboundPolicy, TrafficSpec } from "./gen/outbound.ts";

/** Reads and writes one type of message; throws for bytes that are none. */
export interface Codec<M> {
  encode(message: M): BinaryWriter;
  decode(reader: BinaryReader): M;
}

/** One call: its HTTP/2 path and the codecs of what goes and what comes. */
export interface Method<I, O> {
  readonly path: string;
  readonly input: Codec<I>;
  readonly output: Codec<O>;
}

const API = "/io.linkerd.proxy";

/** `Certify`: one answer. */
export const CERTIFY = {
  path: `${API}.identity.Identity/Certify`,
  input: CertifyRequest,
  output: CertifyResponse,
} as const;

/** `Destination.Get`: a stream of changes. */
export const GET_ENDPOINTS = {
  path: `${API}.destination.Destination/Get`,
  input: GetDestination,
  output: Update,
} as const;

/** `Destination.GetProfile`: a stream of states. */
export const GET_PROFILE = {
  path: `${API}.destination.Destination/GetProfile`,
  input: GetDestination,
  output: DestinationProfile,
} as const;

/** `OutboundPolicies.Watch`: a stream of states. */
export const WATCH_CLIENT_POLICY = {
  path: `${API}.outbound.OutboundPolicies/Watch`,
  input: TrafficSpec,
  output: OutboundPolicy,
} as const;

/** `OutboundPolicies.Get`: the state of now. */
export const GET_CLIENT_POLICY = {
  ...WATCH_CLIENT_POLICY,
  path: `${API}.outbound.OutboundPolicies/Get`,
} as const;

/** `InboundServerPolicies.WatchPort`: a stream of states. */
export const WATCH_SERVER_POLICY = {
  path: `${API}.inbound.InboundServerPolicies/WatchPort`,
  input: PortSpec,
  output: Server,
} as const;

/** `InboundServerPolicies.GetPort`: the state of now. */
export const GET_SERVER_POLICY = {
  ...WATCH_SERVER_POLICY,
  path: `${API}.inbound.InboundServerPolicies/GetPort`,
} as const;

/** Decodes a message to a call, or of its answer. Throws `invalid_argument` for bytes that are none. */
export function decodeMessage<M>(codec: Codec<M>, bytes: Uint8Array, path: string): M {
  try {
    const reader = new BinaryReader(bytes);
    const message = codec.decode(reader);
    // A zero in place of a field ends the reading in peace, wherever it stands.
    if (reader.pos !== bytes.length) throw new Error(`unreadable from byte ${reader.pos} on`);
    return message;
  } catch (cause) {
    throw new Fault("invalid_argument", `Cannot read a message of ${path}`, { cause });
  }
}

/** Encodes a message. */
export function encodeMessage<M>(codec: Codec<M>, message: M): Uint8Array {
  return codec.encode(message).finish();
}
