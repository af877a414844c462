/**
 * One direction of a simulated connection: bytes that one side has written and the other has not read,
 * with the times at which they arrive. What comes behind them is FIN or nothing; a reset is the
 * connection's affair (`conn.ts`).
 */

/** Bytes on their way, in order. */
export class Channel {
  /** Bytes that may be written and not yet read. */
  capacity: number;
  /** Bytes written so far. */
  taken = 0;
  /** Bytes that have been read so far. */
  read = 0;
  /** When FIN arrives; Infinity while there is none. */
  finAt = Infinity;
  /** The writer has had a short write and waits for room. */
  isAwaited = false;
  /** Nothing arrives any more, and nobody is told. */
  isSilent = false;
  #lastAt = 0;
  readonly #parts: Uint8Array[] = [];
  #first = 0;
  #offset = 0;
  /** Up to where bytes have arrived, by time. */
  readonly #arrivals: { at: number; upTo: number }[] = [];
  #arrived = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get room(): number {
    return Math.max(0, this.capacity - (this.taken - this.read));
  }

  /** Takes a copy of the bytes, which arrive at `at` or when those before them do. */
  write(bytes: Uint8Array, offset: number, length: number, at: number): void {
    this.#parts.push(bytes.slice(offset, offset + length));
    this.taken += length;
    this.#lastAt = Math.max(this.#lastAt, at);
    this.#arrivals.push({ at: this.#lastAt, upTo: this.taken });
  }

  /** The end follows what was written. */
  finish(at: number): void {
    this.#lastAt = Math.max(this.#lastAt, at);
    this.finAt = this.#lastAt;
  }

  /** How many bytes can be read at that time. */
  readable(now: number): number {
    if (this.isSilent) return 0;
    while (this.#arrivals.length > 0 && this.#arrivals[0]!.at <= now) {
      this.#arrived = this.#arrivals.shift()!.upTo;
    }
    return this.#arrived - this.read;
  }

  /** Whether all has been read and the end has arrived. */
  hasEnded(now: number): boolean {
    return !this.isSilent && this.finAt <= now && this.read === this.taken;
  }

  /** When there will be something new to read; Infinity when nothing is on its way. */
  nextAt(): number {
    if (this.isSilent) return Infinity;
    if (this.#arrived > this.read) return 0;
    return this.#arrivals[0]?.at ?? this.finAt;
  }

  /** Removes up to `count` readable bytes; `join`: also across the borders of writes. */
  take(count: number, join: boolean): Uint8Array {
    const part = this.#parts[this.#first]!;
    const left = part.length - this.#offset;
    if (count <= left || !join) {
      const taken = part.subarray(this.#offset, this.#offset + Math.min(count, left));
      this.#consume(taken.length);
      return taken;
    }
    const joined = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const piece = this.#parts[this.#first]!;
      const length = Math.min(count - at, piece.length - this.#offset);
      joined.set(piece.subarray(this.#offset, this.#offset + length), at);
      at += length;
      this.#consume(length);
    }
    return joined;
  }

  /** What was written and not read is lost. */
  drop(): void {
    this.#parts.length = 0;
    this.#first = 0;
    this.#offset = 0;
    this.#arrivals.length = 0;
    this.#arrived = this.read = this.taken;
  }

  #consume(count: number): void {
    this.read += count;
    this.#offset += count;
    if (this.#offset < this.#parts[this.#first]!.length) return;
    this.#offset = 0;
    this.#first++;
    if (this.#first < 64 && this.#first < this.#parts.length) return;
    this.#parts.splice(0, this.#first);
    this.#first = 0;
  }
}
