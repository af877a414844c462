// hot
/**
 * Waiting requests of several callers, served in turn: each caller's oldest, one after another. Where there
 * is no room, whoever has most waiting loses its newest. So one caller, however much it asks, takes no more
 * than its share from the others. Pure.
 */

import { Ring } from "../base/ring.ts";

/** What waits. */
export interface Queued {
  /** Since when. */
  readonly beganAtMs: number;
  /** Whose it is. */
  readonly caller: string;
}

/** What one caller has waiting. */
interface Line<T> {
  readonly caller: string;
  readonly items: Ring<T>;
}

/** A queue. */
export class FairQueue<T extends Queued> {
  readonly #lines = new Map<string, Line<T>>();
  /** Callers in the order of their turns. */
  readonly #turns = new Ring<Line<T>>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    const { caller } = item;
    let line = this.#lines.get(caller);
    if (line === undefined) {
      line = { caller, items: new Ring<T>(2) };
      this.#lines.set(caller, line);
      this.#turns.push(line);
    }
    line.items.push(item);
    this.#length++;
  }

  /** Removes the oldest of the caller whose turn it is; undefined when nothing waits. */
  take(): T | undefined {
    const line = this.#turns.take();
    if (line === undefined) return undefined;
    const item = line.items.take();
    this.#length--;
    if (line.items.length > 0) this.#turns.push(line);
    else this.#lines.delete(line.caller);
    return item;
  }

  /** Removes one item, wherever it is; false when it does not wait. */
  remove(item: T): boolean {
    const line = this.#lines.get(item.caller);
    if (line === undefined || !line.items.remove(item)) return false;
    this.#removed(line);
    return true;
  }

  /** Makes room for one of a caller's: removes the newest of who has most; undefined: nobody has more. */
  displace(caller: string): T | undefined {
    let longest: Line<T> | undefined;
    let most = (this.#lines.get(caller)?.items.length ?? 0) + 1;
    for (const line of this.#lines.values()) {
      if (line.items.length <= most) continue;
      longest = line;
      most = line.items.length;
    }
    if (longest === undefined) return undefined;
    const item = longest.items.pop();
    this.#removed(longest);
    return item;
  }

  /** Removes one that has waited since then or longer; undefined when there is none. */
  takeOlder(thanMs: number): T | undefined {
    for (const line of this.#lines.values()) {
      const oldest = line.items.peek();
      if (oldest === undefined || oldest.beganAtMs > thanMs) continue;
      line.items.take();
      this.#removed(line);
      return oldest;
    }
    return undefined;
  }

  #removed(line: Line<T>): void {
    this.#length--;
    if (line.items.length > 0) return;
    this.#lines.delete(line.caller);
    this.#turns.remove(line);
  }
}
