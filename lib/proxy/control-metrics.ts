/** What a proxy counts of its calls to the control plane, by the address of the service. */

import type { Fault } from "../base/fault.ts";
import type { CallsObserver } from "../contract/channel.ts";
import { grpcNumber } from "../contract/grpc-status.ts";
import type { Counter, Family, Histogram } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import { LATENCY_BOUNDS_MS } from "./path-families.ts";

/** Families of calls to the control plane. */
export interface ControlFamilies {
  readonly requests: Family<Counter>;
  readonly responses: Family<Counter>;
  readonly latency: Family<Histogram>;
}

/** Registers them. */
export function controlFamilies(registry: Registry): ControlFamilies {
  return {
    requests: registry.counter("control_request_total", "Calls to the control plane", ["addr"]),
    responses: registry.counter(
      "control_response_total",
      "Calls to the control plane that it, or the loss of its connection, has ended",
      ["addr", "classification", "grpc_status"],
    ),
    latency: registry.histogram(
      "control_response_latency_ms",
      "Time until the first message of a call to the control plane",
      LATENCY_BOUNDS_MS,
      ["addr"],
    ),
  };
}

/** Counts the calls to one address. */
export class ControlCalls implements CallsObserver {
  readonly #families: ControlFamilies;
  readonly #addr: string;

  constructor(families: ControlFamilies, addr: string) {
    this.#families = families;
    this.#addr = addr;
  }

  began(): void {
    this.#families.requests.with({ addr: this.#addr }).value++;
  }

  answered(latencyMs: number): void {
    this.#families.latency.with({ addr: this.#addr }).observe(latencyMs);
  }

  ended(fault: Fault | null): void {
    const classification = fault === null ? "success" : "failure";
    const status = String(fault === null ? 0 : grpcNumber(fault.code));
    this.#families.responses
      .with({ addr: this.#addr, classification, grpc_status: status }).value++;
  }
}
