/**
 * What a ServiceProfile says, read from its object. A route, a class of responses or a budget with something
 * wrong in it is left out and named; the others hold. A condition that is left out would take other requests
 * than its author meant, so it takes its whole route with it.
 */

import { DURATION_EXPECTED, parseDuration } from "../base/duration.ts";
import { describeError, Fault } from "../base/fault.ts";
import { PROFILE_CONDITIONS_MAX, PROFILE_ROUTES_MAX } from "../base/limits.ts";
import { compilePattern } from "../base/pattern.ts";
import { knownPortRanges, type PortRange } from "../mesh/port-range.ts";
import type { RetryBudget } from "../mesh/reliability.ts";
import type {
  ProfileOverride,
  ProfileRoute,
  RequestMatch,
  ResponseClass,
  ResponseMatch,
} from "../mesh/service-profile.ts";
import type { ServiceProfile } from "../source/objects.ts";
import { isRecord } from "../source/shape.ts";

/** What a profile asks for; what it does not mention is absent. */
export interface ProfileConfiguration {
  readonly routes: readonly ProfileRoute[];
  readonly budget?: RetryBudget;
  readonly opaquePorts: readonly PortRange[];
  readonly overrides: readonly ProfileOverride[];
  /** What is wrong with parts that were left out, each in a sentence. */
  readonly problems: readonly string[];
}

/** What proxies of the contract take as a budget. */
const TTL_MIN_MS = 1_000;
const TTL_MAX_MS = 60_000;
const RATIO_MAX = 1_000;
const PER_SECOND_MAX = 1_000_000;

/** Weights on the wire: 10,000 for what somebody writes as 1. */
const WEIGHT_UNIT = 10_000;

const STATUS_MIN = 100;
const STATUS_MAX = 599;

type Fields = Readonly<Record<string, unknown>>;

/** Reads a profile. */
export function profileConfiguration({ spec }: ServiceProfile): ProfileConfiguration {
  const problems: string[] = [];
  /** Reads a part at a place; undefined when it is wrong. */
  const read = <T>(place: string, value: unknown, parse: (fields: Fields, at: string) => T) => {
    try {
      return parse(record(value, place), place);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      problems.push(`${describeError(thrown)}: it is left out`);
      return undefined;
    }
  };
  const classesOf = (route: Fields, at: string) =>
    listed(route["responseClasses"], `${at}.responseClasses`).flatMap((value, index) =>
      read(`${at}.responseClasses[${index}]`, value, responseClass) ?? []
    );
  const routes = spec.routes.slice(0, PROFILE_ROUTES_MAX).flatMap((value, index) =>
    read(`spec.routes[${index}]`, value, (fields, at) => route(fields, at, classesOf, problems)) ??
      []
  );
  if (spec.routes.length > PROFILE_ROUTES_MAX) {
    problems.push(
      `spec.routes has ${spec.routes.length} entries: those behind the first ` +
        `${PROFILE_ROUTES_MAX} are left out`,
    );
  }
  const budget = spec.retryBudget === undefined || spec.retryBudget === null
    ? undefined
    : read("spec.retryBudget", spec.retryBudget, (fields, at) => retryBudget(fields, at, problems));
  const overrides = spec.dstOverrides.flatMap((value, index) =>
    read(`spec.dstOverrides[${index}]`, value, override) ?? []
  ).filter(({ weight }) => weight > 0);
  const ports = spec.opaquePorts.map((text, index) => portsOf(text, index, problems));
  return {
    routes,
    ...(budget === undefined ? {} : { budget }),
    opaquePorts: ports.flat(),
    overrides,
    problems,
  };
}

function route(
  fields: Fields,
  at: string,
  classesOf: (route: Fields, at: string) => readonly ResponseClass[],
  problems: string[],
): ProfileRoute {
  const name = fields["name"];
  if (typeof name !== "string" || name === "") throw wrong(`${at}.name`, "a name", name);
  const place = `${at} ("${name}")`;
  const match = requestMatch(record(fields["condition"], `${place}.condition`), {
    at: `${place}.condition`,
    left: { conditions: PROFILE_CONDITIONS_MAX },
  });
  return {
    labels: { route: name },
    match,
    isRetryable: flag(fields["isRetryable"], `${place}.isRetryable`, problems),
    timeoutMs: timeoutOf(fields["timeout"], `${place}.timeout`, problems),
    classes: classesOf(fields, place),
  };
}

/** A timeout that cannot be kept is none: the route's other wishes hold. */
function timeoutOf(value: unknown, at: string, problems: string[]): number {
  if (value === undefined || value === null || value === "") return 0;
  const ms = durationOf(value);
  if (ms > 0) return ms;
  problems.push(`${describe(at, `${DURATION_EXPECTED}, above 0`, value)}: it is left out`);
  return 0;
}

function flag(value: unknown, at: string, problems: string[]): boolean {
  if (value === undefined || value === null || typeof value === "boolean") return value === true;
  problems.push(`${describe(at, "true or false", value)}: it is left out`);
  return false;
}

/** Where a condition stands, and how many more there may be. */
interface Place {
  readonly at: string;
  readonly left: { conditions: number };
}

/** Several fields of one condition must all be met. */
function requestMatch(fields: Fields, place: Place): RequestMatch {
  const { at } = place;
  const parts: RequestMatch[] = several(fields, place, requestMatch);
  const { method, pathRegex } = fields;
  if (method !== undefined && method !== "") {
    if (typeof method !== "string" || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(method)) {
      throw wrong(`${at}.method`, "a method such as GET", method);
    }
    parts.push({ kind: "method", method: method.toUpperCase() });
  }
  if (pathRegex !== undefined && pathRegex !== "") {
    if (typeof pathRegex !== "string") throw wrong(`${at}.pathRegex`, "a pattern", pathRegex);
    try {
      compilePattern(pathRegex);
    } catch (cause) {
      throw new Fault("invalid_argument", `${at}.pathRegex: ${describeError(cause)}`);
    }
    parts.push({ kind: "path", pattern: pathRegex.trim() });
  }
  return together(parts, at, "method, pathRegex, all, any or not");
}

function responseClass(fields: Fields, at: string): ResponseClass {
  const isFailure = fields["isFailure"] ?? false;
  if (typeof isFailure !== "boolean") throw wrong(`${at}.isFailure`, "true or false", isFailure);
  const place = { at: `${at}.condition`, left: { conditions: PROFILE_CONDITIONS_MAX } };
  return { match: responseMatch(record(fields["condition"], place.at), place), isFailure };
}

function responseMatch(fields: Fields, place: Place): ResponseMatch {
  const { at } = place;
  const parts: ResponseMatch[] = several(fields, place, responseMatch);
  if (fields["status"] !== undefined && fields["status"] !== null) {
    const { min, max } = record(fields["status"], `${at}.status`);
    const from = min ?? max;
    const to = max ?? min;
    for (const status of [from, to]) {
      const fits = typeof status === "number" && Number.isInteger(status) &&
        status >= STATUS_MIN && status <= STATUS_MAX;
      if (!fits) {
        throw wrong(`${at}.status`, `statuses from ${STATUS_MIN} to ${STATUS_MAX}`, status);
      }
    }
    if (Number(from) > Number(to)) throw wrong(`${at}.status.max`, "at least min", to);
    parts.push({ kind: "status", from: Number(from), to: Number(to) });
  }
  return together(parts, at, "status, all, any or not");
}

/** A condition of other conditions. */
type Composed<M> =
  | { readonly kind: "all" | "any"; readonly of: readonly M[] }
  | { readonly kind: "not"; readonly of: M };

/** What `all`, `any` and `not` say. */
function several<M>(
  fields: Fields,
  { at, left }: Place,
  parse: (fields: Fields, place: Place) => M,
): Composed<M>[] {
  const parts: Composed<M>[] = [];
  const one = (value: unknown, at: string): M => {
    if (left.conditions-- <= 0) {
      throw new Fault(
        "invalid_argument",
        `${at}: expected at most ${PROFILE_CONDITIONS_MAX} conditions`,
      );
    }
    return parse(record(value, at), { at, left });
  };
  for (const kind of ["all", "any"] as const) {
    if (fields[kind] === undefined || fields[kind] === null) continue;
    const values = listed(fields[kind], `${at}.${kind}`);
    if (values.length === 0) throw wrong(`${at}.${kind}`, "at least one condition", values);
    parts.push({ kind, of: values.map((value, index) => one(value, `${at}.${kind}[${index}]`)) });
  }
  if (fields["not"] !== undefined && fields["not"] !== null) {
    parts.push({ kind: "not", of: one(fields["not"], `${at}.not`) });
  }
  return parts;
}

function together<M>(
  parts: readonly M[],
  at: string,
  expected: string,
): M | { readonly kind: "all"; readonly of: readonly M[] } {
  const [only] = parts;
  if (only === undefined) throw new Fault("invalid_argument", `${at}: expected ${expected}`);
  return parts.length === 1 ? only : { kind: "all", of: parts };
}

/** A budget of nothing is kept, since more than was asked for would be worse, and named. */
function retryBudget(fields: Fields, at: string, problems: string[]): RetryBudget {
  const { retryRatio, minRetriesPerSecond, ttl } = fields;
  const ratio = amount(retryRatio, `${at}.retryRatio`, RATIO_MAX);
  const perSecond = amount(minRetriesPerSecond, `${at}.minRetriesPerSecond`, PER_SECOND_MAX);
  if (!Number.isInteger(perSecond)) {
    throw wrong(`${at}.minRetriesPerSecond`, "a whole number", minRetriesPerSecond);
  }
  const ttlMs = durationOf(ttl);
  if (!(ttlMs >= TTL_MIN_MS && ttlMs <= TTL_MAX_MS)) {
    throw wrong(`${at}.ttl`, `${DURATION_EXPECTED}, from 1s to 60s`, ttl);
  }
  if (ratio === 0 && perSecond === 0) {
    const expected = "a retryRatio or minRetriesPerSecond above 0";
    problems.push(`${describe(at, expected, fields)}: nothing is sent again`);
  }
  return { ratio, minPerSecond: perSecond, ttlMs };
}

function override(fields: Fields, at: string): ProfileOverride {
  const { authority, weight } = fields;
  if (typeof authority !== "string" || !/^[a-z0-9.-]+(:\d{1,5})?$/i.test(authority)) {
    throw wrong(`${at}.authority`, "a name such as web-v2.shop.svc.cluster.local:80", authority);
  }
  // As quantities are written: 1, "1" or "500m".
  const [, digits, milli] = /^(\d{1,6}(?:\.\d{1,3})?)(m)?$/.exec(`${weight}`) ?? [];
  if (digits === undefined) throw wrong(`${at}.weight`, "a weight such as 1 or 500m", weight);
  const share = Number(digits) * WEIGHT_UNIT / (milli === undefined ? 1 : 1_000);
  return { authority: authority.toLowerCase(), weight: Math.round(share) };
}

function portsOf(text: string, index: number, problems: string[]): readonly PortRange[] {
  const ranges = knownPortRanges(text, new Map());
  if (ranges.length > 0) return ranges;
  problems.push(
    `${describe(`spec.opaquePorts[${index}]`, 'a port such as "3306"', text)}: it is left out`,
  );
  return [];
}

function amount(value: unknown, at: string, most: number): number {
  if (typeof value === "number" && value >= 0 && value <= most) return value;
  throw wrong(at, `a number from 0 to ${most}`, value);
}

/** 0 for what is none. */
function durationOf(value: unknown): number {
  if (typeof value !== "string") return 0;
  try {
    return parseDuration(value);
  } catch {
    // Named by the caller, with the place.
    return 0;
  }
}

function record(value: unknown, at: string): Fields {
  if (isRecord(value)) return value;
  throw wrong(at, "an object", value);
}

function listed(value: unknown, at: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw wrong(at, "a list", value);
}

function wrong(at: string, expected: string, value: unknown): Fault {
  return new Fault("invalid_argument", describe(at, expected, value));
}

function describe(at: string, expected: string, value: unknown): string {
  const shown = value === undefined ? "nothing" : JSON.stringify(value);
  return `${at} is ${shown.length > 80 ? `${shown.slice(0, 77)}...` : shown}: expected ${expected}`;
}
