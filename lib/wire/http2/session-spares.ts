/** What sessions share with each other and use for a while, so that no new one is made each time. */

import { ByteBuffer } from "../../base/bytes.ts";
import { SEND_BUFFER_BYTES, SEND_BUFFERS_KEPT } from "../../base/limits.ts";
import { Spares } from "../../base/spares.ts";
import { type RequestHead, spareRequestHeads } from "../http/head.ts";

/** Of the sessions of one proxy. */
export class SessionSpares {
  /** A request's head belongs to its stream until that closes. */
  readonly requestHeads: Spares<RequestHead> = spareRequestHeads();
  /** For bodies on their way to the socket, of `SEND_BUFFER_BYTES`. */
  readonly sendBuffers: Spares<ByteBuffer> = new Spares(
    SEND_BUFFERS_KEPT,
    () => new ByteBuffer(SEND_BUFFER_BYTES),
  );
}
