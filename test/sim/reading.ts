/** How a simulated program reads: at once, with pauses, or not at all for a while. */

import type { Conn } from "../../lib/host/net.ts";
import type { World } from "./world.ts";

/** What a program's reading is like. */
export interface ReadingPlan {
  /** Chance of a pause after each chunk. */
  readonly pauses: number;
  readonly pauseMs: number;
  /** It stops once, for long, when so many bytes have come. */
  readonly stopAtByte: number;
  readonly stopMs: number;
}

/** Reads whatever comes at once. */
export const NO_PAUSES: ReadingPlan = {
  pauses: 0,
  pauseMs: 0,
  stopAtByte: Infinity,
  stopMs: 0,
};

/** Pauses one connection or stream now and then. */
export class ReadingHabits {
  readonly #plan: ReadingPlan;
  #read = 0;

  constructor(plan: ReadingPlan) {
    this.#plan = plan;
  }

  /** So many bytes have been read: how long it rests now. */
  restMs(world: World, count: number): number {
    const { pauses, pauseMs, stopAtByte, stopMs } = this.#plan;
    const before = this.#read;
    this.#read += count;
    if (before < stopAtByte && this.#read >= stopAtByte) return stopMs;
    if (pauses === 0 || !world.prng.chance(pauses)) return 0;
    return pauseMs * world.prng.float();
  }

  /** The same for a connection, which is paused meanwhile. */
  read(world: World, conn: Pick<Conn<unknown>, "pause" | "resume">, count: number): void {
    const delayMs = this.restMs(world, count);
    if (delayMs === 0) return;
    conn.pause();
    world.schedule(delayMs, () => conn.resume());
  }
}
