// hot
/** The inbound side of HTTP: each request is admitted by the port's policy, and goes to the application. */

import { asciiBytes } from "../base/bytes.ts";
import type { CloseReason } from "../host/net.ts";
import { formatAddress } from "../mesh/address.ts";
import { admitsProbe } from "../mesh/authorize.ts";
import type { Labels } from "../telemetry/metric.ts";
import { NO_LINES } from "../wire/http1/mod.ts";
import type { PathContext } from "./context.ts";
import type { Downstream } from "./downstream.ts";
import type { HttpMetrics } from "./environment.ts";
import { plainHop } from "./hop.ts";
import { unreachableStatus } from "./http-error.ts";
import type { HttpSide, Refusal } from "./http-side.ts";
import type { InboundClient } from "./inbound-client.ts";
import { applicationTransport } from "./inbound-opaque.ts";
import { HttpPool } from "./pool.ts";

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
  readonly requestLines: Uint8Array;
  readonly explains: boolean;
  readonly #context: PathContext;
  readonly #client: InboundClient;
  readonly #unsubscribe: () => void;
  #downstream: Downstream | null = null;
  /** What the two below were made for. */
  #labels: Labels | null = null;
  #metrics: HttpMetrics | null = null;
  #probeLabels: Labels | null = null;
  #pool: HttpPool | null = null;

  constructor(context: PathContext, client: InboundClient) {
    this.#context = context;
    this.#client = client;
    const id = client.tls.peerId;
    this.requestLines = id === null ? NO_LINES : asciiBytes(`l5d-client-id: ${id}\r\n`);
    this.explains = id !== null;
    this.#unsubscribe = client.cell.subscribe(() => this.#policyChanged());
  }

  admit(request: Downstream): Refusal | null {
    this.#downstream = request;
    const { metrics } = this.#context.env;
    const client = this.#client;
    const labels = client.policyLabels();
    if (client.admittedBy() !== null) {
      metrics.authorized("http", true, labels);
      return null;
    }
    if (this.#isProbe(request)) {
      this.#probeLabels ??= { ...labels, ...PROBE }; // cold: once per connection
      metrics.authorized("http", true, this.#probeLabels);
      return null;
    }
    metrics.authorized("http", false, labels);
    metrics.failed("inbound", "http", "unauthorized");
    this.#context.env.log.info("denied a request", client.describe());
    return DENIED;
  }

  dispatch(request: Downstream, fresh: boolean): void {
    this.#pool ??= this.#findPool();
    request.assign(this.#pool, this.#httpMetrics(), fresh);
  }

  unreachable(reason: CloseReason): Refusal {
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

  settled(): void {}

  closed(): void {
    this.#unsubscribe();
  }

  #isProbe(request: Downstream): boolean {
    const policy = this.#client.cell.current;
    if (policy.probePaths.length === 0) return false;
    const { head, request: { headBytes } } = request;
    const method = head.methodText(headBytes);
    return admitsProbe(policy, this.#client.facts, method, head.targetText(headBytes));
  }

  #httpMetrics(): HttpMetrics {
    const labels = this.#client.policyLabels();
    if (this.#metrics !== null && this.#labels === labels) return this.#metrics;
    this.#labels = labels;
    this.#metrics = this.#context.env.metrics.http({ ...labels, ...DEFAULT_ROUTE }); // cold: once
    return this.#metrics;
  }

  /** One pool for the application's port, whoever the clients are. */
  #findPool(): HttpPool {
    const { applications, env } = this.#context;
    const key = formatAddress(this.#client.target);
    let pool = applications.get(key);
    if (pool === undefined) {
      const hop = plainHop(this.#client.target, {
        timeoutMs: env.settings.inboundConnectTimeoutMs,
        mark: env.settings.socketMark,
        metrics: applicationTransport(this.#context, this.#client),
      });
      pool = new HttpPool(this.#context, hop, false);
      pool.emptied = () => void applications.delete(key); // cold: once per pool
      applications.set(key, pool);
    }
    return pool;
  }

  /** Requests are asked for one by one; a tunnel has no next request. */
  #policyChanged(): void {
    const downstream = this.#downstream;
    if (downstream === null || !downstream.tunneling) return;
    if (this.#client.admittedBy() !== null) return;
    const { env } = this.#context;
    env.log.info("ended a tunnel that the policy admits no more", this.#client.describe());
    env.metrics.authorized("http", false, this.#client.policyLabels());
    downstream.abort();
  }
}
