/** A binary heap of calls by time: what the simulated host has before it. */

/** A pending call. */
export interface Entry {
  at: number;
  /** Decides among calls of one moment. */
  readonly tie: number;
  readonly sequence: number;
  readonly call: () => void;
  readonly isTimer: boolean;
  cancelled: boolean;
}

/** The earliest first; at one moment by `tie`, then in the order of scheduling. */
export class EventHeap {
  readonly #entries: Entry[] = [];

  get length(): number {
    return this.#entries.length;
  }

  /** The earliest call that is not cancelled, which stays. */
  peek(): Entry | undefined {
    while (this.#entries[0]?.cancelled === true) this.#removeFirst();
    return this.#entries[0];
  }

  /** Changes the times of calls: `retime` gives the new time of each. */
  retime(retime: (entry: Entry) => number): void {
    const entries = this.#entries.splice(0);
    for (const entry of entries) {
      if (entry.cancelled) continue;
      entry.at = retime(entry);
      this.push(entry);
    }
  }

  /** Removes the earliest call. */
  take(): Entry | undefined {
    const first = this.peek();
    if (first !== undefined) this.#removeFirst();
    return first;
  }

  push(entry: Entry): void {
    const entries = this.#entries;
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent] as Entry;
      if (isBefore(above, entry)) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  #removeFirst(): void {
    const entries = this.#entries;
    const last = entries.pop();
    if (last === undefined || entries.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      const right = child + 1;
      if (right < entries.length && isBefore(entries[right] as Entry, entries[child] as Entry)) {
        child = right;
      }
      const below = entries[child] as Entry;
      if (isBefore(last, below)) break;
      entries[at] = below;
      at = child;
    }
    entries[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  if (a.at !== b.at) return a.at < b.at;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}
