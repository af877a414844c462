// hot
/** The inbound side of HTTP: each request is admitted by the port's policy, and goes to the application. */

import { asciiBytes, equalsBytes } from "../base/bytes.ts";
import type { CloseReason } from "../host/net.ts";
import { isFailure } from "../mesh/failure.ts";
import { formatAddress } from "../mesh/address.ts";
import { admitsProbe } from "../mesh/authorize.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import type { Labels } from "../telemetry/metric.ts";
import {
  type FieldLines,
  fieldLinesOf,
  Method,
  RANGES_PER_HEADER,
  type RequestHead,
  type ResponseHead,
} from "../wire/http/mod.ts";
import type { PathContext } from "./context.ts";
import type { Application } from "./application.ts";
import type { HttpMetrics, RouteFigures } from "./environment.ts";
import { applicationOf } from "./application.ts";
import type { Exchange } from "./exchange.ts";
import { grpcStatusOf } from "./grpc.ts";
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
const SWITCHING_PROTOCOLS = 101;
/** What no route object configures. */
const DEFAULT_ROUTE = { route_group: "", route_kind: "default", route_name: "default" };
const PROBE_ROUTE = { route_group: "", route_kind: "default", route_name: "probe" };
const PROBE = { authz_group: "", authz_kind: "default", authz_name: "probe" };

const USER_AGENT = asciiBytes("user-agent");
/** What the kubelet begins its `User-Agent` with. */
const KUBE_PROBE = asciiBytes("kube-probe/");

/** The requests of one client connection. */
export class InboundHttp implements HttpSide {
  readonly direction = "inbound";
  readonly added: FieldLines | null;
  readonly fromMesh: boolean;
  readonly explains: boolean;
  readonly caller: string;
  readonly #context: PathContext;
  readonly #client: InboundClient;
  readonly #unsubscribe: () => void;
  /** Ends the tunnel that the connection has become. */
  #abortTunnel: (() => void) | null = null;
  /** What the four below were made for. */
  #policyLabels: Labels | null = null;
  #labels: Labels = DEFAULT_ROUTE;
  #metrics: HttpMetrics | null = null;
  #probeLabels: Labels | null = null;
  #probeMetrics: HttpMetrics | null = null;
  readonly #figures: RouteFiguresOf<ServerPolicy>;
  #probeFigures: RouteFiguresOf<ServerPolicy> | null = null;
  #application: Application | null = null;

  constructor(context: PathContext, client: InboundClient) {
    this.#context = context;
    this.#client = client;
    this.#figures = this.#figuresOf("default");
    const id = client.tls.peerId;
    this.added = id === null ? null : fieldLinesOf([["l5d-client-id", id]]);
    this.caller = id ?? client.remote.ip;
    this.fromMesh = id !== null;
    this.explains = id !== null && context.env.settings.explains.inbound;
    this.#unsubscribe = client.cell.subscribe(() => this.#policyChanged());
  }

  sideOf(): this {
    return this;
  }

  begin(exchange: Exchange): void {
    exchange.begin();
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

  figures(isGrpc: boolean, _route: null, isProbe: boolean): RouteFigures {
    const figures = isProbe ? this.#probeFigures ??= this.#figuresOf("probe") : this.#figures;
    return figures.of(this.#client.cell.current, isGrpc);
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
    const labels = this.#currentLabels();
    const isAdmitted = client.admittedBy() !== null;
    // Who is admitted anyhow is a probe only if he says so: others may ask for the same path.
    const mayBe = isAdmitted ? this.#isNameless && saysProbe(exchange.head) : true;
    if (mayBe && this.#isProbe(exchange)) {
      exchange.isProbe = true;
      metrics.authorized("http", true, this.#currentProbeLabels());
      return null;
    }
    if (isAdmitted) {
      metrics.authorized("http", true, labels);
      return null;
    }
    metrics.authorized("http", false, labels);
    metrics.failed("inbound", "http", "unauthorized");
    this.#context.env.log.info("denied a request", client.describe());
    return DENIED;
  }

  dispatch(attempt: Attempt): void {
    const { gate } = this.#application ??= applicationOf(this.#context, this.#client);
    // Who asks whether the application lives must not hear that it is busy.
    if (gate.isFull && this.#isNameless && this.#isProbe(attempt.exchange)) this.picked(attempt);
    else if (gate.enter(attempt)) this.picked(attempt);
  }

  picked(attempt: Attempt): void {
    const application = this.#application ??= applicationOf(this.#context, this.#client);
    const { head } = attempt;
    const isHttp2 = head.http2 && head.originalVersion < 0 && !head.wantsConnection();
    attempt.assign(isHttp2 ? application.http2 : application.http1, this.#httpMetrics(attempt));
  }

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

  answered(attempt: Attempt, head: ResponseHead): void {
    const gate = this.#application?.gate;
    if (gate === undefined) return;
    // Failures may be quick, and say nothing of how long good answers take.
    if (gate.limit.learns && !isFailure(head.status, statusOfCall(attempt, head))) {
      const { sentAtMs } = attempt;
      const now = this.#context.nowMs();
      gate.answered(attempt, now - sentAtMs, sentAtMs, now);
    }
    // What becomes a tunnel may last for days.
    if (head.status === SWITCHING_PROTOCOLS) gate.left(attempt);
  }

  judged(): void {}

  settled(attempt: Attempt): void {
    const gate = this.#application?.gate;
    if (gate === undefined) return;
    if (gate.limit.learns && attempt.isUnanswered) {
      const { sentAtMs } = attempt;
      const now = this.#context.nowMs();
      gate.unanswered(attempt, now - sentAtMs, sentAtMs, now);
    }
    gate.left(attempt);
  }

  tunneled(abort: (() => void) | null): void {
    this.#abortTunnel = abort;
  }

  closed(): void {
    this.#unsubscribe();
  }

  /** The node's agent has no identity. */
  get #isNameless(): boolean {
    return this.#client.tls.peerId === null;
  }

  /** Whether the policy lets everybody ask for this. */
  #isProbe({ head }: Exchange): boolean {
    const policy = this.#client.cell.current;
    if (policy.probes.length === 0) return false;
    return admitsProbe(policy, this.#client.facts, head.methodText(), head.targetText());
  }

  /** The same object while the policy stays; what was made from another one is forgotten. */
  #currentLabels(): Labels {
    const labels = this.#client.policyLabels();
    if (this.#policyLabels === labels) return this.#labels;
    this.#policyLabels = labels;
    this.#labels = Object.assign({}, labels, DEFAULT_ROUTE);
    this.#metrics = null;
    this.#probeLabels = null;
    this.#probeMetrics = null;
    return this.#labels;
  }

  /** Those of probes, likewise. */
  #currentProbeLabels(): Labels {
    const labels = this.#currentLabels();
    return this.#probeLabels ??= Object.assign({}, labels, PROBE, PROBE_ROUTE);
  }

  #httpMetrics({ exchange }: Attempt): HttpMetrics {
    const labels = this.#currentLabels();
    const { metrics } = this.#context.env;
    if (exchange.isProbe) return this.#probeMetrics ??= metrics.http(this.#currentProbeLabels());
    return this.#metrics ??= metrics.http(labels);
  }

  #figuresOf(route: "default" | "probe"): RouteFiguresOf<ServerPolicy> {
    return new RouteFiguresOf(
      this.#context.env.metrics,
      "inbound_http",
      "inbound_grpc",
      (policy) => inboundRouteLabels(policy, this.#client.target, route), // cold: once
    );
  }

  /** Requests are asked for one by one; a tunnel has no next request. */
  #policyChanged(): void {
    const abort = this.#abortTunnel;
    if (abort === null || this.#client.admittedBy() !== null) return;
    const { env } = this.#context;
    env.log.info("ended a tunnel that the policy admits no more", this.#client.describe());
    env.metrics.counted("inbound_tcp_authz_terminate_total", this.#client.policyLabels());
    abort();
  }
}

/** −1 for what is no call, or has no status yet. */
function statusOfCall({ exchange }: Attempt, head: ResponseHead): number {
  return exchange.grpc ? grpcStatusOf(head) : -1;
}

/** Whether the client says that it is the node's agent: enough for a label, never for admission. */
function saysProbe(head: RequestHead): boolean {
  if (head.method !== Method.GET) return false;
  const i = head.find(USER_AGENT);
  if (i < 0) return false;
  const start = head.ranges[i * RANGES_PER_HEADER + 2]!;
  return head.ranges[i * RANGES_PER_HEADER + 3]! - start > KUBE_PROBE.length &&
    equalsBytes(head.bytes, start, start + KUBE_PROBE.length, KUBE_PROBE);
}
