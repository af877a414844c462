/**
 * What the balancers of the Services that the pod asks have: their endpoints, how many of them are left
 * alone for their failures, and who waits for a first one. Looked up when somebody asks for the metrics.
 */

import type { Backend, ResourceRef } from "../mesh/policy.ts";
import type { Counter, Family, Gauge, Histogram, Labels } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import { type Balancer, WAIT_BOUNDS } from "./balance.ts";
import type { TrafficKind } from "./discovery.ts";
import { balancerLabels } from "./labels.ts";

/** One balancer in use. */
export interface UsedBalancer {
  readonly kind: TrafficKind;
  readonly parent: ResourceRef;
  readonly backend: Backend;
  readonly balancer: Balancer;
}

/** The families of one kind of traffic. */
type BalancerFamilies = ReturnType<typeof familiesOf>;

const LABELS = ["parent_*", "backend_*"];

/** Registers the families of both kinds of traffic. */
export function balancerFamilies(
  registry: Registry,
): Readonly<Record<TrafficKind, BalancerFamilies>> {
  return { http: familiesOf(registry, "http"), opaque: familiesOf(registry, "tcp") };
}

function familiesOf(registry: Registry, traffic: "http" | "tcp") {
  const prefix = `outbound_${traffic}_balancer`;
  const what = traffic === "http" ? "Requests" : "Connections";
  return {
    endpoints: registry.gauge(
      `${prefix}_endpoints`,
      "Endpoints that discovery has named; those that are left alone for failures are pending",
      [...LABELS, "endpoint_state"],
    ),
    p2cEndpoints: registry.gauge(
      `${prefix}_p2c_endpoints`,
      "Endpoints that the balancer chooses from",
      LABELS,
    ),
    p2cUpdates: registry.counter(
      `${prefix}_p2c_updates_total`,
      "Steps of the discovery that the balancer has taken: Add, Remove, or DNE where the Service ceased to be",
      [...LABELS, "op"],
    ),
    queueLength: registry.gauge(
      `${prefix}_queue_length`,
      `${what} that wait for a first endpoint`,
      LABELS,
    ),
    queueRequests: registry.counter(
      `${prefix}_queue_requests_total`,
      `${what} that had to wait for a first endpoint`,
      LABELS,
    ),
    queueLatency: registry.histogram(
      `${prefix}_queue_latency_seconds`,
      `How long ${what.toLowerCase()} waited for a first endpoint`,
      WAIT_BOUNDS,
      LABELS,
    ),
  };
}

/** Keeps the families up to date. */
export class BalancerGauges {
  readonly #families: Readonly<Record<TrafficKind, BalancerFamilies>>;
  readonly #used: () => Iterable<UsedBalancer>;
  readonly #withEndpoints: boolean;
  #shown: (readonly [Family<Gauge | Counter | Histogram>, Labels])[] = [];

  /** `withEndpoints`: also what each core of a proxy knows alike, so that one of them must tell it. */
  constructor(registry: Registry, used: () => Iterable<UsedBalancer>, withEndpoints: boolean) {
    this.#families = balancerFamilies(registry);
    this.#used = used;
    this.#withEndpoints = withEndpoints;
  }

  /** To be called before each exposition. */
  refresh(): void {
    for (const [family, labels] of this.#shown) family.remove(labels);
    this.#shown = [];
    for (const { kind, parent, backend, balancer } of this.#used()) {
      const families = this.#families[kind];
      const labels = balancerLabels(parent, backend.resource);
      if (this.#withEndpoints) this.#showEndpoints(families, labels, balancer);
      this.#show(families.queueLength, labels, balancer.waiting);
      this.#show(families.queueRequests, labels, balancer.waited);
      this.#showWaits(families.queueLatency, labels, balancer.waitTimes);
    }
  }

  #showEndpoints(families: BalancerFamilies, labels: Labels, balancer: Balancer): void {
    const { size, ready, updates } = balancer;
    this.#show(families.endpoints, { ...labels, endpoint_state: "ready" }, ready);
    this.#show(families.endpoints, { ...labels, endpoint_state: "pending" }, size - ready);
    this.#show(families.p2cEndpoints, labels, size);
    this.#show(families.p2cUpdates, { ...labels, op: "Add" }, updates.add);
    this.#show(families.p2cUpdates, { ...labels, op: "Remove" }, updates.remove);
    this.#show(families.p2cUpdates, { ...labels, op: "DNE" }, updates.none);
  }

  /** Two addresses of one Service are two targets with the same labels and the same balancer. */
  #show(family: Family<Gauge | Counter>, labels: Labels, value: number): void {
    family.with(labels).value = value;
    this.#shown.push([family, labels]);
  }

  #showWaits(family: Family<Histogram>, labels: Labels, { counts, sum, count }: Histogram): void {
    const shown = family.with(labels);
    shown.counts.set(counts);
    shown.sum = sum;
    shown.count = count;
    this.#shown.push([family, labels]);
  }
}
