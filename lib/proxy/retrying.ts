// hot
/**
 * The retries of one exchange by its route's policy: whether another one is allowed, and the wait before
 * it. What surely was not processed is sent again without asking here.
 */

import { Backoff } from "../base/backoff.ts";
import type { Timer } from "../host/clock.ts";
import type { RetryPolicy } from "../mesh/reliability.ts";
import type { PathContext } from "./context.ts";
import type { RetryOutcome } from "./environment.ts";
import { grpcStatusFor } from "./grpc.ts";
import type { HttpRoute, Refusal } from "./http-parts.ts";
import type { RequestBody } from "./request-body.ts";
import { retriesGrpcStatus, retriesStatus } from "./retry.ts";

/** Retries under way. */
export class Retrying {
  readonly policy: RetryPolicy;
  readonly #context: PathContext;
  readonly #route: HttpRoute;
  readonly #protocol: "http" | "grpc";
  /** Made at the first retry. */
  #backoff: Backoff | null = null;
  #timer: Timer | null = null;
  /** As the present response says. */
  #behind = 0;

  constructor(
    context: PathContext,
    route: HttpRoute,
    policy: RetryPolicy,
    isGrpc: boolean,
    nowMs: number,
  ) {
    this.#context = context;
    this.#route = route;
    this.#protocol = isGrpc ? "grpc" : "http";
    this.policy = policy;
    route.budget.deposit(nowMs);
    context.addedRetries.asked(nowMs);
  }

  /** A response says what share of retries has been added behind it. */
  heard(share: number): void {
    this.#behind = share;
  }

  /** A retry waits for its time. */
  get waits(): boolean {
    return this.#timer !== null;
  }

  /** Whether a call's status may have its response thrown away. */
  get looksAtGrpc(): boolean {
    return this.#protocol === "grpc" && this.policy.grpcStatuses.length > 0;
  }

  /** Whether an answer of the proxy's own is one that is asked for again. */
  retriesRefusal({ status }: Refusal): boolean {
    if (retriesStatus(this.policy, status)) return true;
    return this.looksAtGrpc && retriesGrpcStatus(this.policy, grpcStatusFor(status));
  }

  /** Whether the request may be sent once more; takes that from the budget. */
  takeOne(body: RequestBody): boolean {
    const { policy } = this;
    if (!body.whole || body.length > policy.requestBytesMax) return false;
    const { budget, figures } = this.#route;
    const context = this.#context;
    const { metrics } = context.env;
    if ((this.#backoff?.failures ?? 0) >= policy.retriesMax) {
      this.#count("limit_exceeded");
      return false;
    }
    const now = context.nowMs();
    if (!budget.withdraw(now, context.inheritedRetries.share(now), this.#behind)) {
      this.#count("overflow");
      figures?.retryable(metrics, false);
      return false;
    }
    figures?.retryable(metrics, true);
    return true;
  }

  /** Calls when the retry that was taken is due. */
  after(resend: () => void): void {
    const { clock, random } = this.#context.env;
    this.#count("requests");
    this.#context.addedRetries.retried(this.#context.nowMs());
    this.#behind = 0;
    this.#backoff ??= new Backoff(this.policy.backoff, random);
    this.#timer = clock.after(this.#backoff.next(), () => { // cold: retries
      this.#timer = null;
      resend();
    });
  }

  /** The exchange has succeeded. */
  succeeded(): void {
    if (this.#backoff !== null) this.#count("successes");
  }

  /** The exchange is over. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #count(outcome: RetryOutcome): void {
    this.#context.env.metrics.retried(this.#protocol, outcome, this.#route.labels);
  }
}
