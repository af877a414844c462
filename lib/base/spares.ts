// hot
/** Objects that lie ready for their next use, so that whoever needs one for a moment makes no garbage. */

/** Spare objects of one kind. */
export class Spares<T> {
  readonly #make: () => T;
  readonly #max: number;
  readonly #idle: T[] = [];

  /** `max` of them lie ready; more are left to the collector. */
  constructor(max: number, make: () => T) {
    this.#max = max;
    this.#make = make;
  }

  /** One to use, as its last user left it. */
  take(): T {
    return this.#idle.pop() ?? this.#make();
  }

  /** Nobody looks at it any more. */
  giveBack(one: T): void {
    if (this.#idle.length < this.#max) this.#idle.push(one);
  }
}
