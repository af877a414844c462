// hot
/** The inbound side of HTTP: each request is admitted by the port's policy, and goes to the application. */

import type { CloseReason } from "../host/net.ts";
import { formatAddress } from "../mesh/address.ts";
import { admitsProbe } from "../mesh/authorize.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import type { Labels } from "../telemetry/metric.ts";
import { type FieldLines, fieldLinesOf } from "../wire/http/mod.ts";
import type { PathContext } from "./context.ts";
import type { Application } from "./application.ts";
import type { HttpMetrics, RouteFigures } from "./environment.ts";
import { applicationOf } from "./application.ts";
import type { Exchange } from "./exchange.ts";
import type { Attempt } from "./attempt.ts";
import { unreachableStatus } from "./http-error.ts";
import type { HttpSide, Refusal, SideFacts } from "./http-parts.ts";
import type { InboundClient } from "./inbound-client.ts";
import { addAddedRetries, isRetry } from "./mesh-headers.ts";
import { inboundRouteLabels } from "./labels.ts";
import { RouteFiguresOf } from "./route-figures.ts";

const DENIED: Refusal = {
  status: 403,
  kind: "unauthorized",
  message: "unauthorized request on this port",
};
/** What no route object configures. */
const DEFAULT_ROUTE = { route_group: "", route_kind: "default", route_name: "default" };
const PROBE = { authz_group: "", authz_kind: "default", authz_name: "probe" };

/** The requests of one client connection. */
export class InboundHttp implements HttpSide {
  readonly direction = "inbound";
  readonly added: FieldLines | null;
  readonly fromMesh: boolean;
  readonly explains: boolean;
  readonly #context: PathContext;
  readonly #client: InboundClient;
  readonly #unsubscribe: () => void;
  /** Ends the tunnel that the connection has become. */
  #abortTunnel: (() => void) | null = null;
  /** What the two below were made for. */
  #labels: Labels | null = null;
  #metrics: HttpMetrics | null = null;
  #probeLabels: Labels | null = null;
  readonly #figures: RouteFiguresOf<ServerPolicy>;
  #application: Application | null = null;

  constructor(context: PathContext, client: InboundClient) {
    this.#context = context;
    this.#client = client;
    const { metrics } = context.env;
    this.#figures = new RouteFiguresOf(
      metrics,
      "inbound_http",
      "inbound_grpc",
      (policy) => inboundRouteLabels(policy, client.target), // cold: once per connection
    );
    const id = client.tls.peerId;
    this.added = id === null ? null : fieldLinesOf([["l5d-client-id", id]]);
    this.fromMesh = id !== null;
    this.explains = id !== null;
    this.#unsubscribe = client.cell.subscribe(() => this.#policyChanged());
  }

  routeOf(): null {
    return null;
  }

  /** Peers are told of the retries that their requests have had from here on. */
  addedToResponse(): FieldLines | null {
    const { addedRetries, addedFields } = this.#context;
    if (!this.fromMesh || addedRetries.isNone) return null;
    const share = addedRetries.share(this.#context.nowMs());
    if (share === 0) return null;
    addedFields.resetFields();
    addAddedRetries(share, addedFields);
    return addedFields;
  }

  figures(isGrpc: boolean): RouteFigures {
    return this.#figures.of(this.#client.cell.current, isGrpc);
  }

  describe(): SideFacts {
    const { remote, tls, target } = this.#client;
    return {
      client: formatAddress(remote),
      clientId: tls.peerId ?? "",
      target: formatAddress(target),
    };
  }

  admit(exchange: Exchange): Refusal | null {
    if (this.fromMesh) {
      const { inheritedRetries } = this.#context;
      inheritedRetries.asked(isRetry(exchange.head), exchange.beganAtMs);
    }
    const { metrics } = this.#context.env;
    const client = this.#client;
    const labels = client.policyLabels();
    if (client.admittedBy() !== null) {
      metrics.authorized("http", true, labels);
      return null;
    }
    if (this.#isProbe(exchange)) {
      this.#probeLabels ??= { ...labels, ...PROBE }; // cold: once per connection
      metrics.authorized("http", true, this.#probeLabels);
      return null;
    }
    metrics.authorized("http", false, labels);
    metrics.failed("inbound", "http", "unauthorized");
    this.#context.env.log.info("denied a request", client.describe());
    return DENIED;
  }

  dispatch(attempt: Attempt): void {
    const application = this.#application ??= applicationOf(this.#context, this.#client);
    const { head } = attempt;
    const isHttp2 = head.http2 && head.originalVersion < 0 && !head.wantsConnection();
    attempt.assign(isHttp2 ? application.http2 : application.http1, this.#httpMetrics());
  }

  picked(): void {}

  unreachable(_attempt: Attempt, reason: CloseReason): Refusal {
    const { env } = this.#context;
    const target = formatAddress(this.#client.target);
    env.metrics.failed("inbound", "http", "i/o");
    env.log.debug("cannot connect to the application", { target, reason });
    const message = `cannot connect to the application: ${reason}`;
    return { status: unreachableStatus(reason), kind: "i/o", message, unsent: true };
  }

  avoid(): boolean {
    return false;
  }

  answered(): void {}

  judged(): void {}

  settled(): void {}

  tunneled(abort: (() => void) | null): void {
    this.#abortTunnel = abort;
  }

  closed(): void {
    this.#unsubscribe();
  }

  #isProbe({ head }: Exchange): boolean {
    const policy = this.#client.cell.current;
    if (policy.probes.length === 0) return false;
    return admitsProbe(policy, this.#client.facts, head.methodText(), head.targetText());
  }

  #httpMetrics(): HttpMetrics {
    const labels = this.#client.policyLabels();
    if (this.#metrics !== null && this.#labels === labels) return this.#metrics;
    this.#labels = labels;
    this.#metrics = this.#context.env.metrics.http({ ...labels, ...DEFAULT_ROUTE }); // cold: once
    return this.#metrics;
  }

  /** Requests are asked for one by one; a tunnel has no next request. */
  #policyChanged(): void {
    const abort = this.#abortTunnel;
    if (abort === null || this.#client.admittedBy() !== null) return;
    const { env } = this.#context;
    env.log.info("ended a tunnel that the policy admits no more", this.#client.describe());
    env.metrics.authorized("http", false, this.#client.policyLabels());
    abort();
  }
}
