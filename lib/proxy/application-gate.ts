/** The gate before one port's application, as the proxy's settings say, with its time and its figures. */

import { APPLICATION_GATES_KEPT } from "../base/limits.ts";
import { Deadline } from "../base/wheel.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import { AdaptiveLimit, FixedLimit } from "./concurrency-limit.ts";
import type { PathContext } from "./context.ts";
import { Gate, type GateOptions } from "./gate.ts";
import type { PathLimits } from "./path-limits.ts";

/** How often who waits is looked at, as a part of the time that it may. */
const LOOKS = 10;

/** What does not change while a gate is there. */
type GateBounds = Pick<GateOptions, "limit" | "queueMax" | "queuesAsLimit" | "queueMs">;

/** The gate of an application; what it has learnt stays when all connections are gone. */
export function gateOf(context: PathContext, target: SocketAddress): Gate {
  const { gates } = context;
  const key = formatAddress(target);
  const known = gates.get(key);
  if (known !== undefined) return known;
  if (gates.size >= APPLICATION_GATES_KEPT) {
    for (const [other, gate] of gates) if (gate.inFlight + gate.waiting === 0) gates.delete(other);
  }
  const made = makeGate(context, target);
  gates.set(key, made);
  return made;
}

/** What the settings say of a gate. */
export function gateBounds(limits: PathLimits, nowMs: number, random: () => number): GateBounds {
  const { inboundConcurrency: setting, inboundInFlightMax } = limits;
  return {
    limit: setting === "adaptive"
      ? new AdaptiveLimit(nowMs, random)
      : new FixedLimit(setting === "off" ? inboundInFlightMax : setting),
    queueMax: limits.inboundQueueMax,
    queuesAsLimit: setting !== "off",
    queueMs: limits.inboundQueueMs,
  };
}

function makeGate(context: PathContext, target: SocketAddress): Gate {
  const { metrics, random, settings: { limits } } = context.env;
  const bounds = gateBounds(limits, context.nowMs(), random);
  const { queueMs } = bounds;
  const deadline = new Deadline<PathContext>(context, () => {
    gate.expire(context.nowMs());
    if (gate.waiting > 0) look(queueMs / LOOKS);
  });
  const look = (delayMs: number) => context.scheduleFine(deadline, context.nowMs() + delayMs);
  const gate = new Gate({
    ...bounds,
    onWaiting: () => look(queueMs),
    onServed: () => context.cancelFine(deadline),
    figures: limits.inboundConcurrency === "off" ? null : metrics.gate(String(target.port)),
  });
  return gate;
}
