// hot
/**
 * The last phase of a client's HTTP connection: FIN follows what was written, and what the client
 * still sends is thrown away for a while. Closing at once would make the kernel send a reset, which
 * can destroy the response on its way.
 */

import { Deadline } from "../base/wheel.ts";
import type { CloseReason, ConnHandler } from "../host/net.ts";
import { enterPhase, type PathContext, type Session } from "./context.ts";
import { errnoOf } from "./errno.ts";
import type { Outlet } from "./outlet.ts";

/** How long a client may go on sending after our FIN before it is cut off. */
const LINGER_MS = 2_000;

/** Is told when the connection is closed. */
export interface LingerOwner {
  lingered(): void;
}

/** One connection on its way out. */
export class Lingering implements Session {
  readonly context: PathContext;
  readonly out: Outlet;
  readonly #owner: LingerOwner;
  readonly #deadline: Deadline<Lingering>;

  constructor(context: PathContext, out: Outlet, owner: LingerOwner) {
    this.context = context;
    this.out = out;
    this.#owner = owner;
    this.#deadline = new Deadline<Lingering>(this, expired);
    context.opened(this);
    enterPhase(out.conn, HANDLER, this);
    this.wait();
  }

  drain(): void {}

  abort(): void {
    this.out.conn.destroy(true);
  }

  wait(): void {
    this.context.wheel.schedule(this.#deadline, this.context.nowMs() + LINGER_MS);
  }

  closed(reason: CloseReason): void {
    this.context.wheel.cancel(this.#deadline);
    this.out.metrics.closed(errnoOf(reason));
    this.context.closed(this);
    this.#owner.lingered();
  }
}

const HANDLER: ConnHandler<Lingering> = {
  open() {},
  secure() {},
  data(conn, chunk) {
    conn.data.out.metrics.read(chunk.length);
  },
  drain(conn) {
    conn.data.out.flush();
  },
  end() {},
  close(conn, reason) {
    conn.data.closed(reason);
  },
};

function expired(lingering: Lingering): void {
  // A slow reader may have its time for what was answered.
  if (lingering.out.blocked) lingering.wait();
  else lingering.out.conn.destroy();
}
