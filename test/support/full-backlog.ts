/** A listener whose queue is full: whoever connects is kept waiting until there is room again. */

import { dlopen, FFIType } from "bun:ffi";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 2_048;
const ADDRESS_BYTES = 16;

/** Such a listener on loopback; the runtime's own would accept at once. */
export class FullBacklog {
  readonly port: number;
  readonly #fd: number;
  readonly #accepted: number[] = [];
  readonly #libc = loadLibc();

  constructor() {
    const { socket, bind, listen, getsockname } = this.#libc;
    this.#fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const address = new Uint8Array(ADDRESS_BYTES);
    address.set([AF_INET, 0, 0, 0, 127, 0, 0, 1]);
    const length = new Int32Array([ADDRESS_BYTES]);
    // With a queue of none the kernel takes one connection, and lets the next one wait.
    if (bind(this.#fd, address, ADDRESS_BYTES) < 0 || listen(this.#fd, 0) < 0) {
      throw new Error("cannot listen");
    }
    getsockname(this.#fd, address, length);
    this.port = (address[2] ?? 0) * 256 + (address[3] ?? 0);
  }

  /** Takes one connection out of the queue, if there is one; tells whether there was. */
  accept(): boolean {
    const fd = this.#libc.accept4(this.#fd, null, null, SOCK_NONBLOCK);
    if (fd >= 0) this.#accepted.push(fd);
    return fd >= 0;
  }

  /** Whether the peer of the connection that was accepted as the nth has closed it. */
  closedByPeer(index: number): boolean {
    const fd = this.#accepted[index] ?? -1;
    let got: number;
    do got = Number(this.#libc.recv(fd, new Uint8Array(4_096), 4_096, 0)); while (got > 0);
    return got === 0;
  }

  stop(): void {
    for (const fd of [this.#fd, ...this.#accepted]) this.#libc.close(fd);
  }
}

function loadLibc() {
  const { i32, i64, u64, ptr } = FFIType;
  return dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 },
    bind: { args: [i32, ptr, i32], returns: i32 },
    listen: { args: [i32, i32], returns: i32 },
    getsockname: { args: [i32, ptr, ptr], returns: i32 },
    accept4: { args: [i32, ptr, ptr, i32], returns: i32 },
    recv: { args: [i32, ptr, u64, i32], returns: i64 },
    close: { args: [i32], returns: i32 },
  }).symbols;
}
