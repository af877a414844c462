/** JSON over HTTPS with a private trust anchor and a bearer token: for the cluster's API. */

import { Fault } from "../base/fault.ts";

/** One request. */
export interface JsonPost {
  readonly url: string;
  readonly body: unknown;
  readonly bearer: string;
  /** PEM; only servers below these are believed. */
  readonly ca: string;
  readonly timeoutMs: number;
}

/** Posts and parses the answer. Throws `internal` for anything but a JSON answer with status 2xx. */
export async function postJson({ url, body, bearer, ca, timeoutMs }: JsonPost): Promise<unknown> {
  try {
    const response = await fetch(url, {
      method: "POST",
      redirect: "error",
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        authorization: `Bearer ${bearer}`,
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
      tls: { ca },
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`status ${response.status}: ${text.slice(0, 200)}`);
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new Fault("internal", `Cannot post to ${url}`, {
      source: "upstream",
      retry: true,
      cause,
    });
  }
}
