/** What wrk writes when it ends. */

/** Requests that were answered. */
export function requestsOf(text: string): number {
  return Number(/(\d+) requests in/.exec(text)?.[1]);
}

/** Answers other than 2xx and 3xx, and socket errors. */
export function failuresOf(text: string): number {
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  const socket = (errors ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0);
  return socket + Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
}
