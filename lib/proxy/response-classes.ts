// hot
/** Which responses of a route are failures, as a table of statuses made once. */

import { GRPC_FAILURES, isFailure } from "../mesh/failure.ts";
import { matchesStatus, type ResponseClass } from "../mesh/service-profile.ts";

const STATUS_MIN = 100;
const STATUS_END = 600;
const OK = 200;

const UNDECIDED = 0;
const GOOD = 1;
const BAD = 2;

/** The classes of one route. */
export class ResponseClasses {
  readonly #byStatus = new Uint8Array(STATUS_END);

  constructor(classes: readonly ResponseClass[]) {
    for (let status = STATUS_MIN; status < STATUS_END; status++) {
      const decides = classes.find(({ match }) => matchesStatus(match, status)); // cold: once
      if (decides !== undefined) this.#byStatus[status] = decides.isFailure ? BAD : GOOD;
    }
  }

  /** As `isFailure` of all responses; what no class decides is decided by that. */
  isFailure(status: number, grpcStatus: number): boolean {
    const decided = status < STATUS_END ? this.#byStatus[status]! : UNDECIDED;
    return decided === UNDECIDED ? isFailure(status, grpcStatus) : decided === BAD;
  }

  /** The statuses of failures, as ranges. */
  failures(): readonly (readonly [from: number, to: number])[] {
    const ranges: [number, number][] = [];
    for (let status = STATUS_MIN; status < STATUS_END; status++) {
      if (!this.isFailure(status, -1)) continue;
      const last = ranges.at(-1);
      if (last?.[1] === status - 1) last[1] = status;
      else ranges.push([status, status]);
    }
    return ranges;
  }

  /** The gRPC statuses of failures: none where the status that all calls have is decided by a class. */
  grpcFailures(): readonly number[] {
    return this.#byStatus[OK] === UNDECIDED ? [...GRPC_FAILURES] : [];
  }
}
