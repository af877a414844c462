/**
 * The asking side of a relay: hands an accepted connection over the unix socket to the other process,
 * or asks it for the addresses of a name.
 */

import type { Clock, Timer } from "../host/clock.ts";
import type { Conn, ConnHandler } from "../host/net.ts";
import { connectUnix } from "../host/unix-net.ts";
import { Leg, splice } from "./relay-leg.ts";
import {
  decodeResolved,
  decodeStatus,
  encodeRequest,
  type RelayRequest,
  type RelayStatus,
  type ResolvedName,
} from "./relay-protocol.ts";

/** Longer than the other side tries to connect. */
const ANSWER_TIMEOUT_MS = 35_000;

/** The longest answer to a question: a DNS message over TCP has two bytes for its length. */
const ANSWER_BYTES_MAX = 65_536;

const FAILED: ResolvedName = { status: "failed", addresses: [], ttlSeconds: 0 };

/** Called once when the hand-over has failed; the accepted connection is reset by then. */
export type RelayFailed = (status: RelayStatus) => void;

/**
 * Hands over an accepted connection that nobody has read from yet. When the other side cannot connect,
 * the connection is reset: its maker believes it established, and a reset is what comes closest to
 * a refusal.
 */
export function handOver(
  accepted: Conn<Leg>,
  path: string,
  request: RelayRequest,
  clock: Clock,
  failed: RelayFailed,
): void {
  const client = accepted.data;
  const relay = new Leg();
  client.conn = accepted;
  accepted.pause();
  let timer: Timer | null = null;
  function give(status: RelayStatus): void {
    if (timer === null) return;
    timer.cancel();
    timer = null;
    client.conn?.destroy(true);
    asked.destroy();
    failed(status);
  }
  timer = clock.after(ANSWER_TIMEOUT_MS, () => give("timeout"));
  accepted.handler = {
    open() {},
    secure() {},
    data: (_conn, chunk) => void relay.send(chunk),
    drain() {},
    end: () => relay.finish(),
    close() {
      client.release();
      give("bad");
    },
  };
  const asking: ConnHandler<Leg> = {
    open(conn) {
      const line = encodeRequest(request);
      // A fresh socket's buffer holds one line, so there is no short write to care for.
      conn.write(line, 0, line.length);
    },
    secure() {},
    data(conn, chunk) {
      const status = decodeStatus(chunk[0] ?? 0);
      if (status !== "ok") return give(status);
      timer?.cancel();
      timer = null;
      if (client.conn === null) return conn.destroy();
      relay.conn = conn;
      splice(client, relay);
      // The other side may have been faster with its first bytes than we with reading.
      if (chunk.length > 1 && !client.send(chunk.slice(1))) conn.pause();
      if (!relay.flush()) accepted.pause();
    },
    drain() {},
    end: () => give("bad"),
    close: () => give("unreachable"),
  };
  const asked = connectUnix(path, asking, relay);
}

/** Asks for the addresses of a name; never rejects. */
export async function resolveOver(
  path: string,
  name: string,
  clock: Clock,
): Promise<ResolvedName> {
  const bytes = await ask(path, { kind: "resolve", name }, clock);
  return bytes === null ? FAILED : decodeResolved(new TextDecoder().decode(bytes)) ?? FAILED;
}

/** Asks the machine's name server; resolves to null when none answered. */
export function queryOver(
  path: string,
  packet: Uint8Array,
  clock: Clock,
): Promise<Uint8Array | null> {
  return ask(path, { kind: "query", packet }, clock);
}

/** Asks a question whose answer ends with its connection; null: it was not answered. */
function ask(path: string, request: RelayRequest, clock: Clock): Promise<Uint8Array | null> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    let whole = false;
    const timer = clock.after(ANSWER_TIMEOUT_MS, () => conn.destroy());
    const conn = connectUnix<null>(path, {
      open(opened) {
        const line = encodeRequest(request);
        opened.write(line, 0, line.length);
      },
      secure() {},
      data(opened, chunk) {
        chunks.push(chunk.slice());
        length += chunk.length;
        if (length > ANSWER_BYTES_MAX) opened.destroy();
      },
      drain() {},
      end(opened) {
        whole = true;
        opened.destroy();
      },
      close() {
        timer.cancel();
        const bytes = joinBytes(chunks, length);
        const good = whole && length > 1 && decodeStatus(bytes[0] ?? 0) === "ok";
        resolve(good ? bytes.subarray(1) : null);
      },
    }, null);
  });
}

function joinBytes(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
