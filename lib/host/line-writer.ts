/**
 * Writes lines to a file descriptor without ever waiting for its reader: lines are gathered, written by
 * a thread of the runtime, one write at a time, and dropped while too much waits. A write holds whole
 * lines and no more than a pipe takes at once, so that other writers' lines do not get in between.
 */

import { write } from "node:fs";

/** Takes lines. */
export interface LineWriter {
  /** Takes a line, which must end with a line feed; false: dropped, since too much waits. */
  write(line: string): boolean;
  /** Resolves when what was taken is written, or cannot be. */
  flushed(): Promise<void>;
}

/** Gathered for so long: a burst shares a write, and a person sees lines at once. */
const GATHER_MS = 50;
/** PIPE_BUF of Linux: what a pipe takes whole or not at all. */
const WRITE_BYTES = 4_096;

/** Writes to the descriptor; `pendingCharsMax` bounds what waits. */
export function createLineWriter(fd: number, pendingCharsMax: number): LineWriter {
  return new DescriptorLines(fd, pendingCharsMax);
}

class DescriptorLines implements LineWriter {
  readonly #fd: number;
  readonly #pendingCharsMax: number;
  #lines: string[] = [];
  #pendingChars = 0;
  #isWriting = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #waiters: (() => void)[] = [];

  constructor(fd: number, pendingCharsMax: number) {
    this.#fd = fd;
    this.#pendingCharsMax = pendingCharsMax;
  }

  write(line: string): boolean {
    if (this.#pendingChars + line.length > this.#pendingCharsMax) return false;
    this.#lines.push(line);
    this.#pendingChars += line.length;
    if (!this.#isWriting) this.#timer ??= setTimeout(() => this.#next(), GATHER_MS);
    return true;
  }

  flushed(): Promise<void> {
    if (this.#lines.length === 0 && !this.#isWriting) return Promise.resolve();
    const done = new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (!this.#isWriting) this.#next();
    return done;
  }

  #next(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#isWriting = this.#lines.length > 0;
    if (this.#isWriting) this.#send(Buffer.from(this.#takeLines()), 0);
    else for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** As many lines as one write holds, but one at least. */
  #takeLines(): string {
    let count = 0;
    let bytes = 0;
    for (const line of this.#lines) {
      bytes += Buffer.byteLength(line);
      if (count > 0 && bytes > WRITE_BYTES) break;
      count++;
    }
    const text = this.#lines.splice(0, count).join("");
    this.#pendingChars -= text.length;
    return text;
  }

  #send(bytes: Buffer, from: number): void {
    write(this.#fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error?.code === "EAGAIN") setTimeout(() => this.#send(bytes, from), GATHER_MS);
      else if (error === null && from + written < bytes.length) this.#send(bytes, from + written);
      // Other errors: the reader has gone, and nobody will miss the lines.
      else this.#next();
    });
  }
}
