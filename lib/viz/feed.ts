/**
 * The event stream of the live page: one picture per second, computed once for all listeners and only
 * while somebody listens. A listener that reads too slowly skips pictures instead of queueing them.
 */

import type { Clock, Timer } from "../host/clock.ts";

const PERIOD_MS = 1_000;

/** Pictures for those who listen; one feed per kind of picture. */
export class Feed {
  readonly #clock: Clock;
  readonly #picture: () => string;
  readonly #listeners = new Set<ReadableStreamDefaultController<Uint8Array>>();
  readonly #encoder = new TextEncoder();
  #timer: Timer | undefined;

  constructor(clock: Clock, picture: () => string) {
    this.#clock = clock;
    this.#picture = picture;
  }

  /** How many listen. */
  size(): number {
    return this.#listeners.size;
  }

  /** A new listener's stream, the first picture in it. */
  listen(): ReadableStream<Uint8Array> {
    let own: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        own = controller;
        // Browsers wait so long before they connect again after a loss.
        controller.enqueue(this.#encoder.encode("retry: 1000\n\n"));
        controller.enqueue(this.#event());
        this.#listeners.add(controller);
        this.#timer ??= this.#clock.every(PERIOD_MS, () => this.#send());
      },
      cancel: () => this.#leave(own),
    });
  }

  #send(): void {
    const event = this.#event();
    for (const listener of this.#listeners) {
      if ((listener.desiredSize ?? 0) > 0) listener.enqueue(event);
    }
  }

  #event(): Uint8Array {
    return this.#encoder.encode(`data: ${this.#picture()}\n\n`);
  }

  #leave(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#listeners.delete(controller);
    if (this.#listeners.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
