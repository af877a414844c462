// hot
/** Request methods as small numbers, so that nobody compares strings per request. */

import { asciiBytes, equalsBytes } from "../../base/bytes.ts";

/** Codes of the standard methods; `OTHER` is any extension method. */
export const Method = {
  OTHER: 0,
  GET: 1,
  HEAD: 2,
  POST: 3,
  PUT: 4,
  DELETE: 5,
  CONNECT: 6,
  OPTIONS: 7,
  TRACE: 8,
  PATCH: 9,
} as const;

/** One of the codes. */
export type Method = (typeof Method)[keyof typeof Method];

/** Code of the method, whose case matters: `get` is an extension method. */
export function methodCode(bytes: Uint8Array, start: number, end: number): Method {
  switch (end - start) {
    case 3:
      if (equalsBytes(bytes, start, end, GET)) return Method.GET;
      return equalsBytes(bytes, start, end, PUT) ? Method.PUT : Method.OTHER;
    case 4:
      if (equalsBytes(bytes, start, end, POST)) return Method.POST;
      return equalsBytes(bytes, start, end, HEAD) ? Method.HEAD : Method.OTHER;
    case 5:
      if (equalsBytes(bytes, start, end, PATCH)) return Method.PATCH;
      return equalsBytes(bytes, start, end, TRACE) ? Method.TRACE : Method.OTHER;
    case 6:
      return equalsBytes(bytes, start, end, DELETE) ? Method.DELETE : Method.OTHER;
    case 7:
      if (equalsBytes(bytes, start, end, OPTIONS)) return Method.OPTIONS;
      return equalsBytes(bytes, start, end, CONNECT) ? Method.CONNECT : Method.OTHER;
    default:
      return Method.OTHER;
  }
}

/** Whether sending the request twice has the effect of sending it once (RFC 9110 §9.2.2). */
export function isIdempotent(method: Method): boolean {
  return method !== Method.OTHER && method !== Method.POST && method !== Method.PATCH &&
    method !== Method.CONNECT;
}

const GET = asciiBytes("GET");
const PUT = asciiBytes("PUT");
const POST = asciiBytes("POST");
const HEAD = asciiBytes("HEAD");
const PATCH = asciiBytes("PATCH");
const TRACE = asciiBytes("TRACE");
const DELETE = asciiBytes("DELETE");
const OPTIONS = asciiBytes("OPTIONS");
const CONNECT = asciiBytes("CONNECT");
