// hot
/** Which of a target's backends a request or connection goes to. */

import type { Balancer } from "./balance.ts";
import type { WeightedBalancer } from "./environment.ts";

/** One backend, by weight; null when there is none or all weights are 0. `random` is in [0, 1). */
export function pickBackend(
  backends: readonly WeightedBalancer[],
  random: () => number,
): Balancer | null {
  if (backends.length === 1) return backends[0]!.balancer;
  let total = 0;
  for (let i = 0; i < backends.length; i++) total += backends[i]!.weight;
  if (total <= 0) return null;
  let left = random() * total;
  for (let i = 0; i < backends.length; i++) {
    left -= backends[i]!.weight;
    if (left < 0) return backends[i]!.balancer;
  }
  return null;
}

/**
 * Where to go on waiting when a balancer was given up, since other backends have replaced its own; null
 * when it was not, or when these are given up as well.
 */
export function backendInstead(
  gone: Balancer | null,
  backends: readonly WeightedBalancer[],
  random: () => number,
): Balancer | null {
  if (gone?.isClosed !== true) return null;
  const next = pickBackend(backends, random);
  return next?.isClosed === false ? next : null;
}
