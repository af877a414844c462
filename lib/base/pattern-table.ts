// hot
/** A compiled pattern: states by bytes. See `pattern.ts` for how it comes to be. */

/** What a pattern has become. */
export interface PatternStates {
  /** The column of each byte. */
  readonly columnOf: Uint8Array;
  readonly columns: number;
  /** The state after a state and a column, by rows of states; state 0 never leads to a match. */
  readonly next: Uint16Array;
  /** 1 for each state in which all may end. */
  readonly accepts: Uint8Array;
  readonly start: number;
}

/** Compares bytes with a pattern. */
export class PatternTable {
  readonly #columnOf: Uint8Array;
  readonly #columns: number;
  readonly #next: Uint16Array;
  readonly #accepts: Uint8Array;
  readonly #start: number;

  constructor(states: PatternStates) {
    this.#columnOf = states.columnOf;
    this.#columns = states.columns;
    this.#next = states.next;
    this.#accepts = states.accepts;
    this.#start = states.start;
  }

  /** How many states there are, for tests. */
  get size(): number {
    return this.#accepts.length;
  }

  /** Whether all of the bytes from `start` to `end` match. */
  matches(bytes: Uint8Array, start: number, end: number): boolean {
    const columnOf = this.#columnOf;
    const columns = this.#columns;
    const next = this.#next;
    let state = this.#start;
    for (let i = start; i < end; i++) {
      state = next[state * columns + columnOf[bytes[i]!]!]!;
      if (state === 0) return false;
    }
    return this.#accepts[state] === 1;
  }
}
