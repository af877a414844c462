/** The calls of the control API: their paths, and the codecs of their messages. */

import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Fault } from "../base/fault.ts";
import {
  DestinationProfileSchema,
  GetDestinationSchema,
  UpdateSchema,
} from "./gen/destination_pb.ts";
import { CertifyRequestSchema, CertifyResponseSchema } from "./gen/identity_pb.ts";
import { PortSpecSchema, ServerSchema } from "./gen/inbound_pb.ts";
import { OutboundPolicySchema, TrafficSpecSchema } from "./gen/outbound_pb.ts";

/** One call: its HTTP/2 path and the schemas of what goes and what comes. */
export interface Method<I extends DescMessage, O extends DescMessage> {
  readonly path: string;
  readonly input: I;
  readonly output: O;
}

const API = "/io.linkerd.proxy";

/** `Certify`: one answer. */
export const CERTIFY = {
  path: `${API}.identity.Identity/Certify`,
  input: CertifyRequestSchema,
  output: CertifyResponseSchema,
} as const;

/** `Destination.Get`: a stream of changes. */
export const GET_ENDPOINTS = {
  path: `${API}.destination.Destination/Get`,
  input: GetDestinationSchema,
  output: UpdateSchema,
} as const;

/** `Destination.GetProfile`: a stream of states. */
export const GET_PROFILE = {
  path: `${API}.destination.Destination/GetProfile`,
  input: GetDestinationSchema,
  output: DestinationProfileSchema,
} as const;

/** `OutboundPolicies.Watch`: a stream of states. */
export const WATCH_CLIENT_POLICY = {
  path: `${API}.outbound.OutboundPolicies/Watch`,
  input: TrafficSpecSchema,
  output: OutboundPolicySchema,
} as const;

/** `OutboundPolicies.Get`: the state of now. */
export const GET_CLIENT_POLICY = {
  ...WATCH_CLIENT_POLICY,
  path: `${API}.outbound.OutboundPolicies/Get`,
} as const;

/** `InboundServerPolicies.WatchPort`: a stream of states. */
export const WATCH_SERVER_POLICY = {
  path: `${API}.inbound.InboundServerPolicies/WatchPort`,
  input: PortSpecSchema,
  output: ServerSchema,
} as const;

/** `InboundServerPolicies.GetPort`: the state of now. */
export const GET_SERVER_POLICY = {
  ...WATCH_SERVER_POLICY,
  path: `${API}.inbound.InboundServerPolicies/GetPort`,
} as const;

/** Decodes a message. Throws `invalid_argument` for bytes that are none. */
export function decodeMessage<S extends DescMessage>(
  schema: S,
  bytes: Uint8Array,
): MessageShape<S> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new Fault("invalid_argument", `Cannot read a ${schema.name} message`, { cause });
  }
}

/** Encodes a message. */
export function encodeMessage<S extends DescMessage>(
  schema: S,
  message: MessageShape<S>,
): Uint8Array {
  return toBinary(schema, message);
}
