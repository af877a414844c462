/**
 * A lock between processes of this machine. The kernel holds it, so that it ends with its process
 * however that ends, and nothing stale is ever left.
 */

import { dlopen, FFIType } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

const LOCK_EXCLUSIVE = 2;
const LOCK_NOT_BLOCKING = 4;
const RETRY_MS = 100;

/** Runs the body while this process holds the lock of that file; waits until it is free. */
export async function withLock<T>(path: string, body: () => Promise<T> | T): Promise<T> {
  const { symbols } = dlopen("libc.so.6", {
    flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  });
  const fd = openSync(path, "a");
  try {
    // Asked again and again: a blocking call would stop this process's event loop.
    while (symbols.flock(fd, LOCK_EXCLUSIVE | LOCK_NOT_BLOCKING) !== 0) await Bun.sleep(RETRY_MS);
    return await body();
  } finally {
    closeSync(fd);
  }
}
