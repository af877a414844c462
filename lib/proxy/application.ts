/** Inbound: the connections to the application behind one port, whoever the clients are. */

import { formatAddress } from "../mesh/address.ts";
import type { PathContext } from "./context.ts";
import { gateOf } from "./application-gate.ts";
import type { Gate } from "./gate.ts";
import { plainHop } from "./hop.ts";
import type { InboundClient } from "./inbound-client.ts";
import { applicationTransport } from "./inbound-opaque.ts";
import { PoolHttp1 } from "./pool-http1.ts";
import { PoolHttp2 } from "./pool-http2.ts";

/** One address of the application, by protocol. */
export interface Application {
  readonly http1: PoolHttp1;
  readonly http2: PoolHttp2;
  /** Lets requests in. */
  readonly gate: Gate;
}

/** The application that a client wants; forgotten when it has no connection left. */
export function applicationOf(context: PathContext, client: InboundClient): Application {
  const { applications, env } = context;
  const key = formatAddress(client.target);
  const known = applications.get(key);
  if (known !== undefined) return known;
  const hop = plainHop(client.target, {
    timeoutMs: env.settings.inboundConnectTimeoutMs,
    mark: env.settings.socketMark,
    metrics: applicationTransport(context, client),
  });
  const made: Application = {
    http1: new PoolHttp1(context, hop, false),
    http2: new PoolHttp2(context, hop, false),
    gate: gateOf(context, client.target),
  };
  const forget = () => {
    if (!made.http1.isEmpty || !made.http2.isEmpty) return;
    if (applications.get(key) === made) applications.delete(key);
  };
  made.http1.emptied = forget;
  made.http2.emptied = forget;
  applications.set(key, made);
  return made;
}
