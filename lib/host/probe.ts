/**
 * One-shot connections for health checks, made from within a pod's network namespace: to the pod's own
 * address they go over its loopback, so no redirect touches them and the program itself answers.
 */

import { connectInNamespace, type OpeningSocket } from "./namespace.ts";

/** Where and how long to ask. */
export interface ProbeTarget {
  /** The file of the network namespace; null: that of this process. */
  readonly namespace: string | null;
  readonly ip: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** What came of it: the first bytes of the answer, or why there is none. */
export type ProbeAnswer =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly reason: string };

/** Enough of an answer for a status line. */
const ANSWER_BYTES_MAX = 4096;
/** How often an unfinished connection is looked at; on a loopback nearly all are made at once. */
const POLL_MS = 5;

/** Whether something accepts connections there. */
export function probeConnect(target: ProbeTarget): Promise<ProbeAnswer> {
  return exchange(target, null, false);
}

/** Sends a request and gives the beginning of the answer, up to its first line break. */
export function probeRequest(
  target: ProbeTarget,
  request: string,
  tls: boolean,
): Promise<ProbeAnswer> {
  return exchange(target, new TextEncoder().encode(request), tls);
}

async function exchange(
  target: ProbeTarget,
  request: Uint8Array | null,
  tls: boolean,
): Promise<ProbeAnswer> {
  const deadline = performance.now() + target.timeoutMs;
  const late = { ok: false, reason: `no answer within ${target.timeoutMs} ms` } as const;
  const opening = tryConnect(target);
  if (typeof opening === "string") return { ok: false, reason: opening };
  let state = opening.state();
  while (state === "opening" && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    state = opening.state();
  }
  if (state !== "connected" || request === null) {
    opening.close();
    if (state === "connected") return { ok: true, text: "" };
    return state === "opening" ? late : { ok: false, reason: state };
  }
  return await converse(opening.fd, request, tls, deadline - performance.now(), late);
}

function tryConnect(target: ProbeTarget): OpeningSocket | string {
  try {
    return connectInNamespace(target.namespace, target.ip, target.port);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function converse(
  fd: number,
  request: Uint8Array,
  tls: boolean,
  timeoutMs: number,
  late: ProbeAnswer,
): Promise<ProbeAnswer> {
  const { promise, resolve } = Promise.withResolvers<ProbeAnswer>();
  let text = "";
  let socket: Bun.Socket<undefined> | undefined;
  const finish = (answer: ProbeAnswer) => {
    clearTimeout(timer);
    resolve(answer);
    socket?.terminate();
  };
  const timer = setTimeout(() => finish(late), Math.max(1, timeoutMs));
  const fail = (reason: string) => finish({ ok: false, reason });
  // Bun connects an open descriptor; its types know that for listeners only.
  const options = {
    fd,
    hostname: "",
    port: 0,
    ...(tls ? { tls: { rejectUnauthorized: false } } : {}),
    socket: {
      open(opened) {
        socket = opened;
        if (!tls) opened.write(request);
      },
      handshake: (opened) => void opened.write(request),
      data(_socket, chunk) {
        text += chunk.toString("latin1");
        if (text.includes("\n") || text.length > ANSWER_BYTES_MAX) finish({ ok: true, text });
      },
      close: () => fail("the connection was closed without an answer"),
      error: (_socket, error) => fail(error.message),
    },
  } satisfies Bun.TCPSocketConnectOptions<undefined> & { readonly fd: number };
  Bun.connect<undefined>(options).catch((error: unknown) => fail(String(error)));
  return promise;
}
