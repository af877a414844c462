/** gRPC's message framing over HTTP/2: one byte for compression, four for the length, the message. */

import { Fault } from "../base/fault.ts";

const PREFIX_BYTES = 5;

/** A message with its prefix, ready to be written to any number of streams. */
export function frameOf(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(PREFIX_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, PREFIX_BYTES);
  return frame;
}

/** Puts messages together again out of chunks of any size. */
export class FrameReader {
  readonly #bytesMax: number;
  #held: Uint8Array = new Uint8Array(0);

  /** `bytesMax` bounds a single message. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * Gives the messages that this chunk completes. Throws `unimplemented` for a compressed message and
   * `resource_exhausted` for one that is too long, behind those before it.
   */
  push(chunk: Uint8Array, take: (message: Uint8Array) => void): void {
    let bytes = joined(this.#held, chunk);
    while (bytes.length >= PREFIX_BYTES) {
      if (bytes[0] !== 0) {
        throw new Fault("unimplemented", "Cannot read a compressed gRPC message");
      }
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (length > this.#bytesMax) {
        const message = `Cannot take a gRPC message of ${length} bytes: at most ${this.#bytesMax}`;
        throw new Fault("resource_exhausted", message);
      }
      const end = PREFIX_BYTES + length;
      if (bytes.length < end) break;
      take(bytes.subarray(PREFIX_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.#held = bytes;
  }

  /** Bytes of a message that is not yet complete. */
  get heldBytes(): number {
    return this.#held.length;
  }
}

/** The one message of a whole body. Throws `invalid_argument` for none, several or a broken one. */
export function onlyMessage(body: Uint8Array, bytesMax: number): Uint8Array {
  const reader = new FrameReader(bytesMax);
  const messages: Uint8Array[] = [];
  reader.push(body, (message) => messages.push(message));
  const [message, ...more] = messages;
  if (message === undefined || more.length > 0 || reader.heldBytes > 0) {
    throw new Fault("invalid_argument", "Cannot read the request: expected one gRPC message");
  }
  return message;
}

/** A status message in a header: percent-encoded UTF-8, everything printable but `%` as it is. */
export function encodeStatusMessage(text: string): string {
  let encoded = "";
  for (const byte of new TextEncoder().encode(text)) {
    encoded += byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** The text of a status message; what is not rightly encoded is given back as it stands. */
export function decodeStatusMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Peers may send a bare "%"; the raw text still tells a person what is wrong.
    return text;
  }
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  if (head.length === 0) return tail;
  const bytes = new Uint8Array(head.length + tail.length);
  bytes.set(head);
  bytes.set(tail, head.length);
  return bytes;
}
