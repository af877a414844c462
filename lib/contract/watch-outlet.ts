/**
 * One server stream of a watch. Values come as frames that are encoded once per domain object and
 * shared by all streams. A reader that does not keep up never makes us hold more than a bound: of
 * states it gets the newest when it reads again, of changes a backlog, and above that it is cut.
 *
 *     idle ──first value or nothing yet──▶ open ──write took no more──▶ full ──drain──▶ open
 *       └────────────── fault, cancel, end ──────────┴─────────────────────┴──▶ closed
 */

import { CONTROL_BACKLOG_BYTES_MAX } from "../base/limits.ts";
import { Fault } from "../base/fault.ts";
import type { H2ServerStream } from "../host/h2-server.ts";
import type { Sink, Unwatch } from "../mesh/discovery.ts";
import { encodeStatusMessage } from "./grpc-frame.ts";
import { grpcStatusOf } from "./grpc-status.ts";

/** Whether each value stands alone (`states`), or all are needed in their order (`changes`). */
export type WatchKind = "states" | "changes";

type Phase = "idle" | "open" | "full" | "closed";

const CONTENT_TYPE = { "content-type": "application/grpc" };

/** Writes the values of a watch to a stream. */
export class WatchOutlet<T> implements Sink<T> {
  readonly #stream: H2ServerStream;
  readonly #kind: WatchKind;
  readonly #frame: (value: T) => Uint8Array;
  #phase: Phase = "idle";
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #unwatch: Unwatch | undefined;

  constructor(stream: H2ServerStream, kind: WatchKind, frame: (value: T) => Uint8Array) {
    this.#stream = stream;
    this.#kind = kind;
    this.#frame = frame;
  }

  /** Starts the watch; it ends with the stream, whoever ends that. */
  start(watch: (sink: Sink<T>) => Unwatch): void {
    this.#stream.onDrain(() => this.#drained());
    this.#stream.onClose(() => this.#close());
    const unwatch = watch(this);
    if (this.#phase === "closed") unwatch();
    else this.#unwatch = unwatch;
    // Nothing is known yet: the headers tell the client that it is being served.
    this.#open();
  }

  next(value: T): void {
    if (this.#phase === "closed") return;
    this.#open();
    const frame = this.#frame(value);
    if (this.#phase === "full") this.#hold(frame);
    else this.#write(frame);
  }

  fail(fault: Error): void {
    finishWith(this.#stream, this.#phase === "idle", fault);
    this.#close();
  }

  #open(): void {
    if (this.#phase !== "idle") return;
    this.#phase = "open";
    this.#stream.respond({ ":status": 200, ...CONTENT_TYPE });
  }

  #write(frame: Uint8Array): void {
    if (!this.#stream.write(frame)) this.#phase = "full";
  }

  #hold(frame: Uint8Array): void {
    if (this.#kind === "states") {
      this.#backlog = [frame];
      return;
    }
    this.#backlog.push(frame);
    this.#backlogBytes += frame.length;
    if (this.#backlogBytes <= CONTROL_BACKLOG_BYTES_MAX) return;
    this.#close();
    // Its trailers would queue behind what it does not read.
    this.#stream.reset();
  }

  #drained(): void {
    if (this.#phase !== "full") return;
    this.#phase = "open";
    const backlog = this.#backlog;
    this.#backlog = [];
    this.#backlogBytes = 0;
    for (const frame of backlog) {
      if (this.#phase === "open") this.#write(frame);
      else this.#hold(frame);
    }
  }

  #close(): void {
    this.#phase = "closed";
    this.#backlog = [];
    this.#unwatch?.();
    this.#unwatch = undefined;
  }
}

/** Ends a stream with the status of a fault; `bare` when no headers were sent. */
export function finishWith(stream: H2ServerStream, bare: boolean, thrown: unknown): void {
  const { number, message } = grpcStatusOf(thrown);
  const status = { "grpc-status": String(number), "grpc-message": encodeStatusMessage(message) };
  if (bare) stream.respond({ ":status": 200, ...CONTENT_TYPE, ...status }, true);
  else stream.end(status);
}

/** Answers with one message and the status OK. */
export function answerOnce(stream: H2ServerStream, frame: Uint8Array): void {
  stream.respond({ ":status": 200, ...CONTENT_TYPE });
  stream.write(frame);
  stream.end({ "grpc-status": "0" });
}

/** The first value of a watch. Rejects with the watch's fault, or when the stream ends before. */
export function firstValue<T>(
  stream: H2ServerStream,
  watch: (sink: Sink<T>) => Unwatch,
): Promise<T> {
  return new Promise((resolve, reject) => {
    // The first value may come before the watch is even returned.
    const held: { unwatch?: Unwatch; isDone: boolean } = { isDone: false };
    const finish = () => {
      held.isDone = true;
      held.unwatch?.();
    };
    held.unwatch = watch({
      next(value) {
        resolve(value);
        finish();
      },
      fail(fault) {
        reject(fault);
        finish();
      },
    });
    if (held.isDone) held.unwatch();
    stream.onClose(() => {
      reject(new Fault("unavailable", "Cannot answer: the call was cancelled"));
      finish();
    });
  });
}
