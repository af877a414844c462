/** What a simulated program writes to its connection: parts in order, with pauses, as fast as is taken. */

import type { Conn } from "../../lib/host/net.ts";
import { payload } from "./payload.ts";
import type { World } from "./world.ts";

/** A part of what is to be written. */
type Part =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; at: number }
  | { readonly kind: "payload"; readonly tag: number; at: number; readonly end: number }
  | { readonly kind: "pause"; readonly delayMs: number }
  | { readonly kind: "call"; readonly call: () => void };

const WRITE_BYTES_MAX = 65_536;
const utf8 = new TextEncoder();

/** Writes to one connection. */
export class Writer {
  readonly #world: World;
  readonly #conn: Conn<unknown>;
  readonly #parts: Part[] = [];
  #isBlocked = false;
  #isPausing = false;
  #isPumping = false;

  constructor(world: World, conn: Conn<unknown>) {
    this.#world = world;
    this.#conn = conn;
  }

  /** Everything has been taken. */
  get isIdle(): boolean {
    return this.#parts.length === 0;
  }

  text(text: string): this {
    return this.bytes(utf8.encode(text));
  }

  bytes(bytes: Uint8Array): this {
    if (bytes.length > 0) this.#parts.push({ kind: "bytes", bytes, at: 0 });
    return this;
  }

  /** Bytes `[from, end)` of the body with that tag. */
  payload(tag: number, from: number, end: number): this {
    if (end > from) this.#parts.push({ kind: "payload", tag, at: from, end });
    return this;
  }

  pause(delayMs: number): this {
    if (delayMs > 0) this.#parts.push({ kind: "pause", delayMs });
    return this;
  }

  /** Calls when everything before has been taken. */
  then(call: () => void): this {
    this.#parts.push({ kind: "call", call });
    return this;
  }

  /** FIN behind what was written. */
  end(): this {
    return this.then(() => this.#conn.shutdown());
  }

  clear(): void {
    this.#parts.length = 0;
  }

  drained(): void {
    this.#isBlocked = false;
    this.pump();
  }

  /** Writes as much as is taken. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (!this.#isBlocked && !this.#isPausing) {
      const part = this.#parts[0];
      if (part === undefined || !this.#write(part)) break;
      if (this.#parts[0] === part) this.#parts.shift();
    }
    this.#isPumping = false;
  }

  /** Whether the part is done with. */
  #write(part: Part): boolean {
    switch (part.kind) {
      case "bytes": {
        const left = part.bytes.length - part.at;
        const took = this.#conn.write(part.bytes, part.at, left);
        return this.#took(part, took, left, part.bytes.length);
      }
      case "payload": {
        const left = Math.min(WRITE_BYTES_MAX, part.end - part.at);
        const took = this.#conn.write(payload(part.tag, part.at, left), 0, left);
        return this.#took(part, took, left, part.end);
      }
      case "pause":
        this.#isPausing = true;
        this.#world.schedule(part.delayMs, () => {
          this.#isPausing = false;
          this.pump();
        });
        return true;
      case "call":
        this.#parts.shift();
        part.call();
        return true;
    }
  }

  #took(part: { at: number }, took: number, asked: number, end: number): boolean {
    if (took < 0) {
      this.clear();
      return true;
    }
    part.at += took;
    this.#isBlocked = took < asked;
    if (part.at === end) return true;
    return this.#isBlocked ? false : this.#write(part as Part);
  }
}
