/**
 * Shapes check foreign data against a type and copy what the type knows; the rest is dropped, so that
 * an index does not keep fields that nobody reads. All that is wrong is collected, each with its path.
 */

import { isPort } from "../mesh/port-range.ts";

/** The way from an object's root to a field. */
export type Path = readonly (string | number)[];

/** A field that is not as expected. */
export interface Issue {
  readonly path: Path;
  /** What a value there must be, such as `a string`. */
  readonly expected: string;
  readonly value: unknown;
}

/** Knows the type T. */
export interface Shape<T> {
  /** Checks and copies. When it adds an issue, what it returns must not be used. */
  read(value: unknown, path: Path, issues: Issue[]): T | undefined;
  /** Whether the field may be left out. */
  readonly optional: boolean;
}

/** The shapes of all fields of T. */
export type Fields<T> = { readonly [K in keyof T]-?: Shape<T[K]> };

/** What a shape made of a value: the value, or what is wrong with it. */
export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly issues: readonly Issue[] };

/** Checks a value against a shape. */
export function readShape<T>(shape: Shape<T>, value: unknown): Reading<T> {
  const issues: Issue[] = [];
  const read = shape.read(value, [], issues);
  // Without an issue the shape has returned a whole T; undefined then is a T itself (an optional).
  return issues.length === 0 ? { ok: true, value: read as T } : { ok: false, issues };
}

/** `spec.ports[0].name`. */
export function formatPath(path: Path): string {
  return path.map((part, index) => {
    if (typeof part === "number") return `[${part}]`;
    if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(part)) return `["${part}"]`;
    return index === 0 ? part : `.${part}`;
  }).join("");
}

/** `expected a string, found 80`. */
export function describeIssue(issue: Issue): string {
  const { expected, value } = issue;
  if (value === undefined || value === null) return `expected ${expected}, found nothing`;
  const shown = JSON.stringify(value);
  return `expected ${expected}, found ${shown.length > 60 ? `${shown.slice(0, 57)}...` : shown}`;
}

/** Text. A number or a boolean is refused, as Kubernetes refuses it. */
export function string(expected = "a string"): Shape<string> {
  return leaf(expected, (value): value is string => typeof value === "string");
}

/** Text with something in it. */
export function name(expected = "a name"): Shape<string> {
  return leaf(expected, (value): value is string => typeof value === "string" && value !== "");
}

/** `true` or `false`. */
export function bool(): Shape<boolean> {
  return leaf("true or false", (value): value is boolean => typeof value === "boolean");
}

/** A whole number in a range, both ends included. */
export function integer(min: number, max: number): Shape<number> {
  const expected = `a whole number from ${min} to ${max}`;
  return leaf(expected, (value): value is number => {
    return Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
  });
}

/** A port's number, or its name. */
export function portReference(): Shape<number | string> {
  const isReference = (value: unknown): value is number | string =>
    typeof value === "string" ? value !== "" : isPortNumber(value);
  return leaf("a port number (1-65535) or a port's name", isReference);
}

/** A TCP port. */
export function portNumber(): Shape<number> {
  return leaf("a port number (1-65535)", isPortNumber);
}

/** Exactly this text. */
export function literal<T extends string>(text: T): Shape<T> {
  return leaf(`"${text}"`, (value): value is T => value === text);
}

/** May be left out; null counts as left out, as it does for Kubernetes. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return {
    optional: true,
    read: (value, path, issues) =>
      value === undefined || value === null ? undefined : shape.read(value, path, issues),
  };
}

/** May be left out, and then is `otherwise`. */
export function withDefault<T>(shape: Shape<T>, otherwise: T): Shape<T> {
  return {
    optional: true,
    read: (value, path, issues) =>
      value === undefined || value === null ? otherwise : shape.read(value, path, issues),
  };
}

/** A list, empty when it is left out. */
export function list<T>(item: Shape<T>): Shape<readonly T[]> {
  return withDefault<readonly T[]>(someList(item), NOTHING_LISTED);
}

/** A list that must be there. */
export function someList<T>(item: Shape<T>): Shape<readonly T[]> {
  return {
    optional: false,
    read(value, path, issues) {
      if (!Array.isArray(value)) return wrong(issues, path, "a list", value);
      const items: T[] = [];
      for (const [index, element] of value.entries()) {
        const read = item.read(element, [...path, index], issues);
        if (read !== undefined) items.push(read);
      }
      return items;
    },
  };
}

/** A map of strings, empty when it is left out. */
export function stringMap(): Shape<Readonly<Record<string, string>>> {
  return withDefault(someStringMap(), NOTHING_MAPPED);
}

/** A map of strings that must be there. */
export function someStringMap(): Shape<Readonly<Record<string, string>>> {
  return {
    optional: false,
    read(value, path, issues) {
      if (!isRecord(value)) return wrong(issues, path, "a map of strings", value);
      const map: Record<string, string> = {};
      for (const [key, text] of Object.entries(value)) {
        if (typeof text === "string") map[key] = text;
        else if (text === null) map[key] = "";
        else wrong(issues, [...path, key], "a string (put it in quotes)", text);
      }
      return map;
    },
  };
}

/** Whatever is there, unchecked: whoever uses it reads it. */
export function anything(): Shape<unknown> {
  return { optional: true, read: (value) => value };
}

/** An object with the fields; other fields are dropped. */
export function object<T extends object>(fields: Fields<T>): Shape<T> {
  const shapes = Object.entries(fields) as [string, Shape<unknown>][];
  return {
    optional: false,
    read(value, path, issues) {
      if (!isRecord(value)) return wrong(issues, path, "an object", value);
      const copy: Record<string, unknown> = {};
      for (const [key, shape] of shapes) {
        const read = shape.read(value[key], [...path, key], issues);
        if (read !== undefined) copy[key] = read;
      }
      // All fields are there, or an issue says which is not.
      return copy as T;
    },
  };
}

/** Whether the value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Shared by all objects that left their lists out: most lists of most objects are empty. */
const NOTHING_LISTED: readonly never[] = Object.freeze([]);
const NOTHING_MAPPED: Readonly<Record<string, string>> = Object.freeze({});

function leaf<T>(expected: string, is: (value: unknown) => value is T): Shape<T> {
  return {
    optional: false,
    read: (value, path, issues) => is(value) ? value : wrong(issues, path, expected, value),
  };
}

function wrong(issues: Issue[], path: Path, expected: string, value: unknown): undefined {
  issues.push({ path, expected, value });
}

function isPortNumber(value: unknown): value is number {
  return typeof value === "number" && isPort(value);
}
