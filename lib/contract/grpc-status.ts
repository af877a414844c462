/** gRPC status codes: their numbers, the faults they stand for, and the HTTP statuses beside them. */

import { Fault, type FaultCode } from "../base/fault.ts";

const NUMBER_OF: Readonly<Record<FaultCode, number>> = {
  unknown: 2,
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  resource_exhausted: 8,
  failed_precondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
};

const CODE_OF = new Map<number, FaultCode>([
  ...Object.entries(NUMBER_OF).map(([code, number]) => [number, code as FaultCode] as const),
  // Cancelled, aborted, out of range and data loss are nothing that we tell apart.
  [1, "unavailable"],
  [10, "unavailable"],
]);

/** What HTTP answers where gRPC has a code; only these pairs survive the way there and back. */
const STATUS_OF: readonly (readonly [number, number])[] = [
  [403, 7],
  [404, 5],
  [429, 8],
  [500, 13],
  [503, 14],
  [504, 4],
];

/** The number of a fault's code. */
export function grpcNumber(code: FaultCode): number {
  return NUMBER_OF[code];
}

/** The code and message for anything that was thrown; what is not a fault keeps its text to itself. */
export function grpcStatusOf(thrown: unknown): { number: number; message: string } {
  if (thrown instanceof Fault) return { number: NUMBER_OF[thrown.code], message: thrown.message };
  return { number: NUMBER_OF.internal, message: "internal error" };
}

/** The fault that a peer's status stands for. */
export function faultOfGrpc(number: number, message: string, call: string): Fault {
  const code = CODE_OF.get(number) ?? "unknown";
  const text = message === "" ? `${call} answered with gRPC status ${number}` : message;
  return new Fault(code, text, { source: "upstream" });
}

/** The gRPC code that goes with an HTTP status: the nearest known one, else unknown. */
export function grpcCodeOfStatus(status: number): number {
  return STATUS_OF.find(([known]) => known === status)?.[1] ?? NUMBER_OF.unknown;
}

/** The HTTP status that goes with a gRPC code, else 500. */
export function statusOfGrpcCode(code: number): number {
  return STATUS_OF.find(([, known]) => known === code)?.[0] ?? 500;
}
