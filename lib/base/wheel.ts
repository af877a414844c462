// hot
/**
 * Coarse deadlines for many things: a wheel of slots, driven by `tick`. Postponing a deadline, which
 * idle timeouts do at every chunk, only writes a number; the entry is moved when its old slot is due.
 * A deadline is kept at the first tick at or after it, never early.
 *
 *     idle ──schedule──▶ in a slot ──tick, deadline passed──▶ idle, then fire()
 *                          │  ▲ tick, deadline was postponed
 *                          └──┘
 */

import { assert } from "./assert.ts";

/** No slot. */
const IDLE = -1;

/** What the wheel sees of a deadline. */
export abstract class Scheduled {
  /** When it is due, in the wheel's milliseconds; Infinity when it is not scheduled. */
  atMs = Infinity;
  /** The wheel's own: where the entry is linked. */
  slot = IDLE;
  /** The wheel's own: the tick at which the entry's slot is due. */
  slotTick = 0;
  next: Scheduled | null = null;
  previous: Scheduled | null = null;

  abstract fire(): void;
}

/** One deadline; keep it in its owner and use it again and again. */
export class Deadline<T> extends Scheduled {
  readonly owner: T;
  readonly #expired: (owner: T) => void;

  /** `expired` is called with `owner`; share one function among all deadlines of a kind. */
  constructor(owner: T, expired: (owner: T) => void) {
    super();
    this.owner = owner;
    this.#expired = expired;
  }

  override fire(): void {
    this.#expired(this.owner);
  }
}

/** Holds deadlines. Its owner calls `tick` about once per `tickMs`. */
export class TimerWheel {
  readonly #tickMs: number;
  readonly #slots: (Scheduled | null)[];
  #tick: number;
  #size = 0;
  /** The next entry of the slot being turned; moved on when `fire` cancels just that entry. */
  #cursor: Scheduled | null = null;

  /** Deadlines further off than `tickMs × slots` work, but are looked at once per turn. */
  constructor(nowMs: number, tickMs = 50, slots = 512) {
    assert(tickMs > 0 && slots > 1, "a wheel needs a tick and at least two slots");
    this.#tickMs = tickMs;
    this.#slots = new Array<Scheduled | null>(slots).fill(null);
    this.#tick = Math.floor(nowMs / tickMs);
  }

  /** How many deadlines are scheduled. */
  get size(): number {
    return this.#size;
  }

  /** Sets or changes when the entry is due. Cheap when the deadline only moves further off. */
  schedule(entry: Scheduled, atMs: number): void {
    entry.atMs = atMs;
    const due = this.#dueTick(atMs);
    if (entry.slot !== IDLE) {
      if (due >= entry.slotTick) return;
      this.#unlink(entry);
    }
    this.#link(entry, due);
  }

  /** Forgets the entry's deadline; does nothing when it has none. */
  cancel(entry: Scheduled): void {
    entry.atMs = Infinity;
    if (entry.slot !== IDLE) this.#unlink(entry);
  }

  /** Expires what is due at `nowMs`. What is scheduled from within waits for a later tick. */
  tick(nowMs: number): void {
    const target = Math.floor(nowMs / this.#tickMs);
    if (target <= this.#tick) return;
    const slots = this.#slots.length;
    // After a long pause one turn sees every slot.
    const first = Math.max(this.#tick + 1, target - slots + 1);
    this.#tick = target;
    for (let tick = first; tick <= target; tick++) this.#turn(tick % slots, target, nowMs);
  }

  #turn(slot: number, target: number, nowMs: number): void {
    this.#cursor = this.#slots[slot]!;
    while (this.#cursor !== null) {
      const entry: Scheduled = this.#cursor;
      this.#cursor = entry.next;
      if (entry.slotTick > target) continue;
      this.#unlink(entry);
      if (entry.atMs > nowMs) {
        this.#link(entry, this.#dueTick(entry.atMs));
        continue;
      }
      entry.atMs = Infinity;
      entry.fire();
    }
  }

  /** The first tick at or after the deadline, at least the next one. */
  #dueTick(atMs: number): number {
    return Math.max(Math.ceil(atMs / this.#tickMs), this.#tick + 1);
  }

  #link(entry: Scheduled, due: number): void {
    const slots = this.#slots.length;
    // Beyond one turn: the last slot of this turn, where it is looked at again.
    entry.slotTick = Math.min(due, this.#tick + slots - 1);
    entry.slot = entry.slotTick % slots;
    // At the front, so that a turn of this slot does not meet what it links.
    const head = this.#slots[entry.slot]!;
    entry.previous = null;
    entry.next = head;
    if (head !== null) head.previous = entry;
    this.#slots[entry.slot] = entry;
    this.#size++;
  }

  #unlink(entry: Scheduled): void {
    if (entry === this.#cursor) this.#cursor = entry.next;
    if (entry.previous === null) this.#slots[entry.slot] = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next !== null) entry.next.previous = entry.previous;
    entry.next = null;
    entry.previous = null;
    entry.slot = IDLE;
    this.#size--;
  }
}
