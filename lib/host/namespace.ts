/**
 * What only the kernel can tell or do about namespaces: sockets in another network namespace,
 * processes that live in a namespace, orphans that the first process of a pid namespace must bury.
 * Linux only; the functions of the C library are loaded at the first call.
 */

import { dlopen, FFIType, ptr, read } from "bun:ffi";
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
} from "node:fs";
import { Fault } from "../base/fault.ts";
import { familyOf, SOCK_STREAM_NONBLOCK_CLOEXEC, writeSockaddr } from "./sockaddr.ts";
import { signalProcess } from "./process.ts";

const CLONE_NEWNET = 0x4000_0000;
const WNOHANG = 1;
const EISCONN = 106;
const EALREADY = 114;
const EINPROGRESS = 115;

/** The kinds of namespaces that processes are told apart by. */
export type NamespaceKind = "net" | "mnt" | "pid" | "user";

/** A connection that is being made; its socket is not yet anyone else's. */
export interface OpeningSocket {
  /** For `Bun.connect({ fd })`, once it is connected. */
  readonly fd: number;
  /** How it goes: `connected`, `opening`, or the reason why it failed. */
  state(): string;
  close(): void;
}

/**
 * Runs `body` with this thread in the network namespace that the file stands for: sockets made in it
 * stay there for good. `body` must make its sockets before it returns. Throws `failed_precondition`
 * when the namespace cannot be entered.
 */
export function inNetworkNamespace<T>(path: string, body: () => T): T {
  const home = openSync("/proc/thread-self/ns/net", constants.O_RDONLY);
  const target = openSync(path, constants.O_RDONLY);
  try {
    if (libc().setns(target, CLONE_NEWNET) !== 0) {
      throw new Fault("failed_precondition", `Cannot enter network namespace "${path}"`);
    }
    try {
      return body();
    } finally {
      // Staying in a pod's network would silently break everything after; better to end at once.
      if (libc().setns(home, CLONE_NEWNET) !== 0) process.exit(70);
    }
  } finally {
    closeSync(home);
    closeSync(target);
  }
}

/**
 * Moves this thread into the network namespace that the file stands for, for good: what it starts and
 * opens from now on is there. For a process that has nothing else to do. Throws `failed_precondition`.
 */
export function enterNetworkNamespace(path: string): void {
  let target = -1;
  try {
    target = openSync(path, constants.O_RDONLY);
    if (libc().setns(target, CLONE_NEWNET) !== 0) throw new Error(errnoName(errno()));
  } catch (cause) {
    throw new Fault("failed_precondition", `Cannot enter network namespace "${path}"`, { cause });
  } finally {
    if (target >= 0) closeSync(target);
  }
}

/**
 * Begins a TCP connection to an address from within a network namespace (null: this one). Throws
 * `unavailable` when it fails at once.
 */
export function connectInNamespace(path: string | null, ip: string, port: number): OpeningSocket {
  const open = () => {
    const fd = libc().socket(familyOf(ip), SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
    if (fd < 0) throw new Fault("resource_exhausted", "Cannot make a socket");
    return fd;
  };
  const fd = path === null ? open() : inNetworkNamespace(path, open);
  const address = writeSockaddr({ ip, port });
  const attempt = (): number => {
    if (libc().connect(fd, ptr(address), address.length) === 0) return 0;
    return errno();
  };
  const first = attempt();
  if (first !== 0 && first !== EINPROGRESS) {
    closeSync(fd);
    throw new Fault("unavailable", `Cannot connect to ${ip}:${port}: ${errnoName(first)}`);
  }
  return {
    fd,
    state() {
      // A second connect() tells how the first one goes, without another system call to learn.
      const code = attempt();
      if (code === 0 || code === EISCONN) return "connected";
      return code === EALREADY || code === EINPROGRESS ? "opening" : errnoName(code);
    },
    close: () => closeSync(fd),
  };
}

/** Whether this network leads to an address at all; nobody need be there. */
export function hasRoute(ip: string, port: number): boolean {
  try {
    connectInNamespace(null, ip, port).close();
    return true;
  } catch {
    return false; // ENETUNREACH: told at once, before anything is sent.
  }
}

/** The inode of a process's namespace; null when the process is gone or hidden. */
export function namespaceOf(pid: number | "self", kind: NamespaceKind): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    // ENOENT: the process ended.
    return null;
  }
}

/**
 * Kills every process in the network namespace that the file stands for; with `mountNamespace` only
 * those that are in that one as well. Returns how many there were.
 *
 * The kernel uses the numbers of namespaces again as soon as nobody holds them. The file holds the
 * network namespace, so its number is good for as long as the file is there; that of a mount
 * namespace whose last process has ended may already be another's, hence never alone.
 */
export function killInNamespace(networkFile: string, mountNamespace?: string): number {
  const file = statSync(networkFile, { throwIfNoEntry: false });
  if (file === undefined) return 0;
  const network = `net:[${file.ino}]`;
  let killed = 0;
  for (const pid of processes()) {
    if (namespaceOf(pid, "net") !== network) continue;
    if (mountNamespace !== undefined && namespaceOf(pid, "mnt") !== mountNamespace) continue;
    if (signalProcess(pid, "SIGKILL")) killed++;
  }
  return killed;
}

/**
 * Buries orphans: children of this process that it never started (their parent died before them).
 * `sweep` is to be called about once a second. A zombie seen twice is an orphan: the children that
 * this process did start are reaped by the runtime within milliseconds.
 */
export class OrphanReaper {
  #seen = new Set<number>();

  sweep(): number {
    const zombies = this.#zombies();
    let buried = 0;
    for (const pid of zombies) {
      if (!this.#seen.has(pid)) continue;
      if (libc().waitpid(pid, null, WNOHANG) === pid) {
        zombies.delete(pid);
        buried++;
      }
    }
    this.#seen = zombies;
    return buried;
  }

  #zombies(): Set<number> {
    const own = process.pid;
    const zombies = new Set<number>();
    for (const pid of processes()) {
      const stat = parseStat(pid);
      if (stat !== null && stat.state === "Z" && stat.parent === own) zombies.add(pid);
    }
    return zombies;
  }
}

/** The children of a process, where the kernel tells them. */
export function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text.split(" ").filter((word) => word.trim() !== "").map(Number);
  } catch {
    // ENOENT: it ended, or the kernel was built without this file.
    return [];
  }
}

/**
 * A text that stands for a living process and for no other one, since ids are used again: its id and
 * when it began. null when there is no such process.
 */
export function processStamp(pid: number): string | null {
  const stat = parseStat(pid);
  return stat === null || stat.state === "Z" ? null : `${pid} ${stat.began}`;
}

function processes(): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
}

/** What we read of `/proc/<pid>/stat`; `began` is in clock ticks since the machine's start. */
interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  readonly began: string;
}

function parseStat(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name stands in parentheses and may hold anything, closing parentheses too.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [state = "", parent = "0"] = fields;
    return { state, parent: Number(parent), began: fields[19] ?? "" };
  } catch {
    // ENOENT: the process ended while we looked.
    return null;
  }
}

type Libc = ReturnType<typeof loadLibc>;
let loaded: Libc | undefined;

function libc(): Libc {
  return loaded ??= loadLibc();
}

function loadLibc() {
  const { i32, ptr: pointer, u32 } = FFIType;
  return dlopen("libc.so.6", {
    setns: { args: [i32, i32], returns: i32 },
    socket: { args: [i32, i32, i32], returns: i32 },
    connect: { args: [i32, pointer, u32], returns: i32 },
    waitpid: { args: [i32, pointer, i32], returns: i32 },
    __errno_location: { args: [], returns: pointer },
  }).symbols;
}

function errnoName(code: number): string {
  return code === 111 ? "connection refused" : code === 113 ? "no route" : `error ${code}`;
}

function errno(): number {
  const location = libc().__errno_location();
  return location === null ? 0 : read.i32(location);
}
