/** The settings of how much may be under way and wait. */

import { duration, integer, reading, typeOf } from "../config/mod.ts";
import { CONCURRENCY_MAX, IN_FLIGHT_MAX, QUEUE_MAX } from "../base/limits.ts";
import type { ConcurrencySetting, PathLimits } from "./path-limits.ts";

/** Part of `proxySettings`. */
export const limitSettings = {
  inboundConcurrency: {
    env: "MALLA_INBOUND_CONCURRENCY_LIMIT",
    flag: "inbound-concurrency-limit",
    type: concurrency(),
    default: "off",
    help: "How many requests the application gets at a time: off, a number, or adaptive.",
  },
  inboundInFlightMax: {
    env: "LINKERD2_PROXY_INBOUND_MAX_IN_FLIGHT",
    type: integer(1, IN_FLIGHT_MAX),
    default: String(IN_FLIGHT_MAX),
    help: "How many requests to one port are under way at most; more wait.",
  },
  inboundQueueMax: {
    env: "LINKERD2_PROXY_INBOUND_HTTP_QUEUE_CAPACITY",
    type: integer(1, QUEUE_MAX),
    default: String(QUEUE_MAX),
    help: "How many requests wait for the application at most; more are answered with 503.",
  },
  inboundQueueMs: {
    env: "LINKERD2_PROXY_INBOUND_HTTP_FAILFAST_TIMEOUT",
    type: duration(),
    default: "1s",
    help: "How long a request waits for the application; then it is answered with 503.",
  },
  outboundInFlightMax: {
    env: "LINKERD2_PROXY_OUTBOUND_MAX_IN_FLIGHT",
    type: integer(1, IN_FLIGHT_MAX),
    default: String(IN_FLIGHT_MAX),
    help: "How many requests of this pod are under way at most; more are answered with 503.",
  },
  outboundQueueMax: {
    env: "LINKERD2_PROXY_OUTBOUND_HTTP_QUEUE_CAPACITY",
    type: integer(1, QUEUE_MAX),
    default: String(QUEUE_MAX),
    help: "How many requests wait for an endpoint, or a connection to one, at most.",
  },
  outboundQueueMs: {
    env: "LINKERD2_PROXY_OUTBOUND_HTTP_FAILFAST_TIMEOUT",
    type: duration(),
    default: "3s",
    help: "How long a request waits for an endpoint or a connection; then it is answered with 503.",
  },
} as const;

/** What the byte path is told of them. */
export function pathLimits(settings: PathLimits): PathLimits {
  const { inboundConcurrency, inboundInFlightMax, inboundQueueMax, inboundQueueMs } = settings;
  const { outboundInFlightMax, outboundQueueMax, outboundQueueMs } = settings;
  return {
    inboundConcurrency,
    inboundInFlightMax,
    inboundQueueMax,
    inboundQueueMs,
    outboundInFlightMax,
    outboundQueueMax,
    outboundQueueMs,
  };
}

function concurrency() {
  return typeOf<ConcurrencySetting>(
    {
      expected: `off, adaptive, or a whole number from 1 to ${CONCURRENCY_MAX}`,
      placeholder: "LIMIT",
    },
    reading((text) => {
      const word = text.trim();
      if (word === "off" || word === "adaptive") return word;
      const number = /^\d{1,6}$/.test(word) ? Number(word) : 0;
      if (number >= 1 && number <= CONCURRENCY_MAX) return number;
      throw new TypeError(text);
    }),
  );
}
