/**
 * Real pipes for the output of children. What the runtime gives by itself is a socket pair, and a
 * program that opens /dev/stderr (nginx's images do) cannot open a socket.
 */

import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { Fault } from "../base/fault.ts";

const O_CLOEXEC = 0o2000000;

/** Both ends of a pipe. */
export interface Pipe {
  /** The descriptor for the child. */
  readonly writeEnd: number;
  /** Closes our copy of the child's end; only then the reader sees an end. */
  closeWriteEnd(): void;
  /** Gives what comes until all writers are gone, then closes our end. */
  deliver(take: (chunk: Uint8Array) => void): Promise<void>;
}

/** Makes a pipe. Throws `resource_exhausted` when there are no descriptors left. */
export function makePipe(): Pipe {
  const ends = new Int32Array(2);
  if (libc().pipe2(ptr(ends), O_CLOEXEC) !== 0) {
    throw new Fault("resource_exhausted", "Cannot make a pipe: no file descriptors are left");
  }
  const [readEnd = -1, writeEnd = -1] = ends;
  return {
    writeEnd,
    closeWriteEnd: () => closeSync(writeEnd),
    async deliver(take) {
      try {
        for await (const chunk of Bun.file(readEnd).stream()) take(chunk);
      } finally {
        closeSync(readEnd);
      }
    },
  };
}

type Libc = ReturnType<typeof loadLibc>;
let loaded: Libc | undefined;

function libc(): Libc {
  return loaded ??= loadLibc();
}

function loadLibc() {
  return dlopen("libc.so.6", {
    pipe2: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  }).symbols;
}
