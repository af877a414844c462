/**
 * The part of JSON Patch (RFC 6902) that injection speaks: `add` and `replace`. The webhook hands the
 * operations to the API server; the laptop mesh and `malla inject` apply them here.
 */

import { Fault } from "../base/fault.ts";

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. An `undefined` member is one that is not there. */
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** One step of a patch. `path` is a JSON Pointer (RFC 6901); `-` as last token appends to a list. */
export interface JsonPatchOperation {
  readonly op: "add" | "replace";
  readonly path: string;
  readonly value: Json;
}

/** Joins tokens to a JSON Pointer and escapes them. */
export function pointer(...tokens: readonly (string | number)[]): string {
  return tokens.map((token) => `/${String(token).replace(/~/g, "~0").replace(/\//g, "~1")}`)
    .join("");
}

/** Applies the operations to a copy. Throws `invalid_argument` when a path leads nowhere. */
export function applyPatch<T>(document: T, patch: readonly JsonPatchOperation[]): T {
  // The copy is ours alone, so it may be written in place.
  const root: { document: T } = { document: structuredClone(document) };
  for (const operation of patch) applyOperation(root, operation);
  return root.document;
}

function applyOperation(root: object, operation: JsonPatchOperation): void {
  const tokens = ["document", ...operation.path.split("/").slice(1).map(unescapeToken)];
  const last = tokens.pop() ?? "";
  let parent: unknown = root;
  for (const token of tokens) parent = child(parent, token, operation.path);
  const value = structuredClone(operation.value);
  if (Array.isArray(parent)) {
    const index = last === "-" ? parent.length : Number(last);
    const end = operation.op === "add" ? parent.length : parent.length - 1;
    if (!Number.isInteger(index) || index < 0 || index > end) throw lost(operation.path);
    parent.splice(index, operation.op === "add" ? 0 : 1, value);
    return;
  }
  if (!isRecord(parent)) throw lost(operation.path);
  if (operation.op === "replace" && !Object.hasOwn(parent, last)) throw lost(operation.path);
  parent[last] = value;
}

function child(parent: unknown, token: string, path: string): unknown {
  if (Array.isArray(parent)) return parent[Number(token)];
  if (isRecord(parent) && Object.hasOwn(parent, token)) return parent[token];
  throw lost(path);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function unescapeToken(token: string): string {
  return token.replace(/~1/g, "/").replace(/~0/g, "~");
}

function lost(path: string): Fault {
  return new Fault("invalid_argument", `Cannot apply patch: "${path}" is not in the document`);
}
