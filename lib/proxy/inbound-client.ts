/**
 * A client of this pod, as far as it is known, and what the policy of the port says to it. The answer
 * is kept while the policy is the same object.
 */

import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import { authorize, type ClientFacts } from "../mesh/authorize.ts";
import type { Authorization, ServerPolicy } from "../mesh/policy.ts";
import type { Labels } from "../telemetry/metric.ts";
import type { PathContext } from "./context.ts";
import type { ServerPolicyCell } from "./environment.ts";
import {
  authorizationLabels,
  clientTlsLabels,
  serverLabels,
  targetLabels,
  type TlsState,
} from "./labels.ts";

/** One client connection and the port that it wants. */
export class InboundClient {
  readonly facts: ClientFacts;
  readonly remote: SocketAddress;
  readonly tls: TlsState;
  /** The application's address: the pod's own, and the port. */
  readonly target: SocketAddress;
  readonly cell: ServerPolicyCell;
  /** Direction, target and TLS. */
  readonly labels: Labels;
  #policy: ServerPolicy | null = null;
  #admittedBy: Authorization | null = null;
  #policyLabels: Labels = {};

  constructor(
    context: PathContext,
    remote: SocketAddress,
    tls: TlsState,
    target: SocketAddress,
  ) {
    this.facts = { ip: remote.ip, tls: tls.terminated, identity: tls.peerId };
    this.remote = remote;
    this.tls = tls;
    this.target = target;
    this.cell = context.env.serverPolicies.port(target.port);
    this.labels = { direction: "inbound", ...targetLabels(target), ...clientTlsLabels(tls) };
  }

  /** What admits the client now; null when nothing does. */
  admittedBy(): Authorization | null {
    this.#refresh();
    return this.#admittedBy;
  }

  /** Labels of the policy and of what admits the client; the same object while both stay. */
  policyLabels(): Labels {
    this.#refresh();
    return this.#policyLabels;
  }

  /** For log lines. */
  describe(): Record<string, unknown> {
    const { remote, target, tls } = this;
    return { client: formatAddress(remote), id: tls.peerId ?? "", target: formatAddress(target) };
  }

  #refresh(): void {
    const policy = this.cell.current;
    if (policy === this.#policy) return;
    this.#policy = policy;
    this.#admittedBy = authorize(policy, this.facts);
    this.#policyLabels = {
      ...this.labels,
      ...serverLabels(policy, this.target.port),
      ...(this.#admittedBy === null ? {} : authorizationLabels(this.#admittedBy)),
    };
  }
}
