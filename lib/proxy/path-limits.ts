/** How much may be under way in a proxy, and wait in it. */

import { IN_FLIGHT_MAX, QUEUE_MAX } from "../base/limits.ts";

/** How many requests an application is given at a time: as many as come, a number, or what is best. */
export type ConcurrencySetting = "off" | "adaptive" | number;

/** Bounds; what is above is answered at once with 503, or UNAVAILABLE. */
export interface PathLimits {
  /** Requests that one port's application has at a time. */
  readonly inboundConcurrency: ConcurrencySetting;
  /** The same, whatever is set above. */
  readonly inboundInFlightMax: number;
  /** Requests that wait for one port's application. */
  readonly inboundQueueMax: number;
  /** How long each may wait. */
  readonly inboundQueueMs: number;
  /** Requests of the pod that are under way at a time. */
  readonly outboundInFlightMax: number;
  /** Requests that wait for a first endpoint of one balancer, or for a connection to one endpoint. */
  readonly outboundQueueMax: number;
  /** How long each may wait. */
  readonly outboundQueueMs: number;
}

/** What holds where nothing is set: the contract's bounds. */
export const USUAL_LIMITS: PathLimits = {
  inboundConcurrency: "off",
  inboundInFlightMax: IN_FLIGHT_MAX,
  inboundQueueMax: QUEUE_MAX,
  inboundQueueMs: 1_000,
  outboundInFlightMax: IN_FLIGHT_MAX,
  outboundQueueMax: QUEUE_MAX,
  outboundQueueMs: 3_000,
};
