/** When an ended program is started again. Pure. */

import type { RestartPolicy } from "./pod-model.ts";

/** The first wait; it doubles with each restart. */
export const RESTART_DELAY_FIRST_MS = 1_000;
/** The longest wait, as kubelet's. */
export const RESTART_DELAY_MAX_MS = 300_000;
/** A program that ran for so long counts as healthy: the next restart waits the first delay again. */
export const RESTART_RESET_MS = 600_000;

/** Whether the policy starts a program again that ended with this code. */
export function shouldRestart(policy: RestartPolicy, code: number): boolean {
  return policy === "Always" || (policy === "OnFailure" && code !== 0);
}

/** The waits of one program, each twice as long as the last one. */
export class RestartDelay {
  #nextMs = RESTART_DELAY_FIRST_MS;

  /** The wait after a run of this length. */
  after(ranMs: number): number {
    if (ranMs >= RESTART_RESET_MS) this.#nextMs = RESTART_DELAY_FIRST_MS;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(RESTART_DELAY_MAX_MS, delayMs * 2);
    return delayMs;
  }
}
