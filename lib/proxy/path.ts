/**
 * The byte path of a proxy: its two listeners and everything behind them. Read on in the order of a
 * connection's life: `outbound.ts` or `inbound.ts` (whose is it, what does it speak), `opaque.ts` and
 * `splice.ts` or `downstream.ts`, `pool.ts` and `upstream.ts`; `drain` here is its end.
 */

import type { ConnHandler, Listener } from "../host/net.ts";
import type { SocketAddress } from "../mesh/address.ts";
import { PathContext } from "./context.ts";
import type { ProxyEnvironment } from "./environment.ts";
import { INBOUND_ACCEPT } from "./inbound.ts";
import { OUTBOUND_ACCEPT } from "./outbound.ts";

/** A running byte path. */
export interface BytePath {
  readonly inbound: readonly Listener[];
  readonly outbound: readonly Listener[];
  /** Connections that are open now. */
  readonly sessions: number;
  /**
   * Takes no new connections, finishes the requests under way and closes idle connections; resolves
   * when all have gone, at the latest after `drainMs`, when the rest is cut off.
   */
  drain(): Promise<void>;
}

/** Opens the listeners. Throws `Fault` `unavailable` when an address cannot be bound. */
export function startBytePath(env: ProxyEnvironment): BytePath {
  const context = new PathContext(env);
  const open: Listener[] = [];
  const listen = (addresses: readonly SocketAddress[], handler: ConnHandler<PathContext>) =>
    addresses.map((address) => {
      const listener = env.net.listen(address, handler, () => context);
      open.push(listener);
      return listener;
    });
  try {
    const inbound = listen(env.settings.inboundListen, INBOUND_ACCEPT);
    const outbound = listen(env.settings.outboundListen, OUTBOUND_ACCEPT);
    let drained: Promise<void> | undefined;
    return {
      inbound,
      outbound,
      get sessions() {
        return context.sessions.size;
      },
      drain: () => drained ??= drain(context, open),
    };
  } catch (error) {
    for (const listener of open) listener.stop();
    context.stop();
    throw error;
  }
}

function drain(context: PathContext, listeners: readonly Listener[]): Promise<void> {
  const { clock, log, settings } = context.env;
  for (const listener of listeners) listener.stop();
  context.draining = true;
  for (const session of [...context.sessions]) session.drain();
  log.info("draining", { connections: context.sessions.size, atMostMs: settings.drainMs });
  return new Promise((resolve) => {
    const finish = () => {
      timer.cancel();
      context.emptied = null;
      for (const session of [...context.sessions]) session.abort();
      for (const pool of [...context.pools]) pool.close();
      context.stop();
      resolve();
    };
    const timer = clock.after(settings.drainMs, finish);
    if (context.sessions.size === 0) finish();
    else context.emptied = finish;
  });
}
