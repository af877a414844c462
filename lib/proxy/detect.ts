// hot
/** What a port's policy says of the protocol, so that nobody need look at bytes. */

import type { PortProtocol } from "../mesh/policy.ts";
import { Detected } from "../wire/http1/mod.ts";

/** The protocol that a policy fixes; null where the first bytes decide. */
export function detectedAs(protocol: PortProtocol): Detected | null {
  switch (protocol) {
    case "detect":
      return null;
    case "http1":
      return Detected.HTTP1;
    case "http2":
    case "grpc":
      return Detected.HTTP2;
    case "opaque":
    case "tls":
      return Detected.OPAQUE;
    default:
      return protocol satisfies never;
  }
}
