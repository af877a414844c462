/**
 * Single questions to a cluster's API: get, list, create, replace, patch, delete. For what is asked now and
 * then; what is followed all the time goes through the reflector.
 */

import { Fault } from "../../base/fault.ts";
import {
  KUBE_LIST_BYTES_MAX,
  KUBE_LIST_OBJECTS_MAX,
  KUBE_LIST_PAGE,
  KUBE_OBJECT_BYTES_MAX,
} from "../../base/limits.ts";
import { getJson, HttpRefusal, type JsonRequest, sendJson } from "../../host/http-json.ts";
import { isRecord } from "../shape.ts";
import type { KubeAccess } from "./access.ts";

/** An object as the API gives and takes it. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: KubeMetadata;
  readonly [field: string]: unknown;
}

/** What is read of an object's metadata. */
export interface KubeMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
    readonly controller?: boolean;
  }[];
}

/** One step of a JSON Patch (RFC 6902), as far as it is sent. */
export interface KubePatch {
  readonly op: "add" | "replace" | "test";
  readonly path: string;
  readonly value: unknown;
}

/** The client of one cluster. Whatever it rejects with is a `Fault`; a refusal is an `HttpRefusal`. */
export class KubeClient {
  readonly #access: KubeAccess;
  readonly #idleMs: number;

  /** `idleMs` bounds the wait for an answer, and the pauses in it. */
  constructor(access: KubeAccess, idleMs: number = DEFAULT_IDLE_MS) {
    this.#access = access;
    this.#idleMs = idleMs;
  }

  /** For messages. */
  get server(): string {
    return this.#access.server;
  }

  /** An object, or undefined when there is none at the path. */
  async get(path: string): Promise<KubeObject | undefined> {
    const answer = await this.ask(path);
    return answer === undefined ? undefined : objectOf(answer, path);
  }

  /** Any answer in JSON, or undefined for a path that the server does not know. */
  async ask(path: string, headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
    try {
      const target = await this.#access.target(path);
      const all = { ...target, headers: { ...target.headers, ...headers } };
      return await getJson(all, this.#bounds(KUBE_OBJECT_BYTES_MAX));
    } catch (thrown) {
      if (thrown instanceof HttpRefusal && thrown.status === 404) return undefined;
      throw thrown;
    }
  }

  /**
   * All objects of a collection with these labels and fields, or undefined when the server does not know
   * it.
   */
  async list(
    path: string,
    selector = "",
    fields = "",
  ): Promise<readonly KubeObject[] | undefined> {
    const found: KubeObject[] = [];
    let next = "";
    do {
      const query = new URLSearchParams({
        limit: `${KUBE_LIST_PAGE}`,
        ...(selector === "" ? {} : { labelSelector: selector }),
        ...(fields === "" ? {} : { fieldSelector: fields }),
        ...(next === "" ? {} : { continue: next }),
      });
      const page = await this.#page(`${path}?${query}`);
      if (page === undefined) return undefined;
      found.push(...page.items);
      if (found.length > KUBE_LIST_OBJECTS_MAX) {
        throw new Fault(
          "resource_exhausted",
          `Cannot list ${path}: there are more than ${KUBE_LIST_OBJECTS_MAX} objects`,
        );
      }
      next = page.next;
    } while (next !== "");
    return found;
  }

  /** Posts an object to its collection; returns it as the server made it. */
  async create(path: string, object: unknown): Promise<KubeObject> {
    return objectOf(await this.#send(path, { method: "POST", body: object }), path);
  }

  /** Posts a question in the form of an object, such as an access review; returns the answer. */
  async review(path: string, question: unknown): Promise<unknown> {
    return await this.#send(path, { method: "POST", body: question });
  }

  /** Puts an object in the place of what is there; refused with 409 when that is another version. */
  async replace(path: string, object: unknown): Promise<KubeObject> {
    return objectOf(await this.#send(path, { method: "PUT", body: object }), path);
  }

  /** Deletes an object, unless another one has its name by now; that none has is no failure. */
  async delete(path: string, uid: string): Promise<void> {
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } };
    try {
      await this.#send(path, { method: "DELETE", body });
    } catch (thrown) {
      const isGone = thrown instanceof HttpRefusal && [404, 409].includes(thrown.status);
      if (!isGone) throw thrown;
    }
  }

  /** Changes single fields. */
  async patch(path: string, steps: readonly KubePatch[]): Promise<KubeObject> {
    const contentType = "application/json-patch+json";
    return objectOf(await this.#send(path, { method: "PATCH", body: steps, contentType }), path);
  }

  async #page(path: string): Promise<Page | undefined> {
    try {
      const target = await this.#access.target(path);
      return pageOf(await getJson(target, this.#bounds(KUBE_LIST_BYTES_MAX)), path);
    } catch (thrown) {
      if (thrown instanceof HttpRefusal && thrown.status === 404) return undefined;
      throw thrown;
    }
  }

  async #send(path: string, request: JsonRequest): Promise<unknown> {
    const target = await this.#access.target(path);
    return await sendJson(target, request, this.#bounds(KUBE_OBJECT_BYTES_MAX));
  }

  #bounds(bytesMax: number) {
    return { idleMs: this.#idleMs, bytesMax };
  }
}

/** Whether the server refused because somebody else was faster. */
export function isConflict(thrown: unknown): boolean {
  return thrown instanceof HttpRefusal && thrown.status === 409;
}

const DEFAULT_IDLE_MS = 10_000;

interface Page {
  readonly items: readonly KubeObject[];
  readonly next: string;
}

function pageOf(answer: unknown, path: string): Page {
  const items = isRecord(answer) ? answer["items"] ?? [] : undefined;
  if (!Array.isArray(items)) throw odd(path, "a list of objects");
  const metadata = isRecord(answer) ? answer["metadata"] : undefined;
  const next = isRecord(metadata) ? metadata["continue"] : undefined;
  return {
    items: items.map((item: unknown) => objectOf(item, path)),
    next: typeof next === "string" ? next : "",
  };
}

/** Checks what everybody reads of an object: that it has a name. */
function objectOf(answer: unknown, path: string): KubeObject {
  const metadata = isRecord(answer) ? answer["metadata"] : undefined;
  if (isRecord(metadata) && typeof metadata["name"] === "string") return answer as KubeObject;
  throw odd(path, "an object with a name");
}

function odd(path: string, expected: string): Fault {
  return new Fault(
    "unavailable",
    `Cannot read the cluster's answer to ${path}: expected ${expected}`,
  );
}
