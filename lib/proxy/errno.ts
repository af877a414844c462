/** Names of failures as metrics and logs have them. */

import type { CloseReason } from "../host/net.ts";

/** The `errno` label for the end of a connection; empty for a clean one and for our own doing. */
export function errnoOf(reason: CloseReason): string {
  return ERRNO[reason];
}

const ERRNO: Readonly<Record<CloseReason, string>> = {
  none: "",
  local: "",
  refused: "ECONNREFUSED",
  unreachable: "EHOSTUNREACH",
  timeout: "ETIMEDOUT",
  reset: "ECONNRESET",
  tls: "EPROTO",
  other: "EIO",
};
