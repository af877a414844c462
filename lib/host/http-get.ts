/**
 * Small HTTP GETs for scrapes and for the command line. Not `fetch`: that would follow redirects and
 * obey proxy variables, and a metrics port must be asked directly.
 */

import { Agent, get } from "node:http";
import { Fault } from "../base/fault.ts";

/** The bounds of one request. */
export interface GetOptions {
  /** From the start to the last byte. */
  readonly timeoutMs: number;
  readonly bytesMax: number;
}

/** An answer with its whole body. */
export interface GetAnswer {
  readonly status: number;
  readonly text: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity, timeout: 30_000 });

/** Fetches `http://…`. Throws `unavailable`, `deadline_exceeded` or `resource_exhausted`. */
export function httpGet(url: string, { timeoutMs, bytesMax }: GetOptions): Promise<GetAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (fault: Fault) => {
      clearTimeout(timer);
      reject(fault);
      request.destroy();
    };
    const unavailable = (cause: unknown) =>
      fail(new Fault("unavailable", `Cannot reach ${url}`, { cause }));
    const request = get(url, { agent }, (response) => {
      const chunks: Uint8Array[] = [];
      let length = 0;
      response.on("data", (chunk: Uint8Array) => {
        length += chunk.length;
        if (length > bytesMax) {
          fail(new Fault("resource_exhausted", `${url} answers more than ${bytesMax} bytes`));
        } else chunks.push(chunk);
      });
      response.on("error", unavailable);
      response.on("end", () => {
        clearTimeout(timer);
        const text = Buffer.concat(chunks).toString("utf8");
        resolve({ status: response.statusCode ?? 0, text });
      });
    });
    request.on("error", unavailable);
    const timer = setTimeout(
      () => fail(new Fault("deadline_exceeded", `${url} gave no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
}
