/** Digests, where the platform's asynchronous ones would make pure functions asynchronous. */

import { createHash } from "node:crypto";

/** SHA-256 of a text's UTF-8 bytes, in lower-case hexadecimal. */
export function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
