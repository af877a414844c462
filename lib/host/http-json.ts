/** JSON over HTTP(S): a whole answer, or an endless one line by line. For the cluster's API. */

import { Fault, type FaultCode } from "../base/fault.ts";

/** Where to ask and who asks. All key material is PEM. */
export interface HttpTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: the system's certificate authorities. */
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  /** The name that must be in the server's certificate, where it is not the URL's. */
  readonly serverName?: string;
  /** Believes any server: only where a kubeconfig says so. */
  readonly insecure?: boolean;
  /** Of this server, shared by all who ask it. Absent: kept connections are always used. */
  readonly kept?: KeptConnections;
}

/**
 * Whether the connections that the runtime keeps for later questions can be used. When nothing comes over one of
 * them, the network may have dropped all without a word, and each would cost a question its whole patience: so
 * until the runtime has given up those of then, every question has a connection of its own.
 */
export class KeptConnections {
  readonly #keptMs: number;
  #silentUntilMs = 0;

  constructor(keptMs = KEPT_MS) {
    this.#keptMs = keptMs;
  }

  get areUsable(): boolean {
    return performance.now() >= this.#silentUntilMs;
  }

  /** A question got no answer in its time. */
  fellSilent(): void {
    this.#silentUntilMs = performance.now() + this.#keptMs;
  }
}

/** Bounds of one request. */
export interface HttpBounds {
  /** How long the answer's head may take; default: `idleMs`. */
  readonly headMs?: number;
  /** How long nothing may come. */
  readonly idleMs: number;
  readonly bytesMax: number;
  /** Over a connection of its own, whatever is kept. */
  readonly isAlone?: boolean;
  /** Ends it from outside. */
  readonly signal?: AbortSignal;
  /** Called when the head of a good answer has come, however long its body takes. */
  readonly opened?: () => void;
}

/** A request with a body. */
export interface JsonRequest {
  readonly method: "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body: unknown;
  /** Default: `application/json`. */
  readonly contentType?: string;
}

/** An answer whose status is not 2xx. */
export class HttpRefusal extends Fault {
  readonly status: number;

  constructor(status: number, message: string) {
    super(STATUS_CODES[status] ?? "unavailable", message, { source: "upstream" });
    this.status = status;
  }
}

const STATUS_CODES: Readonly<Record<number, FaultCode>> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  409: "already_exists",
  422: "invalid_argument",
};

/** The runtime closes a connection that nobody has used for five minutes, of which it counts whole ones. */
const KEPT_MS = 360_000;
/** Beyond an API server's longest explanation: a cut one is no JSON any more. */
const REFUSAL_CHARS_MAX = 65_536;
/** A refusal of an object may name a dozen fields; more is no message for people. */
const MESSAGE_CHARS_MAX = 1_000;
/** Enough to recognize a page that is no API server's. */
const TEXT_CHARS_MAX = 200;

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "it refuses connections",
  ECONNRESET: "the connection was cut",
};

/** Gets and parses a whole answer. Rejects with `HttpRefusal`, `unavailable` or `resource_exhausted`. */
export function getJson(target: HttpTarget, bounds: HttpBounds): Promise<unknown> {
  return exchange(target, bounds, undefined);
}

/** Sends JSON and parses the answer. Rejects as `getJson` does. */
export function sendJson(
  target: HttpTarget,
  request: JsonRequest,
  bounds: HttpBounds,
): Promise<unknown> {
  return exchange(target, bounds, request);
}

async function exchange(
  target: HttpTarget,
  bounds: HttpBounds,
  request: JsonRequest | undefined,
): Promise<unknown> {
  const parts: string[] = [];
  await pump(target, bounds, (text) => void parts.push(text), request);
  try {
    return JSON.parse(parts.join("")) as unknown;
  } catch (cause) {
    throw new Fault("unavailable", `Cannot read the answer of ${target.url} as JSON`, { cause });
  }
}

/**
 * Passes on each line of an answer until its end. `bytesMax` bounds one line. Rejects as `getJson`
 * does; an end by the signal is no failure.
 */
export async function getLines(
  target: HttpTarget,
  bounds: HttpBounds,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  await pump(target, { ...bounds, bytesMax: Infinity }, (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > bounds.bytesMax) {
      throw new Fault("resource_exhausted", `A line of ${target.url} has no end`);
    }
    for (const line of lines) if (line.trim() !== "") take(line);
  });
  if (rest.trim() !== "") take(rest);
}

async function pump(
  target: HttpTarget,
  bounds: HttpBounds,
  take: (text: string) => void,
  request?: JsonRequest,
): Promise<void> {
  const idle = new AbortController();
  let waitedMs = bounds.headMs ?? bounds.idleMs;
  let timer = setTimeout(() => idle.abort(), waitedMs);
  try {
    const response = await fetch(target.url, {
      ...(request === undefined
        ? {}
        : { method: request.method, body: JSON.stringify(request.body) }),
      headers: {
        ...target.headers,
        ...(request === undefined
          ? {}
          : { "content-type": request.contentType ?? "application/json" }),
      },
      redirect: "error",
      keepalive: bounds.isAlone !== true && target.kept?.areUsable !== false,
      signal: AbortSignal.any([idle.signal, ...bounds.signal ? [bounds.signal] : []]),
      tls: tlsOf(target),
    });
    if (!response.ok) throw await refusalOf(target, response);
    bounds.opened?.();
    const decoder = new TextDecoder();
    let bytes = 0;
    clearTimeout(timer);
    waitedMs = bounds.idleMs;
    timer = setTimeout(() => idle.abort(), waitedMs);
    for await (const chunk of response.body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => idle.abort(), bounds.idleMs);
      bytes += chunk.length;
      if (bytes > bounds.bytesMax) {
        throw new Fault(
          "resource_exhausted",
          `${target.url} answers more than ${bounds.bytesMax} bytes`,
        );
      }
      take(decoder.decode(chunk, { stream: true }));
    }
    take(decoder.decode());
  } catch (thrown) {
    if (bounds.signal?.aborted) return;
    if (thrown instanceof Fault) throw thrown;
    if (idle.signal.aborted) target.kept?.fellSilent();
    const why = idle.signal.aborted ? `nothing came for ${waitedMs} ms` : reasonOf(thrown);
    throw new Fault("unavailable", `Cannot ask ${placeOf(target)}${why ? `: ${why}` : ""}`, {
      source: "upstream",
      ...(why === undefined ? { cause: thrown } : {}),
    });
  } finally {
    clearTimeout(timer);
    idle.abort();
  }
}

function tlsOf(target: HttpTarget) {
  return {
    ...(target.ca === undefined ? {} : { ca: target.ca }),
    ...(target.certificate === undefined ? {} : { cert: target.certificate }),
    ...(target.key === undefined ? {} : { key: target.key }),
    ...(target.serverName === undefined ? {} : { serverName: target.serverName }),
    ...(target.insecure === true ? { rejectUnauthorized: false } : {}),
  };
}

/** Where was asked, for people: what was asked about it follows from who asks. */
function placeOf(target: HttpTarget): string {
  return target.url.replace(/\?.*$/s, "");
}

/** What the runtime says at length and to developers; undefined where it says it best. */
function reasonOf(thrown: unknown): string | undefined {
  const { code } = thrown as { readonly code?: unknown };
  return typeof code === "string" ? REASONS[code] : undefined;
}

async function refusalOf(target: HttpTarget, response: Response): Promise<HttpRefusal> {
  const { status } = response;
  const text = await beginningOf(response);
  return new HttpRefusal(
    status,
    `Cannot ask ${placeOf(target)}: the server answers ${status} ${messageOf(text)}`.trim(),
  );
}

/** A refusal's text, as far as anybody would read it. */
async function beginningOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length >= REFUSAL_CHARS_MAX) break;
  }
  return text.slice(0, REFUSAL_CHARS_MAX);
}

/** An API server explains itself in JSON, of which one field is for people. */
function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    if (typeof message === "string" && message !== "") return message.slice(0, MESSAGE_CHARS_MAX);
  } catch {
    // It is no JSON, or was cut: shown as it came.
  }
  return text.slice(0, TEXT_CHARS_MAX);
}
