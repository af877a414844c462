/**
 * What a Service's annotations say of retries, timeouts and failure accrual. An annotation with a wrong
 * value is left out and named; the others hold.
 */

import { DURATION_EXPECTED, parseDuration } from "../base/duration.ts";
import { RETRIES_MAX } from "../base/limits.ts";
import type {
  FailureAccrual,
  HedgePolicy,
  LoadPenalty,
  RetryPolicy,
  RouteTimeouts,
} from "../mesh/reliability.ts";
import type { StringMap } from "../source/objects.ts";

/** What the annotations ask for; what they do not mention is absent. */
export interface ServiceReliability {
  readonly retry?: RetryPolicy;
  readonly hedge?: HedgePolicy;
  readonly timeouts?: RouteTimeouts;
  readonly accrual?: FailureAccrual;
  readonly penalty?: LoadPenalty;
  /** What is wrong with annotations that were left out, each in a sentence. */
  readonly problems: readonly string[];
}

/** The contract's back-off between tries. */
const RETRY_BACKOFF = { minMs: 25, maxMs: 250, jitter: 1 };
/** The contract's bound for bodies of requests that are sent again. */
const RETRY_REQUEST_BYTES_MAX = 65_536;
const RETRIES_USUAL = 1;

const RETRY = "retry.linkerd.io/";
/** Malla's own, beside the contract's. */
const HEDGE_AFTER = "retry.malla.dev/hedge-after";
const TIMEOUT = "timeout.linkerd.io/";
const BALANCER = "balancer.linkerd.io/";
const BALANCER_ALPHA = "balancer.alpha.linkerd.io/";
const ACCRUAL = `${BALANCER}failure-accrual`;

const GRPC_STATUSES: Readonly<Record<string, number>> = {
  cancelled: 1,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  internal: 13,
  unavailable: 14,
};

/** Reads the annotations of a Service. */
export function serviceReliability(annotations: StringMap): ServiceReliability {
  const reader = new Reader(annotations);
  const retry = retryOf(reader);
  const hedge = hedgeOf(reader);
  const timeouts = timeoutsOf(reader);
  const accrual = accrualOf(reader);
  const penalty = penaltyOf(reader);
  return {
    ...(retry === undefined ? {} : { retry }),
    ...(hedge === undefined ? {} : { hedge }),
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(accrual === undefined ? {} : { accrual }),
    ...(penalty === undefined ? {} : { penalty }),
    problems: reader.problems,
  };
}

/** Reads values and collects what is wrong with them. */
class Reader {
  readonly problems: string[] = [];
  readonly #annotations: StringMap;

  constructor(annotations: StringMap) {
    this.#annotations = annotations;
  }

  /** The value of an annotation; undefined when it is absent or wrong. */
  read<T>(name: string, expected: string, parse: (text: string) => T | undefined): T | undefined {
    const text = this.#annotations[name];
    if (text === undefined) return undefined;
    const value = parse(text.trim());
    if (value === undefined) {
      this.problems.push(`Annotation ${name} is "${text}": expected ${expected}`);
    }
    return value;
  }

  duration(name: string): number | undefined {
    return this.read(name, `${DURATION_EXPECTED}, above 0`, (text) => {
      try {
        return parseDuration(text) || undefined;
      } catch {
        // Named with what was expected.
        return undefined;
      }
    });
  }

  integer(name: string, least: number, most: number): number | undefined {
    return this.read(name, `a whole number from ${least} to ${most}`, (text) => {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    });
  }

  ratio(name: string, most: number): number | undefined {
    return this.read(name, `a number from 0 to ${most}`, (text) => {
      const value = /^\d{1,9}(\.\d+)?$/.test(text) ? Number(text) : NaN;
      return value <= most ? value : undefined;
    });
  }

  flag(name: string): boolean {
    const words: Readonly<Record<string, boolean>> = { true: true, false: false };
    return this.read(name, "true or false", (text) => words[text]) ?? false;
  }
}

function retryOf(reader: Reader): RetryPolicy | undefined {
  const statuses = reader.read(
    `${RETRY}http`,
    "5xx, gateway-error, statuses or ranges such as 503 or 500-504, with commas between",
    statusRanges,
  );
  const grpcStatuses = reader.read(
    `${RETRY}grpc`,
    `${Object.keys(GRPC_STATUSES).join(", ")}, with commas between`,
    grpcStatusList,
  );
  const retriesMax = reader.integer(`${RETRY}limit`, 0, RETRIES_MAX);
  const tryTimeoutMs = reader.duration(`${RETRY}timeout`);
  if (statuses === undefined && grpcStatuses === undefined) return undefined;
  return {
    statuses: statuses ?? [],
    grpcStatuses: grpcStatuses ?? [],
    retriesMax: retriesMax ?? RETRIES_USUAL,
    requestBytesMax: RETRY_REQUEST_BYTES_MAX,
    tryTimeoutMs: tryTimeoutMs ?? 0,
    backoff: RETRY_BACKOFF,
  };
}

function hedgeOf(reader: Reader): HedgePolicy | undefined {
  const expected = `${DURATION_EXPECTED}, above 0, or a percentile of latency from p50 to p99.9`;
  return reader.read(HEDGE_AFTER, expected, (text) => {
    const requestBytesMax = RETRY_REQUEST_BYTES_MAX;
    const [, percent] = /^p(\d\d(?:\.\d)?)$/.exec(text) ?? [];
    if (percent !== undefined) {
      const quantile = Number(percent) / 100;
      return quantile >= 0.5 ? { delayMs: 0, quantile, requestBytesMax } : undefined;
    }
    try {
      const delayMs = parseDuration(text);
      return delayMs > 0 ? { delayMs, quantile: 0, requestBytesMax } : undefined;
    } catch {
      // Named with what was expected.
      return undefined;
    }
  });
}

function statusRanges(text: string): (readonly [number, number])[] | undefined {
  const ranges: (readonly [number, number])[] = [];
  for (const word of text.split(",").map((part) => part.trim())) {
    const [, from, to = from] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(word) ?? [];
    if (word === "5xx") ranges.push([500, 599]);
    else if (word === "gateway-error") ranges.push([502, 504]);
    else if (from === undefined || Number(from) > Number(to)) return undefined;
    else ranges.push([Number(from), Number(to)]);
  }
  return ranges;
}

function grpcStatusList(text: string): number[] | undefined {
  const codes = text.split(",").map((word) => GRPC_STATUSES[word.trim()]);
  return codes.every((code) => code !== undefined) ? codes : undefined;
}

function timeoutsOf(reader: Reader): RouteTimeouts | undefined {
  const requestMs = reader.duration(`${TIMEOUT}request`) ?? 0;
  const responseMs = reader.duration(`${TIMEOUT}response`) ?? 0;
  const idleMs = reader.duration(`${TIMEOUT}idle`) ?? 0;
  return requestMs + responseMs + idleMs === 0 ? undefined : { requestMs, responseMs, idleMs };
}

function accrualOf(reader: Reader): FailureAccrual | undefined {
  const kinds: Readonly<Record<string, string>> = {
    consecutive: "consecutive",
    unified: "unified",
  };
  const kind = reader.read(ACCRUAL, "consecutive or unified", (text) => kinds[text]);
  const failuresMax = reader.integer(`${ACCRUAL}-consecutive-max-failures`, 0, 1_000_000);
  const minMs = reader.duration(`${ACCRUAL}-consecutive-min-penalty`) ?? 1_000;
  const maxMs = reader.duration(`${ACCRUAL}-consecutive-max-penalty`) ?? 60_000;
  const jitter = reader.ratio(`${ACCRUAL}-consecutive-jitter-ratio`, 100) ?? 0.5;
  const successRate = {
    threshold: reader.ratio(`${BALANCER_ALPHA}failure-accrual-success-rate-threshold`, 1) ?? 0.8,
    windowMs: reader.duration(`${BALANCER_ALPHA}failure-accrual-success-rate-window`) ?? 10_000,
    requestsMin:
      reader.integer(`${BALANCER_ALPHA}failure-accrual-success-rate-min-requests`, 1, 1_000_000) ??
        5,
  };
  if (kind === undefined) return undefined;
  if (minMs > maxMs) {
    reader.problems.push(
      `Annotation ${ACCRUAL}-consecutive-min-penalty is above ${ACCRUAL}-consecutive-max-penalty: ` +
        "expected at most the same; the larger one holds for both",
    );
  }
  return {
    failuresMax: failuresMax ?? 7,
    backoff: { minMs, maxMs: Math.max(minMs, maxMs), jitter },
    endpointsMin: 1,
    ...(kind === "unified" ? { successRate } : {}),
  };
}

function penaltyOf(reader: Reader): LoadPenalty | undefined {
  const honours = reader.flag(`${BALANCER_ALPHA}failure-accrual-honor-retry-after`);
  const penalizes = reader.flag(`${BALANCER_ALPHA}penalize-failures`);
  const penaltyMs = reader.duration(`${BALANCER_ALPHA}load-biaser-penalty`) ?? 5_000;
  const retryAfterMs = reader.duration(`${BALANCER_ALPHA}load-biaser-max-retry-after`) ?? 300_000;
  if (!honours && !penalizes) return undefined;
  return { penaltyMs: penalizes ? penaltyMs : 0, retryAfterMaxMs: honours ? retryAfterMs : 0 };
}
