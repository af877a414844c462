// hot
/** What counts as a failure of a server's: one rule for balancing, metrics, traces and the dashboard. */

const SERVER_ERROR = 500;

/** gRPC statuses that say that the server has failed, as the reference counts them by default. */
export const GRPC_FAILURES: ReadonlySet<number> = new Set([2, 4, 7, 13, 14, 15]);

/** Whether a response is a failure; `status` 0: none came, `grpcStatus` −1: it is no call's, or has none. */
export function isFailure(status: number, grpcStatus: number): boolean {
  return status >= SERVER_ERROR || GRPC_FAILURES.has(grpcStatus);
}
