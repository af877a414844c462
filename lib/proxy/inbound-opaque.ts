/** The one hop of an opaque inbound connection: the application, as long as the policy admits. */

import { formatAddress } from "../mesh/address.ts";
import type { CloseReason } from "../host/net.ts";
import type { PathContext } from "./context.ts";
import type { TransportMetrics } from "./environment.ts";
import { plainHop } from "./hop.ts";
import type { InboundClient } from "./inbound-client.ts";
import { targetLabels } from "./labels.ts";
import type { HopSource, OpaqueRelay } from "./opaque.ts";

/** Leads to the application; ends the connection when the policy stops admitting it. */
export class InboundHop implements HopSource {
  readonly #context: PathContext;
  readonly #client: InboundClient;
  #unsubscribe: (() => void) | null = null;
  #tried = false;

  constructor(context: PathContext, client: InboundClient) {
    this.#context = context;
    this.#client = client;
  }

  choose(relay: OpaqueRelay): void {
    const { env } = this.#context;
    const { target, cell } = this.#client;
    if (this.#tried) {
      relay.fail();
      return;
    }
    this.#tried = true;
    this.#unsubscribe = cell.subscribe(() => {
      if (this.#client.admittedBy() !== null) return;
      env.log.info("ended a connection that the policy admits no more", this.#client.describe());
      env.metrics.counted("inbound_tcp_authz_terminate_total", this.#client.policyLabels());
      relay.abort();
    });
    relay.reach(plainHop(target, {
      timeoutMs: env.settings.inboundConnectTimeoutMs,
      mark: env.settings.socketMark,
      metrics: applicationTransport(this.#context, this.#client),
    }));
  }

  connected(): void {}

  failed(reason: CloseReason): void {
    const { env } = this.#context;
    env.metrics.failed("inbound", "tcp", "i/o");
    const target = formatAddress(this.#client.target);
    env.log.debug("cannot connect to the application", { target, reason });
  }

  closed(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
  }
}

/** Counts of connections to the application. */
export function applicationTransport(
  context: PathContext,
  client: InboundClient,
): TransportMetrics {
  return context.env.metrics.transport({
    direction: "inbound",
    peer: "dst",
    ...targetLabels(client.target),
    tls: "no_identity",
    no_tls_reason: "loopback",
  });
}
