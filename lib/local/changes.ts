/** A bell that rings at each change of some state, and waits for a state to be reached. */

/** Whoever waits looks at the state itself: a ring says only that it may have changed. */
export class Changes {
  readonly #listeners = new Set<() => void>();

  /** Says that something changed. */
  ring(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls at each ring; returns how to stop that. */
  listen(call: () => void): () => void {
    this.#listeners.add(call);
    return () => void this.#listeners.delete(call);
  }

  /** Resolves as soon as the condition holds, perhaps at once. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.listen(() => {
        if (!condition()) return;
        stop();
        resolve();
      });
    });
  }
}
