/** The kinds of values of an installation, and the types that several of them have. */

import {
  integer,
  oneOf,
  pattern,
  type SettingType,
  type Value,
  type Yaml,
  type YamlMap,
} from "../config/mod.ts";

/** Names of objects. */
export const LABEL: SettingType<string> = pattern(
  { expected: "a name of lower-case letters, digits and hyphens", placeholder: "NAME" },
  /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/,
);
/** Images. */
export const IMAGE: SettingType<string> = pattern(
  { expected: "the name of an image", placeholder: "IMAGE" },
  /^\S+$/,
);
/** Users and groups of processes. */
export const USER: SettingType<number> = integer(1, 2_147_483_647);
/** How much is logged. */
export const LOG_LEVEL: SettingType<string> = oneOf([
  "silent",
  "error",
  "warn",
  "info",
  "debug",
  "trace",
]);
/** How lines of a log are written. */
export const LOG_FORMAT: SettingType<string> = oneOf(["plain", "json"]);
/** When nodes fetch images. */
export const PULL_POLICY: SettingType<string> = oneOf(["Always", "IfNotPresent", "Never"]);

/** A text. */
export interface TextValue extends Value {
  readonly kind: "text";
  readonly default: string;
}

/** A whole number. */
export interface NumberValue extends Value {
  readonly kind: "integer";
  readonly default: number;
}

/** Yes or no. */
export interface FlagValue extends Value {
  readonly kind: "boolean";
  readonly default: boolean;
}

/** A map of values that are Kubernetes' own. */
export interface MapValue extends Value {
  readonly kind: "map";
  readonly default: YamlMap;
}

/** A list of such. */
export interface ListValue extends Value {
  readonly kind: "list";
  readonly default: readonly Yaml[];
}

/** Makes a text with its default. */
export function text(preset: string, type: SettingType<unknown>, help: string): TextValue {
  return { kind: "text", type, default: preset, help };
}

/** Makes a text that is written down nowhere where others read it. */
export function secret(preset: string, type: SettingType<unknown>, help: string): TextValue {
  return { kind: "text", type, default: preset, help, secret: true };
}

/** Makes a number. */
export function number(preset: number, type: SettingType<number>, help: string): NumberValue {
  return { kind: "integer", type, default: preset, help };
}

/** Makes a yes or no. */
export function flag(preset: boolean, help: string): FlagValue {
  return { kind: "boolean", default: preset, help };
}

/** Makes a map. */
export function map(preset: YamlMap, help: string): MapValue {
  return { kind: "map", default: preset, help };
}

/** Makes a list. */
export function list(preset: readonly Yaml[], help: string): ListValue {
  return { kind: "list", default: preset, help };
}

/** Makes what a container is given. */
export function resources(cpu: string, memory: string): MapValue {
  return map(
    { requests: { cpu, memory } },
    "What its container is given, as Kubernetes writes it.",
  );
}
