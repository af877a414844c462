/**
 * What a ServiceProfile says, to and from the messages of `Destination.GetProfile`. As every proxy of the
 * contract, a reader leaves out what it does not understand: a route without its condition would take
 * requests that are not its own.
 */

import type { RetryBudget } from "../mesh/reliability.ts";
import type {
  ProfileOverride,
  ProfileRoute,
  RequestMatch,
  ResponseClass,
  ResponseMatch,
} from "../mesh/service-profile.ts";
import { durationFromWire, durationToWire } from "./duration.ts";
import {
  type DeepPartial,
  RequestMatch as WireRequestMatch,
  ResponseMatch as WireResponseMatch,
  type RetryBudget as WireRetryBudget,
  type Route,
  type WeightedDst,
} from "./gen/destination.ts";
import { HttpMethod_Registered } from "./gen/http_types.ts";

/** The message of a route. */
export function routeToWire(route: ProfileRoute): DeepPartial<Route> {
  const { labels, match, isRetryable, timeoutMs, classes } = route;
  return {
    condition: requestMatchToWire(match),
    responseClasses: classes.map(({ match, isFailure }) => ({
      condition: responseMatchToWire(match),
      isFailure,
    })),
    metricsLabels: { ...labels },
    isRetryable,
    timeout: timeoutMs === 0 ? undefined : durationToWire(timeoutMs),
  };
}

/** The route in a message; undefined without a condition that is understood. */
export function routeFromWire(message: Route): ProfileRoute | undefined {
  const match = requestMatchFromWire(message.condition);
  if (match === undefined) return undefined;
  return {
    labels: message.metricsLabels,
    match,
    isRetryable: message.isRetryable,
    timeoutMs: durationFromWire(message.timeout, 0),
    classes: message.responseClasses.flatMap(({ condition, isFailure }): ResponseClass[] => {
      const match = responseMatchFromWire(condition);
      return match === undefined ? [] : [{ match, isFailure }];
    }),
  };
}

/** The message of a budget. */
export function budgetToWire(budget: RetryBudget): DeepPartial<WireRetryBudget> {
  return {
    retryRatio: budget.ratio,
    minRetriesPerSecond: budget.minPerSecond,
    ttl: durationToWire(budget.ttlMs),
  };
}

/** The budget in a message; undefined without one that can be kept. */
export function budgetFromWire(message: WireRetryBudget | undefined): RetryBudget | undefined {
  const ttlMs = durationFromWire(message?.ttl, 0);
  if (message === undefined || ttlMs <= 0 || !(message.retryRatio >= 0)) return undefined;
  // A ratio has seven digits on the wire; what somebody wrote has fewer.
  const ratio = Number(message.retryRatio.toPrecision(6));
  return { ratio, minPerSecond: message.minRetriesPerSecond, ttlMs };
}

/** The message of a part of the traffic. */
export function overrideToWire(
  override: ProfileOverride,
): DeepPartial<WeightedDst> {
  return { authority: override.authority, weight: override.weight };
}

/** The parts of the traffic in messages; those that get nothing are none. */
export function overridesFromWire(messages: readonly WeightedDst[]): readonly ProfileOverride[] {
  return messages.filter(({ weight }) => weight > 0)
    .map(({ authority, weight }) => ({ authority, weight }));
}

function requestMatchToWire(match: RequestMatch): WireRequestMatch {
  switch (match.kind) {
    case "all":
    case "any": {
      const value = { matches: match.of.map(requestMatchToWire) };
      return WireRequestMatch.fromPartial({ match: { $case: match.kind, value } });
    }
    case "not":
      return WireRequestMatch.fromPartial({
        match: { $case: "not", value: requestMatchToWire(match.of) },
      });
    case "path":
      return WireRequestMatch.fromPartial({
        match: { $case: "path", value: { regex: match.pattern } },
      });
    case "method":
      return WireRequestMatch.fromPartial({
        match: { $case: "method", value: { type: methodToWire(match.method) } },
      });
  }
}

function methodToWire(method: string) {
  const value = Object.entries(HttpMethod_Registered).find(([name]) => name === method)?.[1];
  return typeof value === "number"
    ? { $case: "registered" as const, value }
    : { $case: "unregistered" as const, value: method };
}

function requestMatchFromWire(message: WireRequestMatch | undefined): RequestMatch | undefined {
  const match = message?.match;
  switch (match?.$case) {
    case "all":
    case "any": {
      const of = understood(match.value.matches.map(requestMatchFromWire));
      return of && { kind: match.$case, of };
    }
    case "not": {
      const of = requestMatchFromWire(match.value);
      return of && { kind: "not", of };
    }
    case "path":
      return { kind: "path", pattern: match.value.regex };
    case "method": {
      const { type } = match.value;
      const method = type?.$case === "registered" ? HttpMethod_Registered[type.value] : type?.value;
      return method === undefined ? undefined : { kind: "method", method };
    }
    default:
      return undefined;
  }
}

function responseMatchToWire(match: ResponseMatch): WireResponseMatch {
  switch (match.kind) {
    case "all":
    case "any": {
      const value = { matches: match.of.map(responseMatchToWire) };
      return WireResponseMatch.fromPartial({ match: { $case: match.kind, value } });
    }
    case "not":
      return WireResponseMatch.fromPartial({
        match: { $case: "not", value: responseMatchToWire(match.of) },
      });
    case "status":
      return WireResponseMatch.fromPartial({
        match: { $case: "status", value: { min: match.from, max: match.to } },
      });
  }
}

function responseMatchFromWire(message: WireResponseMatch | undefined): ResponseMatch | undefined {
  const match = message?.match;
  switch (match?.$case) {
    case "all":
    case "any": {
      const of = understood(match.value.matches.map(responseMatchFromWire));
      return of && { kind: match.$case, of };
    }
    case "not": {
      const of = responseMatchFromWire(match.value);
      return of && { kind: "not", of };
    }
    case "status":
      return { kind: "status", from: match.value.min, to: match.value.max };
    default:
      return undefined;
  }
}

/** All parts; undefined when one of them is not understood, or there is none. */
function understood<T>(parts: readonly (T | undefined)[]): readonly T[] | undefined {
  const found = parts.flatMap((part) => part === undefined ? [] : [part]);
  return found.length === parts.length && found.length > 0 ? found : undefined;
}
