// hot
/**
 * Response heads that wait for what may have their responses thrown away. A codec uses one object for all
 * its heads, so whoever waits needs a copy; most wait for a moment only, so that few copies are ever made.
 */

import { ResponseHead } from "../wire/http/mod.ts";

/** Copies that lie ready; where more wait at a time, the others are left to the collector. */
const SPARE_MAX = 16;

/** Of all exchanges of a proxy. */
export class HeldHeads {
  readonly #spare: ResponseHead[] = [];

  /** A copy, good until it is given back. */
  hold(head: ResponseHead): ResponseHead {
    const held = this.#spare.pop() ?? new ResponseHead();
    head.copyTo(held);
    return held;
  }

  /** Nobody looks at it any more. */
  giveBack(held: ResponseHead): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(held);
  }
}
