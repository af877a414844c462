/** The gate before one port's application, as the proxy's settings say, with its time and its figures. */

import { APPLICATION_GATES_KEPT } from "../base/limits.ts";
import { Deadline } from "../base/wheel.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import { AdaptiveLimit, type ConcurrencyLimit, FixedLimit } from "./concurrency-limit.ts";
import type { PathContext } from "./context.ts";
import { Gate } from "./gate.ts";

/** How often who waits is looked at, as a part of the time that it may. */
const LOOKS = 10;

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

function makeGate(context: PathContext, target: SocketAddress): Gate {
  const { limits } = context.env.settings;
  const { inboundConcurrency: setting, inboundQueueMs } = limits;
  const deadline = new Deadline<PathContext>(context, () => {
    gate.expire(context.nowMs());
    if (gate.waiting > 0) look(inboundQueueMs / LOOKS);
  });
  const look = (delayMs: number) => context.scheduleFine(deadline, context.nowMs() + delayMs);
  const gate = new Gate({
    limit: limitOf(context),
    queueMax: limits.inboundQueueMax,
    queuesAsLimit: setting !== "off",
    queueMs: inboundQueueMs,
    onWaiting: () => look(inboundQueueMs),
    onServed: () => context.cancelFine(deadline),
    figures: setting === "off" ? null : context.env.metrics.gate(String(target.port)),
  });
  return gate;
}

function limitOf(context: PathContext): ConcurrencyLimit {
  const { inboundConcurrency: setting, inboundInFlightMax } = context.env.settings.limits;
  if (setting === "adaptive") return new AdaptiveLimit(context.nowMs(), context.env.random);
  return new FixedLimit(setting === "off" ? inboundInFlightMax : setting);
}
