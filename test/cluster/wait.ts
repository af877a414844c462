/** Waiting for conditions, never for time. */

const POLL_MS = 100;

/** How long tests wait for something that a cluster does, unless they say otherwise. */
export const WAIT_LIMIT_MS = 60_000;

/** Calls until the condition holds; rejects with its name after the limit, or with what it throws. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = WAIT_LIMIT_MS,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await Bun.sleep(POLL_MS);
  }
}
