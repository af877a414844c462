/** Time and timers of a host, so that a simulated host can own them. */

/** A pending call. */
export interface Timer {
  cancel(): void;
}

/** A clock. `nowMs` is wall time; `monotonicMs` never goes back and has fractions of a millisecond. */
export interface Clock {
  nowMs(): number;
  monotonicMs(): number;
  /** Calls once after at least `delayMs`; soon, where that time is over already. */
  after(delayMs: number, call: () => void): Timer;
  /** Calls every `periodMs` until cancelled. */
  every(periodMs: number, call: () => void): Timer;
  /** Calls at the end of this turn of the event loop, after the events that are ready now. */
  afterTurn(call: () => void): void;
}

/** The real clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, call) {
    const id = setTimeout(call, Math.max(0, delayMs));
    return { cancel: () => clearTimeout(id) };
  },
  every(periodMs, call) {
    const id = setInterval(call, periodMs);
    return { cancel: () => clearInterval(id) };
  },
  afterTurn: (call) => void setImmediate(call),
};

/** Resolves after at least `delayMs`; for cold code only. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(delayMs, resolve));
}
