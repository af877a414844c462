/** Why a connection ended, by what Bun or the kernel says of it. */

import type { CloseReason } from "./net.ts";

/** By the numbers of Linux. */
export const ERRNO_REASONS: Readonly<Record<number, CloseReason>> = {
  101: "unreachable",
  110: "timeout",
  111: "refused",
  113: "unreachable",
};

/** Reads an error of Bun's. */
export function reasonOf(error: unknown): CloseReason {
  const code = (error as { code?: unknown } | undefined)?.code;
  switch (code) {
    case "ECONNREFUSED":
      return "refused";
    case "ENETUNREACH":
    case "EHOSTUNREACH":
    case "EADDRNOTAVAIL":
      return "unreachable";
    case "ETIMEDOUT":
      return "timeout";
    case "ECONNRESET":
    case "EPIPE":
    case "ECONNABORTED":
      return "reset";
    default:
      return typeof code === "string" && /TLS|SSL|CERT|EPROTO/.test(code) ? "tls" : "other";
  }
}
