/**
 * Reads typed values out of foreign JSON, one field at a time. A value of the wrong type ends in a
 * fault that names the field and tells what was expected; who knows the file and line (the caller
 * that parsed the manifest) adds them through `FieldFault.path`.
 */

import { Fault } from "../base/fault.ts";

/** A path into a JSON document: the keys and indexes from its top. */
export type FieldPath = readonly (string | number)[];

/** A field that is missing or wrong. The message names the field; `path` leads to it. */
export class FieldFault extends Fault {
  readonly path: FieldPath;
  /** What was expected and what was found, without the field. */
  readonly reason: string;

  constructor(path: FieldPath, reason: string) {
    super("invalid_argument", `Cannot use ${formatPath(path) || "the object"}: ${reason}`);
    this.path = path;
    this.reason = reason;
  }
}

/** `spec.containers[0].image` for people. */
export function formatPath(path: FieldPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

/** One value of a document and the way to it. */
export class Reader {
  readonly value: unknown;
  readonly path: FieldPath;

  constructor(value: unknown, path: FieldPath = []) {
    this.value = value;
    this.path = path;
  }

  /** Whether there is a value: Kubernetes takes `null` for absent. */
  get present(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  /** The member of an object; an absent one when this value is absent itself. */
  at(key: string): Reader {
    if (!this.present) return new Reader(undefined, [...this.path, key]);
    return new Reader(this.#object()[key], [...this.path, key]);
  }

  /** The members of a list; none when it is absent. */
  items(): Reader[] {
    if (!this.present) return [];
    if (!Array.isArray(this.value)) throw this.wrong("a list");
    return this.value.map((item: unknown, index) => new Reader(item, [...this.path, index]));
  }

  /** The members of an object by key; none when it is absent. */
  members(): Reader[] {
    if (!this.present) return [];
    return Object.entries(this.#object()).map(([key, value]) =>
      new Reader(value, [...this.path, key])
    );
  }

  text(): string {
    if (typeof this.value !== "string" || this.value === "") throw this.wrong("a text");
    return this.value;
  }

  textOr<T>(otherwise: T): string | T {
    if (!this.present) return otherwise;
    if (typeof this.value !== "string") throw this.wrong("a text (put it in quotes)");
    return this.value;
  }

  integer(least: number, most: number): number {
    const { value } = this;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    throw this.wrong(`a whole number from ${least} to ${most}`);
  }

  integerOr<T>(otherwise: T, least: number, most: number): number | T {
    return this.present ? this.integer(least, most) : otherwise;
  }

  flag(otherwise: boolean): boolean {
    if (!this.present) return otherwise;
    if (typeof this.value !== "boolean") throw this.wrong("true or false");
    return this.value;
  }

  /** A list of texts; empty when it is absent. */
  texts(): string[] {
    return this.items().map((item) => {
      if (typeof item.value !== "string") throw item.wrong("a text (put it in quotes)");
      return item.value;
    });
  }

  /** A map of texts; empty when it is absent. */
  textMap(): Record<string, string> {
    const map: Record<string, string> = {};
    for (const member of this.members()) {
      if (typeof member.value !== "string") throw member.wrong("a text (put it in quotes)");
      map[String(member.path.at(-1))] = member.value;
    }
    return map;
  }

  /** The value when it is one of a closed set. */
  choice<const T extends string>(among: readonly T[], otherwise: T): T {
    if (!this.present) return otherwise;
    const found = among.find((candidate) => candidate === this.value);
    if (found === undefined) throw this.wrong(`one of ${among.join(", ")}`);
    return found;
  }

  /** A fault about this field. */
  wrong(expected: string): FieldFault {
    const shown = this.value === undefined ? "nothing" : shorten(JSON.stringify(this.value));
    return new FieldFault(this.path, `expected ${expected}, got ${shown}`);
  }

  #object(): Record<string, unknown> {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.wrong("a map of fields");
    }
    return value as Record<string, unknown>;
  }
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}
