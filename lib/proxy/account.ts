// hot
/** How the tries of one exchange went, for the counters of the endpoints that they went to. */

import type { HttpMetrics } from "./environment.ts";
import { GRPC_UNKNOWN, isGrpcFailure } from "./grpc.ts";

const SERVER_ERROR = 500;

/** Of one exchange. */
export class Account {
  /** The request is a gRPC call. */
  readonly isGrpc: boolean;
  /** Of the response to the try of now; 0 without one. */
  status = 0;
  /** The same; −1 without one. */
  grpcStatus = -1;
  readonly #beganAtMs: number;
  #metrics: HttpMetrics | null = null;

  constructor(isGrpc: boolean, nowMs: number) {
    this.isGrpc = isGrpc;
    this.#beganAtMs = nowMs;
  }

  /** A try begins. */
  begin(metrics: HttpMetrics): void {
    this.status = 0;
    this.grpcStatus = -1;
    this.#metrics = metrics;
    metrics.request();
  }

  /** Counts its end; whether it was good, null when no try is under way. */
  end(error: string, nowMs: number): boolean | null {
    const metrics = this.#metrics;
    if (metrics === null) return null;
    this.#metrics = null;
    // A gRPC response without a status is one that failed (the reference counts it as unknown).
    const isMissing = this.isGrpc && error === "" && this.grpcStatus < 0;
    const grpcStatus = isMissing ? GRPC_UNKNOWN : this.grpcStatus;
    const failed = error !== "" || this.status >= SERVER_ERROR || isGrpcFailure(grpcStatus);
    metrics.response(this.status, !failed, nowMs - this.#beganAtMs, error, grpcStatus);
    return !failed;
  }
}
