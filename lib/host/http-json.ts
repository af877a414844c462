/** JSON over HTTP(S): a whole answer, or an endless one line by line. For the cluster's API. */

import { Fault } from "../base/fault.ts";

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
}

/** Bounds of one request. */
export interface HttpBounds {
  /** How long nothing may come; also for the answer's head. */
  readonly idleMs: number;
  readonly bytesMax: number;
  /** Ends it from outside. */
  readonly signal?: AbortSignal;
}

/** An answer whose status is not 2xx, or that is no JSON. */
export class HttpRefusal extends Fault {
  readonly status: number;

  constructor(status: number, message: string) {
    super("unavailable", message, { source: "upstream" });
    this.status = status;
  }
}

/** Gets and parses a whole answer. Rejects with `HttpRefusal`, `unavailable` or `resource_exhausted`. */
export function getJson(target: HttpTarget, bounds: HttpBounds): Promise<unknown> {
  return exchange(target, bounds, undefined);
}

/** Posts JSON and parses the answer. Rejects as `getJson` does. */
export function postJson(target: HttpTarget, body: unknown, bounds: HttpBounds): Promise<unknown> {
  return exchange(target, bounds, JSON.stringify(body));
}

async function exchange(
  target: HttpTarget,
  bounds: HttpBounds,
  body: string | undefined,
): Promise<unknown> {
  const parts: string[] = [];
  await pump(target, bounds, (text) => void parts.push(text), body);
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
  body?: string,
): Promise<void> {
  const idle = new AbortController();
  let timer = setTimeout(() => idle.abort(), bounds.idleMs);
  try {
    const response = await fetch(target.url, {
      ...(body === undefined ? {} : { method: "POST", body }),
      headers: {
        ...target.headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      redirect: "error",
      signal: AbortSignal.any([idle.signal, ...bounds.signal ? [bounds.signal] : []]),
      tls: tlsOf(target),
    });
    if (!response.ok) throw await refusalOf(target, response);
    const decoder = new TextDecoder();
    let bytes = 0;
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
    const why = idle.signal.aborted ? `nothing came for ${bounds.idleMs} ms` : undefined;
    throw new Fault("unavailable", `Cannot ask ${target.url}${why ? `: ${why}` : ""}`, {
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

async function refusalOf(target: HttpTarget, response: Response): Promise<HttpRefusal> {
  const text = (await response.text()).slice(0, 200);
  return new HttpRefusal(
    response.status,
    `Cannot ask ${target.url}: the server answers ${response.status} ${text}`.trim(),
  );
}
