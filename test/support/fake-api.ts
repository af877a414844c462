/**
 * An API server of a few lines: objects by path, read and written one by one, lists in pages, and
 * watches that a test speaks through. It keeps what it was asked.
 */

import type { Server } from "bun";
import jsonpatch, { type Operation } from "fast-json-patch";

/** An object as JSON; its version is set by the server. */
export interface FakeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

/** What was asked. */
export interface FakeRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** A running server. */
export class FakeApi {
  readonly requests: FakeRequest[] = [];
  readonly #server: Server<undefined>;
  readonly #objects = new Map<string, Map<string, FakeObject>>();
  /** Answers of paths that are no collections, such as `/version`. */
  readonly documents = new Map<string, unknown>();
  /** Answers posts to these collections without keeping what is posted, as reviews are. */
  readonly reviews = new Map<string, (body: unknown) => unknown>();
  /** Collections that answer even when they hold nothing; others do too, unless `strict` is set. */
  strict = false;
  readonly #watches = new Set<{ path: string; send(text: string): void; end(): void }>();
  #version = 100;
  /** Answers of this status to everything, until it is undefined again. */
  refusal: number | undefined;
  readonly #forbidden = new Map<string, string>();
  /** Watches from versions below are refused with 410. */
  oldest = 0;

  constructor(tls?: { readonly cert: string; readonly key: string }) {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      ...(tls === undefined ? {} : { tls }),
      fetch: (request) => this.#answer(request),
    });
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  /** A kubeconfig whose only context leads here; with an authority by TLS, as `localhost`. */
  kubeconfig(user: Readonly<Record<string, string>>, authorityPem?: string): string {
    const cluster = authorityPem === undefined
      ? { "server": `http://127.0.0.1:${this.port}`, "insecure-skip-tls-verify": true }
      : {
        "server": `https://localhost:${this.port}/`,
        "certificate-authority-data": btoa(authorityPem),
      };
    return JSON.stringify({
      "apiVersion": "v1",
      "kind": "Config",
      "current-context": "here",
      "contexts": [{ name: "here", context: { cluster: "c", user: "u" } }],
      "clusters": [{ name: "c", cluster }],
      "users": [{ name: "u", user }],
    });
  }

  /** Refuses everything at and below a path, with a message as API servers write it. */
  forbid(path: string, message: string): void {
    this.#forbidden.set(path, message);
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** Creates or changes an object; `quietly` leaves it for the next list to tell. */
  put<T extends FakeObject>(path: string, object: T, quietly = false): void {
    const objects = this.#objects.get(path) ?? new Map<string, FakeObject>();
    this.#objects.set(path, objects);
    const known = objects.has(object.metadata.name);
    const versioned = this.#stamp(object);
    objects.set(object.metadata.name, versioned);
    if (!quietly) this.send(path, { type: known ? "MODIFIED" : "ADDED", object: versioned });
  }

  /** Deletes an object. */
  remove(path: string, name: string, quietly = false): void {
    const object = this.#objects.get(path)?.get(name);
    this.#objects.get(path)?.delete(name);
    if (object !== undefined && !quietly) {
      this.send(path, { type: "DELETED", object: this.#stamp(object) });
    }
  }

  /** Sends any event to the watches of a path. */
  send(path: string, event: unknown): void {
    const text = JSON.stringify(event);
    // In two pieces, as a network might deliver it.
    for (const watch of this.#watches) {
      if (watch.path !== path) continue;
      watch.send(text.slice(0, 20));
      watch.send(`${text.slice(20)}\n`);
    }
  }

  /** The watches of now tell nothing more, not even their end: as when a network drops their packets. */
  loseWatches(): void {
    this.#watches.clear();
  }

  /** Ends all watches, as a server does that restarts. */
  endWatches(): void {
    for (const watch of [...this.#watches]) watch.end();
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  #stamp(object: FakeObject): FakeObject {
    const metadata = { ...object.metadata, resourceVersion: String(++this.#version) };
    return { ...object, metadata };
  }

  /** The object at a path, for a test to look at. */
  object(collection: string, name: string): unknown {
    return this.#objects.get(collection)?.get(name);
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const text = await request.text();
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const { method, headers } = request;
    this.requests.push({ method, path: url.pathname + url.search, headers, body });
    if (this.refusal !== undefined) return new Response("refused", { status: this.refusal });
    for (const [path, message] of this.#forbidden) {
      if (url.pathname.startsWith(path)) return status(403, message);
    }
    if (method !== "GET") return this.#write(method, url, body);
    const document = this.documents.get(url.pathname);
    if (document !== undefined) return Response.json(document);
    if (url.searchParams.get("watch") === "true") return this.#watch(url);
    const { collection, name } = splitPath(url.pathname);
    const object = this.#objects.get(collection)?.get(name);
    if (object !== undefined) return Response.json(object);
    const isList = this.#objects.has(url.pathname) || url.searchParams.has("limit");
    return isList && (!this.strict || this.#objects.has(url.pathname))
      ? this.#list(url)
      : status(404, `${url.pathname} not found`);
  }

  #write(method: string, url: URL, body: unknown): Response {
    const review = this.reviews.get(url.pathname);
    if (review !== undefined) return Response.json(review(body));
    if (method === "POST") {
      const object = body as FakeObject;
      if (this.#objects.get(url.pathname)?.has(object.metadata.name) === true) {
        return status(409, `"${object.metadata.name}" already exists`);
      }
      this.put(url.pathname, object);
      return Response.json(this.object(url.pathname, object.metadata.name), { status: 201 });
    }
    const { collection, name } = splitPath(url.pathname);
    const former = this.#objects.get(collection)?.get(name);
    if (former === undefined) return status(404, `"${name}" not found`);
    if (method === "DELETE") {
      this.remove(collection, name);
      return Response.json({ kind: "Status", status: "Success" });
    }
    const next = method === "PATCH" ? patched(former, body) : body as FakeObject;
    if (next === undefined) return status(422, "the patch does not apply");
    const version = next.metadata.resourceVersion;
    if (version !== undefined && version !== former.metadata.resourceVersion) {
      return status(409, "the object has been modified");
    }
    this.put(collection, next);
    return Response.json(this.object(collection, name));
  }

  #list(url: URL): Response {
    const selector = url.searchParams.get("labelSelector") ?? "";
    const all = [...this.#objects.get(url.pathname)?.values() ?? []].filter((object) =>
      selector.split(",").filter(Boolean).every((term) => {
        const [key = "", value] = term.split("=");
        const label = object.metadata.labels?.[key];
        return value === undefined ? label !== undefined : label === value;
      })
    );
    const limit = Number(url.searchParams.get("limit"));
    const from = Number(url.searchParams.get("continue") ?? 0);
    const items = all.slice(from, from + limit);
    const more = from + limit < all.length ? { continue: String(from + limit) } : {};
    return Response.json({ items, metadata: { resourceVersion: String(this.#version), ...more } });
  }

  #watch(url: URL): Response {
    if (Number(url.searchParams.get("resourceVersion")) < this.oldest) {
      return Response.json({
        type: "ERROR",
        object: { kind: "Status", code: 410, message: "too old resource version" },
      });
    }
    const encoder = new TextEncoder();
    let watch: { path: string; send(text: string): void; end(): void };
    const body = new ReadableStream<Uint8Array>({
      cancel: () => void this.#watches.delete(watch),
      start: (controller) => {
        watch = {
          path: url.pathname,
          send: (text: string) => controller.enqueue(encoder.encode(text)),
          end: () => {
            clearTimeout(timer);
            if (this.#watches.delete(watch)) controller.close();
          },
        };
        this.#watches.add(watch);
        const seconds = Number(url.searchParams.get("timeoutSeconds"));
        const timer = setTimeout(watch.end, seconds * 1_000).unref();
        // Sends the head at once.
        watch.send("\n");
      },
    });
    return new Response(body, { headers: { "content-type": "application/json" } });
  }
}

function splitPath(path: string): { collection: string; name: string } {
  const at = path.lastIndexOf("/");
  return { collection: path.slice(0, at), name: decodeURIComponent(path.slice(at + 1)) };
}

function patched(object: FakeObject, steps: unknown): FakeObject | undefined {
  try {
    const copy = structuredClone(object);
    return jsonpatch.applyPatch(copy, steps as Operation[], true).newDocument;
  } catch {
    return undefined; // A test of the patch failed, or a path leads nowhere.
  }
}

function status(code: number, message: string): Response {
  return Response.json({ kind: "Status", code, message }, { status: code });
}
