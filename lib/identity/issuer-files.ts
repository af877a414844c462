/**
 * The issuer's certificate chain and key in a folder, as a mounted secret has them (`tls.crt`,
 * `tls.key`, or Linkerd's `crt.pem`, `key.pem`). Read again when the folder changes; what cannot be read
 * leaves the issuer of before in place.
 */

import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import { joinPath, readText, watchFolder } from "../host/files.ts";
import { type Authority, authorityOf } from "../pki/issuer.ts";
import { importKeyPem } from "../pki/key.ts";

/** How the files may be called. */
const NAMES = [["tls.crt", "tls.key"], ["crt.pem", "key.pem"]] as const;
/** Mounted secrets are swapped in several steps; they are read when it is quiet. */
const SETTLE_MS = 200;
/** Some file systems tell of no changes, so the files are also looked at now and then. */
const LOOK_MS = 30_000;

/** What is told of the folder. */
export interface IssuerEvents {
  /** A new issuer is in use, the first one included. */
  loaded(authority: Authority): void;
  /** The files cannot be used. */
  failed(fault: Fault): void;
}

/** The issuer in a folder. */
export interface IssuerFolder {
  current(): Authority | null;
  stop(): void;
}

/**
 * Reads the folder now and whenever it changes. The first reading is over when this resolves. What `judge`
 * has something against is not used, and is judged again at each look: that may change by itself.
 */
export async function watchIssuer(
  folder: string,
  clock: Clock,
  events: IssuerEvents,
  judge: (issuer: Authority) => Fault | undefined = () => undefined,
): Promise<IssuerFolder> {
  const watcher = new IssuerWatcher(folder, clock, events, judge);
  await watcher.start();
  return watcher;
}

class IssuerWatcher implements IssuerFolder {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #events: IssuerEvents;
  readonly #judge: (issuer: Authority) => Fault | undefined;
  #current: Authority | null = null;
  /** What is in use, so that only changes are acted on. */
  #text = "";
  /** What was told of the last reading: the same is not told at each look. */
  #told = "";
  #stops: (() => void)[] = [];
  #settling: (() => void) | undefined;

  constructor(
    folder: string,
    clock: Clock,
    events: IssuerEvents,
    judge: (issuer: Authority) => Fault | undefined,
  ) {
    this.#folder = folder;
    this.#clock = clock;
    this.#events = events;
    this.#judge = judge;
  }

  async start(): Promise<void> {
    await this.#read();
    const looks = this.#clock.every(LOOK_MS, () => void this.#read());
    this.#stops.push(() => looks.cancel());
    try {
      this.#stops.push(watchFolder(this.#folder, () => this.#changed()));
    } catch {
      // The folder is not there yet: the regular look will find it.
    }
  }

  current(): Authority | null {
    return this.#current;
  }

  stop(): void {
    this.#settling?.();
    for (const stop of this.#stops) stop();
  }

  #changed(): void {
    this.#settling?.();
    const timer = this.#clock.after(SETTLE_MS, () => void this.#read());
    this.#settling = () => timer.cancel();
  }

  /** Never rejects: what is wrong is told to the events. */
  async #read(): Promise<void> {
    try {
      const [chain, key] = await readPair(this.#folder);
      const text = `${chain}\n${key}`;
      if (text === this.#text) return;
      const issuer = authorityOf(chain, await importKeyPem(key));
      const fault = this.#judge(issuer);
      if (fault !== undefined) throw fault;
      this.#text = text;
      this.#told = "";
      this.#current = issuer;
      this.#events.loaded(issuer);
    } catch (thrown) {
      const fault = thrown instanceof Fault
        ? thrown
        : new Fault("invalid_argument", `Cannot use the issuer in "${this.#folder}"`, {
          cause: thrown,
        });
      if (fault.message === this.#told) return;
      this.#told = fault.message;
      this.#events.failed(fault);
    }
  }
}

async function readPair(folder: string): Promise<readonly [string, string]> {
  let missing: unknown;
  for (const [chain, key] of NAMES) {
    try {
      return [await readText(joinPath(folder, chain)), await readText(joinPath(folder, key))];
    } catch (thrown) {
      if (!(thrown instanceof Fault) || thrown.code !== "not_found") throw thrown;
      missing ??= thrown;
    }
  }
  throw new Fault(
    "not_found",
    `Cannot find the issuer in "${folder}": expected tls.crt and tls.key, or crt.pem and key.pem`,
    { cause: missing },
  );
}
