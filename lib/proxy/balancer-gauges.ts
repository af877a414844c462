/**
 * How many endpoints each Service has that the pod asks, and how many of them are left alone for their
 * failures; looked up when somebody asks for the metrics.
 */

import type { Backend, ResourceRef } from "../mesh/policy.ts";
import type { Family, Gauge, Labels } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { Balancer } from "./balance.ts";
import type { TrafficKind } from "./discovery.ts";
import { balancerLabels } from "./labels.ts";

/** One balancer in use. */
export interface UsedBalancer {
  readonly kind: TrafficKind;
  readonly parent: ResourceRef;
  readonly backend: Backend;
  readonly balancer: Balancer;
}

const LABELS = ["parent_*", "backend_*", "endpoint_state"];
const HELP =
  "Endpoints that discovery has named; those that are left alone for failures are pending";

/** Registers the families of both kinds of traffic. */
export function balancerFamilies(
  registry: Registry,
): Readonly<Record<TrafficKind, Family<Gauge>>> {
  return {
    http: registry.gauge("outbound_http_balancer_endpoints", HELP, LABELS),
    opaque: registry.gauge("outbound_tcp_balancer_endpoints", HELP, LABELS),
  };
}

/** Keeps the families up to date. */
export class BalancerGauges {
  readonly #families: Readonly<Record<TrafficKind, Family<Gauge>>>;
  readonly #used: () => Iterable<UsedBalancer>;
  #shown: (readonly [Family<Gauge>, Labels])[] = [];

  constructor(registry: Registry, used: () => Iterable<UsedBalancer>) {
    this.#families = balancerFamilies(registry);
    this.#used = used;
  }

  /** To be called before each exposition. */
  refresh(): void {
    for (const [family, labels] of this.#shown) family.remove(labels);
    this.#shown = [];
    for (const { kind, parent, backend, balancer } of this.#used()) {
      const labels = balancerLabels(parent, backend.resource);
      const { size, ready } = balancer;
      this.#show(kind, { ...labels, endpoint_state: "ready" }, ready);
      this.#show(kind, { ...labels, endpoint_state: "pending" }, size - ready);
    }
  }

  /** Two addresses of one Service are two targets with the same labels and the same balancer. */
  #show(kind: TrafficKind, labels: Labels, count: number): void {
    const family = this.#families[kind];
    family.with(labels).set(count);
    this.#shown.push([family, labels]);
  }
}
