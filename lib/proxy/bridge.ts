/**
 * TLS to our identity on the application's own port: its first bytes had to be read to know, and TLS
 * can only be terminated on a connection of which nothing was read. So the connection is joined to one
 * end of a pair, and the other end, which brings those bytes anew, is accepted in its place.
 */

import type { ConnHandler } from "../host/net.ts";
import { NO_EVENTS, type PathContext, type Session } from "./context.ts";
import type { TransportMetrics } from "./environment.ts";
import { Intake } from "./intake.ts";
import type { Opening } from "./opening.ts";
import { Outlet } from "./outlet.ts";
import { Splice } from "./splice.ts";

/** The other end counts the connection. */
const UNCOUNTED: TransportMetrics = { opened() {}, read() {}, wrote() {}, closed() {} };

/** Joins the connection of `opening` to a pair; `accept` takes its other end. */
export function bridge<A>(
  context: PathContext,
  opening: Opening,
  accept: readonly [ConnHandler<A>, A],
): void {
  const { conn, intake, ended, paused } = opening;
  const [near] = context.env.net.pair([NO_EVENTS, null], accept, {
    remote: conn.remote,
    local: conn.local,
  });
  const session: Session & { spliceClosed(): void } = {
    drain() {},
    abort: () => splice.abort(),
    spliceClosed: () => context.closed(session),
  };
  context.opened(session);
  const splice = new Splice(
    session,
    { out: new Outlet(conn, UNCOUNTED, context.gatherer), intake, ended, paused },
    {
      out: new Outlet(near, UNCOUNTED, context.gatherer),
      intake: new Intake(),
      ended: false,
      paused: false,
    },
  );
}
