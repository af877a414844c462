// hot
/**
 * The second attempt of one exchange, beside the first one that takes long, on another endpoint: the first
 * good answer wins, and the other attempt is cancelled. It is paid from the budget of retries, and only
 * made for requests that may be processed twice and are all here.
 *
 *     waits ─delay is over─▶ both are under way ─answer─▶ decided: the loser is cancelled
 *                                    └─one fails─▶ the other goes on alone
 */

import { Deadline } from "../base/wheel.ts";
import type { HedgePolicy } from "../mesh/reliability.ts";
import { isIdempotent } from "../wire/http/mod.ts";
import { Attempt } from "./attempt.ts";
import type { PathContext } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpRoute } from "./http-parts.ts";

/** What an exchange of the route has; null: no second attempt is ever made for it. */
export function hedgingOf(
  context: PathContext,
  route: HttpRoute | null,
  exchange: Exchange,
): Hedging | null {
  const hedge = route?.hedge ?? null;
  if (route === null || hedge === null || exchange.grpc) return null;
  const { head } = exchange;
  if (!isIdempotent(head.method) || head.wantsConnection()) return null;
  return new Hedging(context, route, hedge, exchange);
}

/** Of one exchange. */
export class Hedging {
  readonly #context: PathContext;
  readonly #route: HttpRoute;
  readonly #policy: HedgePolicy;
  readonly #deadline: Deadline<Exchange>;
  /** The second attempt while both are under way. */
  #second: Attempt | null = null;

  constructor(context: PathContext, route: HttpRoute, policy: HedgePolicy, exchange: Exchange) {
    this.#context = context;
    this.#route = route;
    this.#policy = policy;
    this.#deadline = new Deadline<Exchange>(exchange, due);
    if (route.retry === null) route.budget.deposit(exchange.beganAtMs);
    const delayMs = policy.delayMs > 0 ? policy.delayMs : route.latency?.value ?? 0;
    if (delayMs > 0) context.scheduleFine(this.#deadline, exchange.beganAtMs + delayMs);
  }

  /** Makes the second attempt, where that can be. */
  start(first: Attempt): void {
    const { exchange, balancer, endpoint } = first;
    const { body } = exchange;
    // An endpoint that cannot be connected to in time is as slow as one that does not answer.
    if (endpoint === null || balancer === null || balancer.size < 2) return;
    if (!body.complete || !body.whole || body.length > this.#policy.requestBytesMax) return;
    const { budget, labels } = this.#route;
    const context = this.#context;
    const { metrics } = context.env;
    const now = context.nowMs();
    if (!budget.withdraw(now, context.inheritedRetries.share(now))) {
      metrics.hedged("overflow", labels);
      return;
    }
    metrics.hedged("requests", labels);
    const second = new Attempt(exchange, false, true, endpoint, now);
    this.#second = second;
    exchange.side.dispatch(second);
  }

  /** One attempt has come to nothing: the other one, if it is still under way. */
  survivor(failed: Attempt, first: Attempt | null): Attempt | null {
    const second = this.#second;
    this.#second = null;
    return failed === second ? first : second;
  }

  /** This attempt's answer goes to the client; the other attempt is cancelled. */
  decided(winner: Attempt, first: Attempt | null): void {
    const second = this.#second;
    this.#second = null;
    this.#context.cancelFine(this.#deadline);
    const { exchange } = winner;
    this.#route.latency?.observe(this.#context.nowMs() - exchange.beganAtMs);
    if (second === null) return;
    const isWon = winner === second;
    if (isWon) this.#context.env.metrics.hedged("wins", this.#route.labels);
    (isWon ? first : second)?.giveUp("canceled");
  }

  /** Both have taken too long, or nobody waits any more: the second one ends with this error. */
  stop(error: string): void {
    this.#context.cancelFine(this.#deadline);
    const second = this.#second;
    this.#second = null;
    second?.giveUp(error);
  }
}

function due(exchange: Exchange): void {
  exchange.hedgeDue();
}
