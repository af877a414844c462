/** Watches processes for as long as a soak lasts: private memory and open descriptors. */

import { readdirSync } from "node:fs";
import { memory, type Program } from "../support/lab.ts";

/** One look at a process. */
interface Look {
  readonly minutes: number;
  readonly privateMb: number;
  readonly descriptors: number;
}

const PERIOD_MS = 2_000;

/** Looks at one process every two seconds. */
export class Watch {
  readonly name: string;
  readonly #pid: number;
  readonly #startedMs = performance.now();
  readonly #looks: Look[] = [];
  readonly #timer: ReturnType<typeof setInterval>;
  #loadMinutes = Infinity;

  constructor(name: string, { pid }: Program) {
    this.name = name;
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), PERIOD_MS);
  }

  /** The load is over: what follows says nothing of a rise. */
  loadEnded(): void {
    this.#loadMinutes = this.#minutes();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** How many descriptors are open now. */
  descriptors(): number {
    return readdirSync(`/proc/${this.#pid}/fd`).length;
  }

  /**
   * Megabytes a minute by which private memory rises under load after a time (least squares), and the
   * standard error of that: between two collections a heap goes up and down by more than a leak adds in
   * minutes.
   */
  rise(afterMinutes: number): { readonly perMinute: number; readonly error: number } {
    const looks = this.#looks.filter(({ minutes }) =>
      minutes >= afterMinutes && minutes <= this.#loadMinutes
    );
    const sum = (of: (look: Look) => number) => looks.reduce((total, look) => total + of(look), 0);
    const count = looks.length;
    const x = sum((look) => look.minutes) / count;
    const y = sum((look) => look.privateMb) / count;
    const spread = sum((look) => (look.minutes - x) ** 2);
    const perMinute = sum((look) => (look.minutes - x) * (look.privateMb - y)) / spread;
    const rest = (look: Look) => look.privateMb - y - perMinute * (look.minutes - x);
    const error = Math.sqrt(sum((look) => rest(look) ** 2) / (count - 2) / spread);
    return { perMinute, error };
  }

  /** A line for people: memory every so often, from the start to the end. */
  line(): string {
    const step = Math.max(1, Math.floor(this.#looks.length / 12));
    const shown = this.#looks.filter((_, index) => index % step === 0);
    const most = Math.max(...this.#looks.map(({ descriptors }) => descriptors));
    const texts = shown.map(({ privateMb }) => privateMb.toFixed(0));
    const last = this.#looks.at(-1)?.privateMb.toFixed(0);
    return `${this.name}: private MB ${texts.join(" ")}, at the end ${last}; ` +
      `at most ${most} descriptors`;
  }

  #look(): void {
    const { privateMb } = memory(this.#pid);
    this.#looks.push({ minutes: this.#minutes(), privateMb, descriptors: this.descriptors() });
  }

  #minutes(): number {
    return (performance.now() - this.#startedMs) / 60_000;
  }
}
