/** JSON over HTTPS with a private trust anchor and a bearer token: for the cluster's API. */

import { Fault } from "../base/fault.ts";

/** One request. */
export interface JsonGet {
  readonly url: string;
  readonly bearer: string;
  /** PEM; only servers below these are believed. */
  readonly ca: string;
  readonly timeoutMs: number;
}

/** A request with a body. */
export interface JsonPost extends JsonGet {
  readonly body: unknown;
}

/** Gets and parses the answer. Throws `not_found`, else `internal` as `postJson` does. */
export async function getJson(request: JsonGet): Promise<unknown> {
  return await exchange(request, "GET", undefined);
}

/** Posts and parses the answer. Throws `internal` for anything but a JSON answer with status 2xx. */
export async function postJson(request: JsonPost): Promise<unknown> {
  return await exchange(request, "POST", JSON.stringify(request.body));
}

async function exchange(
  { url, bearer, ca, timeoutMs }: JsonGet,
  method: "GET" | "POST",
  body: string | undefined,
): Promise<unknown> {
  let status = 0;
  try {
    const response = await fetch(url, {
      method,
      redirect: "error",
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        accept: "application/json",
        authorization: `Bearer ${bearer}`,
      },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(timeoutMs),
      tls: { ca },
    });
    status = response.status;
    const text = await response.text();
    if (!response.ok) throw new Error(`status ${status}: ${text.slice(0, 200)}`);
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const code = method === "GET" && status === 404 ? "not_found" : "internal";
    throw new Fault(code, method === "GET" ? `Cannot get ${url}` : `Cannot post to ${url}`, {
      source: "upstream",
      retry: true,
      cause,
    });
  }
}
