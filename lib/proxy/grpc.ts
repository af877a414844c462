// hot
/** What a proxy must know of gRPC: which requests are calls, how they ended, and how to refuse them. */

import { asciiBytes, parseDecimal, startsWithBytes } from "../base/bytes.ts";
import {
  type FieldLines,
  FieldName,
  RANGES_PER_HEADER,
  type RequestHead,
} from "../wire/http/mod.ts";

const APPLICATION_GRPC = asciiBytes("application/grpc");

/** Whether a request is a gRPC call. */
export function isGrpc(head: RequestHead): boolean {
  if (!head.http2) return false;
  const i = head.findName(FieldName.CONTENT_TYPE);
  if (i < 0) return false;
  const at = i * RANGES_PER_HEADER;
  const { bytes, ranges } = head;
  return startsWithBytes(bytes, ranges[at + 2]!, ranges[at + 3]!, APPLICATION_GRPC);
}

/** What a status that gRPC does not know counts as: unknown. */
export const GRPC_UNKNOWN = 2;
const STATUS_LAST = 16;

/** The value of `grpc-status`; −1 without one, unknown where it is none of gRPC's. */
export function grpcStatusOf(fields: FieldLines): number {
  const i = fields.findName(FieldName.GRPC_STATUS);
  if (i < 0) return -1;
  const at = i * RANGES_PER_HEADER;
  const status = parseDecimal(fields.bytes, fields.ranges[at + 2]!, fields.ranges[at + 3]!);
  return status >= 0 && status <= STATUS_LAST ? status : GRPC_UNKNOWN;
}

/** The status that stands for an HTTP status, where a proxy answers a call. */
export function grpcStatusFor(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
    case 431:
      return 13;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
      return 8;
    case 502:
    case 503:
      return 14;
    case 504:
      return 4;
    default:
      return GRPC_UNKNOWN;
  }
}
