// hot
/** Which responses a route's policy asks for again, and when. Pure. */

import type { RetryPolicy } from "../mesh/reliability.ts";

/** Whether a response with this HTTP status is asked for again. */
export function retriesStatus(policy: RetryPolicy, status: number): boolean {
  const { statuses } = policy;
  for (let i = 0; i < statuses.length; i++) {
    const [from, to] = statuses[i]!;
    if (status >= from && status <= to) return true;
  }
  return false;
}

/** Whether a call that ended with this gRPC status is asked for again. */
export function retriesGrpcStatus(policy: RetryPolicy, status: number): boolean {
  return policy.grpcStatuses.includes(status);
}
