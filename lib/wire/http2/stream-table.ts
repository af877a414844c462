// hot
/**
 * The open streams of a session by their ids: open addressing, where an entry that goes leaves nothing
 * behind. The engine's own Map copies its entries to a new array every few hundred streams and links the
 * old array to the new one. Once one of these arrays is old, a collection of the young ones keeps all
 * that follow, and every stream that was ever in them, until everything is collected.
 */

import type { Http2Stream } from "./stream.ts";

/** A power of two. */
const SLOTS_FIRST = 8;
/** More are given back when the last stream has gone. */
const SLOTS_KEPT = 128;

/** Streams by id; ids that follow each other never collide. */
export class StreamTable<O> {
  /** How many there are. */
  size = 0;
  #slots: (Http2Stream<O> | null)[] = emptySlots(SLOTS_FIRST);

  get(id: number): Http2Stream<O> | undefined {
    return this.#slots[this.#find(id)] ?? undefined;
  }

  /** Adds a stream whose id is not there. */
  add(stream: Http2Stream<O>): void {
    if (this.size * 2 >= this.#slots.length) this.#grow();
    this.#slots[this.#find(stream.id)] = stream;
    this.size++;
  }

  /** Takes one out; does nothing when it is not there. */
  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let gap = this.#find(id);
    if (slots[gap] === null) return;
    slots[gap] = null;
    this.size--;
    // Whoever had to stand further back because of it moves up.
    for (let at = (gap + 1) & mask; slots[at] !== null; at = (at + 1) & mask) {
      const stream = slots[at]!;
      if (((at - home(stream.id, mask)) & mask) < ((at - gap) & mask)) continue;
      slots[gap] = stream;
      slots[at] = null;
      gap = at;
    }
    if (this.size === 0 && slots.length > SLOTS_KEPT) this.#slots = emptySlots(SLOTS_FIRST);
  }

  /** All of them as they are now, in no order; cold. */
  values(): Http2Stream<O>[] {
    return this.#slots.filter((stream) => stream !== null);
  }

  /** Where the stream is, or would be. */
  #find(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = home(id, mask);
    for (let stream = slots[at]!; stream !== null && stream.id !== id; stream = slots[at]!) {
      at = (at + 1) & mask;
    }
    return at;
  }

  #grow(): void {
    const streams = this.values();
    this.#slots = emptySlots(this.#slots.length * 2);
    for (let i = 0; i < streams.length; i++) this.#slots[this.#find(streams[i]!.id)] = streams[i]!;
  }
}

/** A side's ids are all odd. */
function home(id: number, mask: number): number {
  return (id >> 1) & mask;
}

function emptySlots<O>(count: number): (Http2Stream<O> | null)[] {
  return new Array<Http2Stream<O> | null>(count).fill(null);
}
