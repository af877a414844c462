// hot
/**
 * Sends one request to its upstream: the head and what is here of the body in one write, the rest as
 * it comes. Remembers a request that went out whole, so that it can be sent again.
 */

import type { ByteBuffer } from "../base/bytes.ts";
import { BodyFramer, frameRequest, type RequestHead } from "../wire/http1/mod.ts";
import { writeRequestHead } from "./http-write.ts";
import type { Intake } from "./intake.ts";
import type { Outlet } from "./outlet.ts";

/** Up to here body bytes are copied behind the head, to be written with it. */
export const COALESCE_BYTES = 16_384;

const NOTHING = new Uint8Array(0);

/** The requests of one client connection, one after another. */
export class RequestSender {
  readonly head: RequestHead;
  readonly intake: Intake;
  readonly #framer: BodyFramer = new BodyFramer();
  /** Where `head`'s offsets point to. */
  headBytes: Uint8Array = NOTHING;
  /** The whole request has been handed to an upstream. */
  done = true;
  /** All of it went out in one go and is still here. */
  replayable = false;
  #body: Uint8Array = NOTHING;
  #bodyStart = 0;
  #bodyEnd = 0;

  constructor(head: RequestHead, intake: Intake) {
    this.head = head;
    this.intake = intake;
  }

  /** The client's bytes up to the end of the body have been seen. */
  get received(): boolean {
    return this.#framer.done;
  }

  /** Takes the head, which stands at the start of the intake with this length. */
  begin(length: number): void {
    this.headBytes = this.intake.bytes;
    this.intake.consume(length);
    frameRequest(this.#framer, this.head);
    this.done = false;
    this.replayable = false;
  }

  /**
   * Sends the request, again if it was sent before; `scratch` holds what goes before it, `lines` are
   * header lines to add. 0, or the negated reason for bad framing (then nothing was written).
   */
  send(out: Outlet, lines: Uint8Array, scratch: ByteBuffer): number {
    const { intake } = this;
    const framer = this.#framer;
    writeRequestHead(this.headBytes, this.head, lines, scratch);
    if (!this.replayable) {
      let taken = 0;
      if (!framer.done && intake.length > 0) {
        taken = framer.advance(intake.bytes, intake.start, intake.end);
        if (taken < 0) return taken;
      }
      this.#body = intake.bytes;
      this.#bodyStart = intake.start;
      this.#bodyEnd = intake.start + taken;
      intake.consume(taken);
      this.done = framer.done;
      this.replayable = framer.done && taken <= COALESCE_BYTES;
    }
    if (this.#bodyEnd - this.#bodyStart <= COALESCE_BYTES) {
      scratch.append(this.#body, this.#bodyStart, this.#bodyEnd);
      out.write(scratch.bytes, scratch.start, scratch.end, false);
    } else {
      out.write(scratch.bytes, scratch.start, scratch.end, false);
      out.write(this.#body, this.#bodyStart, this.#bodyEnd, true);
    }
    return 0;
  }

  /** Sends what came of the body since. 0, or the negated reason for bad framing. */
  forward(out: Outlet): number {
    const { intake } = this;
    const start = intake.start;
    const taken = this.#framer.advance(intake.bytes, start, intake.end);
    if (taken < 0) return taken;
    out.write(intake.bytes, start, start + taken, true);
    intake.consume(taken);
    this.done = this.#framer.done;
    return 0;
  }

  /** It will not be sent again: its bytes need not be kept. */
  settle(): void {
    this.replayable = false;
    this.#body = NOTHING;
    this.#bodyStart = 0;
    this.#bodyEnd = 0;
  }

  /** It is over. */
  forget(): void {
    this.settle();
    this.headBytes = NOTHING;
  }
}
