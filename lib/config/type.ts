/**
 * Types of settings. Every source gives text (a file's values are turned into text first), so a type
 * is one function from text to a value, with the words that say what it expects. The checks are
 * valibot's; nothing outside this room sees that.
 */

import * as v from "valibot";
import { DURATION_EXPECTED, parseDuration } from "../base/duration.ts";

/** A kind of value that a setting may have. */
export interface SettingType<T> {
  /** Follows "expected" in messages: `a duration such as 10s or 300ms`. */
  readonly expected: string;
  /** Stands for the value in help: `DURATION`. */
  readonly placeholder: string;
  /** A flag without a value means true. */
  readonly isBoolean: boolean;
  /** An empty text is a value (an empty list), not an absent one. */
  readonly emptyIsValue: boolean;
  /** Giving the flag again adds to the value instead of replacing it. */
  readonly isList: boolean;
  /** All values that there are, where these are few. */
  readonly words?: readonly string[];
  /** Reads a value as it was written. */
  parse(text: string): ParsedSetting<T>;
}

/** The outcome of reading one value. */
export type ParsedSetting<T> = { readonly ok: true; readonly value: T } | { readonly ok: false };

/** How a type differs from the plain ones. */
export interface TypeTraits {
  readonly expected: string;
  readonly placeholder: string;
  readonly isBoolean?: boolean;
  readonly emptyIsValue?: boolean;
  readonly isList?: boolean;
  readonly words?: readonly string[];
}

/** Makes a type from a valibot schema that takes text. */
export function typeOf<T>(traits: TypeTraits, schema: v.GenericSchema<string, T>): SettingType<T> {
  return {
    expected: traits.expected,
    placeholder: traits.placeholder,
    isBoolean: traits.isBoolean ?? false,
    emptyIsValue: traits.emptyIsValue ?? false,
    isList: traits.isList ?? false,
    ...traits.words === undefined ? {} : { words: traits.words },
    parse(text) {
      const result = v.safeParse(schema, text);
      return result.success ? { ok: true, value: result.output } : { ok: false };
    },
  };
}

/** A schema around a function that throws on what it cannot read. */
export function reading<T>(read: (text: string) => T): v.GenericSchema<string, T> {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        return read(dataset.value);
      } catch {
        // The setting's own words say what was expected; the reader's message would say it twice.
        addIssue();
        return NEVER;
      }
    }),
  );
}

/** Any text; an empty one counts as not given. */
export function string(): SettingType<string> {
  return typeOf({ expected: "a text", placeholder: "TEXT" }, v.string());
}

/** Text that is not only white space. */
export function nonEmpty(): SettingType<string> {
  return typeOf(
    { expected: "a text that is not blank", placeholder: "TEXT" },
    v.pipe(v.string(), v.trim(), v.nonEmpty()),
  );
}

/** Text that a pattern describes, without blanks around it. */
export function pattern(traits: TypeTraits, wanted: RegExp): SettingType<string> {
  return typeOf(traits, v.pipe(v.string(), v.trim(), v.regex(wanted)));
}

/** A whole number between the bounds, both included. */
export function integer(min = 0, max: number = Number.MAX_SAFE_INTEGER): SettingType<number> {
  const expected = max === Number.MAX_SAFE_INTEGER
    ? `a whole number of at least ${min}`
    : `a whole number from ${min} to ${max}`;
  return typeOf(
    { expected, placeholder: "NUMBER" },
    v.pipe(
      v.string(),
      v.trim(),
      v.regex(/^-?\d{1,16}$/),
      v.transform(Number),
      v.minValue(min),
      v.maxValue(max),
    ),
  );
}

/** true or false; a flag without a value is true, `--no-<flag>` is false. */
export function boolean(): SettingType<boolean> {
  return typeOf(
    { expected: "true or false", placeholder: "true|false", isBoolean: true },
    v.pipe(
      v.string(),
      v.trim(),
      v.toLowerCase(),
      v.picklist(["true", "false", "1", "0", "yes", "no"]),
      v.transform((text) => text === "true" || text === "1" || text === "yes"),
    ),
  );
}

/** One word of a closed set. */
export function oneOf<const W extends readonly [string, ...string[]]>(
  words: W,
): SettingType<W[number]> {
  return typeOf(
    { expected: `one of ${words.join(", ")}`, placeholder: words.join("|"), words },
    v.pipe(v.string(), v.trim(), v.picklist(words)),
  );
}

/** A time with its unit (`300ms`, `10s`, `1m`, `1h`, `1d`, `24h0m0s`), as milliseconds. */
export function duration(): SettingType<number> {
  return typeOf(
    { expected: DURATION_EXPECTED, placeholder: "DURATION" },
    reading(parseDuration),
  );
}

/** Several values of one type, separated by commas. Blanks around them and empty ones are dropped. */
export function list<T>(item: SettingType<T>): SettingType<readonly T[]> {
  return typeOf(
    {
      expected: `a list separated by commas, each ${item.expected}`,
      placeholder: `${item.placeholder},…`,
      emptyIsValue: true,
      isList: true,
    },
    reading((text) =>
      text.split(",").map((part) => part.trim()).filter((part) => part !== "").map((part) => {
        const parsed = item.parse(part);
        if (!parsed.ok) throw new TypeError(part);
        return parsed.value;
      })
    ),
  );
}

/** A JSON object. */
export function jsonObject(): SettingType<Readonly<Record<string, unknown>>> {
  return typeOf(
    { expected: 'a JSON object such as {"ns":"default"}', placeholder: "JSON" },
    v.pipe(
      reading((text): unknown => JSON.parse(text)),
      v.custom<Readonly<Record<string, unknown>>>((value) =>
        typeof value === "object" && value !== null && !Array.isArray(value)
      ),
    ),
  );
}

/** The path of a file; whether it exists is for its reader to say. */
export function filePath(): SettingType<string> {
  return typeOf(
    { expected: "the path of a file", placeholder: "FILE" },
    v.pipe(v.string(), v.nonEmpty(), v.check((text) => !text.includes("\0"))),
  );
}

/** Certificates or keys in PEM, the text itself and not a file's name. */
export function pemText(): SettingType<string> {
  return typeOf(
    { expected: "PEM text that begins with -----BEGIN", placeholder: "PEM" },
    v.pipe(v.string(), v.trim(), v.regex(/-----BEGIN [A-Z0-9 ]+-----[^]+-----END [A-Z0-9 ]+-----/)),
  );
}
