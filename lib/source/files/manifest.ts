/**
 * Manifests: text in, typed objects out, and everything that is wrong with the place where it is.
 * YAML with several documents, JSON and lists of objects are read. Owns the package yaml.
 *
 *     text → documents (values with lines) → kind → shape → rules → objects
 */

import {
  type Document,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseAllDocuments,
  type ParsedNode,
  type ScalarTag,
} from "yaml";
import type { MeshObject } from "../objects.ts";
import { describeIssue, formatPath, isRecord, type Path, readShape } from "../shape.ts";
import { API_VERSIONS, KINDS, knownKind, shapeOf } from "../shapes.ts";
import { ruleIssues } from "./rules.ts";

/** One object of a manifest. */
export interface Manifest {
  /** As it stands in the file, with all fields; changing it does not change the file. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** Typed and checked; absent for a kind that the mesh does not read. */
  readonly object?: MeshObject;
  readonly file: string;
  /** The line where the object begins, from 1. */
  readonly line: number;
}

/** What is in a file. */
export interface Manifests {
  readonly manifests: readonly Manifest[];
  /** The typed objects of `manifests`, in their order. */
  readonly objects: readonly MeshObject[];
  /** Each begins with `file:line: `. An object with an error is in neither list. */
  readonly errors: readonly string[];
  /** What was left out without harm, such as kinds that the mesh does not read. */
  readonly notes: readonly string[];
  /** The line of a field of one of the manifests, for those who check more than the shapes do. */
  lineOf(manifest: Manifest, path: Path): number;
}

/** A value of a document, and how to find the line of a path in it. */
interface Found {
  readonly value: unknown;
  readonly line: (path: Path) => number;
}

/** Reads a file's text. `fileName` is for messages, and a name that ends in `.json` is read as JSON. */
export function parseManifests(text: string, fileName: string): Manifests {
  const reader = new Reader(fileName);
  const json = fileName.endsWith(".json") ? parseJson(text) : undefined;
  // JSON knows no lines: it is the fast way for files without a fault, and the slow one tells where.
  if (json !== undefined) {
    reader.document({ value: json.value, line: () => 1 });
    if (reader.errors.length === 0) return reader.result();
  }
  return parseYamlManifests(text, fileName);
}

function parseYamlManifests(text: string, fileName: string): Manifests {
  const reader = new Reader(fileName);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    customTags: (tags) => [OCTAL, ...tags],
    merge: true,
    prettyErrors: false,
  });
  // Without any document the parser gives an empty stream, which is an array as well.
  for (const document of documents) {
    for (const error of document.errors) {
      reader.error(lines.linePos(error.pos[0]).line, firstLine(error.message));
    }
    if (document.errors.length > 0) continue;
    const value = valueOf(document);
    if (value instanceof Error) reader.error(1, firstLine(value.message));
    else reader.document({ value, line: (path) => lineOf(document, lines, path) });
  }
  return reader.result();
}

/** Takes the documents of one file and collects what is in them. */
class Reader {
  readonly errors: string[] = [];
  readonly #file: string;
  readonly #manifests: Manifest[] = [];
  readonly #notes: string[] = [];
  readonly #lines = new Map<Manifest, Found["line"]>();

  constructor(file: string) {
    this.#file = file;
  }

  error(line: number, message: string): void {
    this.errors.push(`${this.#file}:${line}: ${message}`);
  }

  document(found: Found): void {
    const { value } = found;
    if (value === null || value === undefined) return;
    if (!isRecord(value)) {
      this.error(found.line([]), "expected an object with apiVersion and kind");
      return;
    }
    const { kind, items } = value;
    if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(items)) {
      items.forEach((item: unknown, index) => {
        this.document({ value: item, line: (path) => found.line(["items", index, ...path]) });
      });
      return;
    }
    this.#object(value, found);
  }

  result(): Manifests {
    const objects = this.#manifests.flatMap(({ object }) => object === undefined ? [] : [object]);
    const lines = this.#lines;
    return {
      manifests: this.#manifests,
      objects,
      errors: this.errors,
      notes: this.#notes,
      lineOf: (manifest, path) => lines.get(manifest)?.(path) ?? manifest.line,
    };
  }

  #object(raw: Record<string, unknown>, found: Found): void {
    const { apiVersion, kind } = raw;
    const line = found.line([]);
    for (const [field, value] of [["apiVersion", apiVersion], ["kind", kind]] as const) {
      if (typeof value === "string" && value !== "") continue;
      this.error(found.line([field]), `${field}: ${describe("a string", value)}`);
      return;
    }
    const title = titleOf(raw);
    const known = knownKind(apiVersion, kind);
    if (known === undefined) {
      const wanted = KINDS.find((candidate) => candidate === kind);
      if (wanted !== undefined && groupOf(apiVersion) === groupOf(API_VERSIONS[wanted])) {
        const expected = `"${API_VERSIONS[wanted]}"`;
        this.error(
          found.line(["apiVersion"]),
          `${title}: apiVersion: ${describe(expected, apiVersion)}`,
        );
        return;
      }
      this.#notes.push(`${this.#file}:${line}: ${title} (${apiVersion}) is not read: left out`);
      this.#add({ raw, file: this.#file, line }, found);
      return;
    }
    const reading = readShape(shapeOf(known), raw);
    const issues = reading.ok ? ruleIssues(reading.value) : reading.issues;
    for (const issue of issues) {
      const where = formatPath(issue.path);
      this.error(found.line(issue.path), `${title}: ${where}: ${describeIssue(issue)}`);
    }
    if (!reading.ok || issues.length > 0) return;
    this.#add({ raw, object: reading.value, file: this.#file, line }, found);
  }

  #add(manifest: Manifest, { line }: Found): void {
    this.#manifests.push(manifest);
    this.#lines.set(manifest, line);
  }
}

/** YAML 1.2 reads 0644 as a decimal number; whoever writes a file's mode means Kubernetes' octal. */
const OCTAL: ScalarTag = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  test: /^0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
};

function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    // The YAML parser reads JSON as well, and says on which line it is broken.
    return undefined;
  }
}

function valueOf(document: Document<ParsedNode>): unknown {
  try {
    return document.toJS();
  } catch (thrown) {
    // Aliases that would expand without bound.
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

/** The line of the field, or of the innermost object around it that is there. */
function lineOf(document: Document<ParsedNode>, lines: LineCounter, path: Path): number {
  for (let length = path.length; length >= 0; length--) {
    const offset = offsetAt(document, path.slice(0, length));
    if (offset !== undefined) return lines.linePos(offset).line;
  }
  return 1;
}

function offsetAt(document: Document<ParsedNode>, path: Path): number | undefined {
  const parent: unknown = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true);
  if (isMap(parent)) {
    // The line of the key: a value may begin on the next one.
    const key = parent.items.map((pair) => pair.key)
      .find((candidate) => isScalar(candidate) && candidate.value === path.at(-1));
    if (isNode(key) && key.range) return key.range[0];
  }
  const node: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  return isNode(node) && node.range ? node.range[0] : undefined;
}

function titleOf(raw: Record<string, unknown>): string {
  const metadata = raw["metadata"];
  const name = isRecord(metadata) ? metadata["name"] : undefined;
  return typeof name === "string" ? `${raw["kind"]} "${name}"` : `${raw["kind"]}`;
}

function groupOf(apiVersion: unknown): string {
  const text = String(apiVersion);
  return text.includes("/") ? text.slice(0, text.indexOf("/")) : "";
}

function describe(expected: string, value: unknown): string {
  return describeIssue({ path: [], expected, value });
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? text;
}
