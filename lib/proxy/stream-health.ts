/**
 * Says in the log how the streams of one control-plane service fare: dozens of watches fail together
 * when the service is away, and an operator wants one line every now and then, not dozens.
 */

import { describeError } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Time between two lines about one service, the same as for a missing identity. */
const REPEAT_MS = 15_000;

/** The health of one service as its streams see it. */
export class StreamHealth {
  readonly #service: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  #toldAtMs = -Infinity;
  #isFailing = false;

  constructor(service: string, clock: Clock, log: Logger) {
    this.#service = service;
    this.#clock = clock;
    this.#log = log;
  }

  /** A stream failed in a way that is tried again. */
  failed(fault: Error): void {
    const now = this.#clock.monotonicMs();
    if (now - this.#toldAtMs < REPEAT_MS) return;
    this.#toldAtMs = now;
    this.#isFailing = true;
    this.#log.warn("control plane does not answer, using what is known", {
      service: this.#service,
      error: describeError(fault),
    });
  }

  /** A stream gave its first answer. */
  answered(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#toldAtMs = -Infinity;
    this.#log.info("control plane answers again", { service: this.#service });
  }
}
