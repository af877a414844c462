/**
 * The way out of the laptop mesh, inner half: takes the connections that the gateway's rules redirect
 * here, asks the kernel where each was going, and hands it to the outer process, which connects in the
 * machine's network. TCP only: of UDP the mesh lets nothing out but DNS, which it answers itself.
 */

import type { Clock } from "../host/clock.ts";
import type { Conn, ConnHandler, Listener, Net } from "../host/net.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Logger } from "../telemetry/logger.ts";
import { handOver } from "./relay-client.ts";
import { Leg } from "./relay-leg.ts";

/** What the inner half needs. */
export interface EgressOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Logger;
  /** Addresses of the gateway on which redirected connections arrive; one for each IP version. */
  readonly listen: readonly SocketAddress[];
  /** The unix socket on which the outer process answers. */
  readonly relayPath: string;
}

/** Starts taking connections; returns how to stop. Throws `unavailable` when a port is taken. */
export function serveEgress(options: EgressOptions): () => void {
  const { net, clock, log, relayPath } = options;
  const own = new Set(options.listen.map(formatAddress));
  const handler: ConnHandler<Leg> = {
    open(conn: Conn<Leg>) {
      const address = conn.originalDestination();
      // Whoever connects straight to this port wants nothing that we could know.
      if (address === null || own.has(formatAddress(address))) return conn.destroy(true);
      // A closed connection knows no peer any more.
      const from = formatAddress(conn.remote);
      handOver(conn, relayPath, { kind: "tcp", address }, clock, (status) => {
        // A client that went away by itself is nobody's concern.
        if (status === "bad") return;
        log.debug("connection out of the mesh failed", {
          to: formatAddress(address),
          from,
          status,
        });
      });
    },
    secure() {},
    data() {},
    drain() {},
    end() {},
    close() {},
  };
  const listeners: Listener[] = [];
  const stop = (): void => listeners.forEach((listener) => listener.stop());
  try {
    for (const address of options.listen) {
      listeners.push(net.listen(address, handler, () => new Leg()));
    }
  } catch (cause) {
    stop();
    throw cause;
  }
  return stop;
}
