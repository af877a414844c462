/**
 * Begins few TLS handshakes in each turn of the event loop. One costs some hundred microseconds for keys and
 * signatures, so a thousand that come at once would hold up everything else for a good part of a second; those
 * that wait cost the others nothing.
 */

import { HANDSHAKES_PER_TURN } from "../base/limits.ts";
import type { Clock } from "./clock.ts";

/** Whoever begins handshakes. */
export class HandshakeTurns {
  readonly #clock: Clock;
  readonly #next: () => void;
  #begun = 0;
  #waiting: (() => void)[] = [];
  /** How many of them have begun. */
  #at = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#next = () => this.#turnEnded();
  }

  /** Whether the next one would have to wait. */
  get isBusy(): boolean {
    return this.#begun >= HANDSHAKES_PER_TURN;
  }

  /** Calls at once, or in a later turn; in the order in which they came. */
  begin(call: () => void): void {
    if (this.isBusy) this.#waiting.push(call);
    else this.#begin(call);
  }

  #begin(call: () => void): void {
    if (this.#begun++ === 0) this.#clock.afterTurn(this.#next);
    call();
  }

  #turnEnded(): void {
    this.#begun = 0;
    while (this.#at < this.#waiting.length) {
      if (this.isBusy) return;
      this.#begin(this.#waiting[this.#at++]!);
    }
    this.#waiting = [];
    this.#at = 0;
  }
}
