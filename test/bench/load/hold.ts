/**
 * Holds idle connections: opens so many to an address, plain or by mutual TLS, asks once on each, waits
 * for the answers and then stays until it is ended. Run by itself, it takes its settings as one word of
 * JSON and makes a file when it holds all connections.
 */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { createBunNet } from "../../../lib/host/bun-net.ts";
import type { ConnHandler, TlsClientOptions } from "../../../lib/host/net.ts";
import type { SocketAddress } from "../../../lib/mesh/address.ts";
import { type Node, type Program, until } from "../../support/lab.ts";
import { LOAD_CORE, type Place } from "../place.ts";

/** What to hold. */
export interface HoldOptions {
  readonly address: SocketAddress;
  readonly connections: number;
  /** What is said first on each, in hexadecimal; its peer must answer something. */
  readonly hello: string;
  readonly tls?: TlsClientOptions;
}

/** How long opening all may take. */
const HOLD_LIMIT_MS = 120_000;
/** Connections that are being opened at a time. */
const OPENING_MAX = 16;
const CONNECT_TIMEOUT_MS = 10_000;

if (import.meta.main) {
  const [, , options = "{}", file = ""] = process.argv;
  hold(JSON.parse(options) as HoldOptions, () => writeFileSync(file, ""));
}

/** Starts a process in a namespace that holds connections; resolves when it does. */
export async function startHolding(
  place: Place,
  from: Pick<Node, "start">,
  options: HoldOptions,
): Promise<Program> {
  const file = `${place.lab.home}/held-${place.name}`;
  rmSync(file, { force: true });
  const command = [process.execPath, import.meta.path, JSON.stringify(options), file];
  const holder = place.keep(from.start(command, { core: LOAD_CORE }));
  let ended: number | null = null;
  void holder.exited.then((code) => ended = code);
  await until(`${options.connections} connections are held`, async () => {
    if (ended !== null) throw new Error(`cannot hold connections: ${await holder.output()}`);
    return existsSync(file);
  }, HOLD_LIMIT_MS);
  return holder;
}

function hold({ address, connections, hello, tls }: HoldOptions, held: () => void): void {
  const net = createBunNet();
  const bytes = Uint8Array.fromHex(hello);
  let [opened, answered] = [0, 0];
  const handler: ConnHandler<{ isAnswered: boolean }> = {
    open: (conn) => tls === undefined && void conn.write(bytes, 0, bytes.length),
    secure: (conn) => void conn.write(bytes, 0, bytes.length),
    data(conn) {
      if (conn.data.isAnswered) return;
      conn.data.isAnswered = true;
      if (++answered === connections) held();
      else openNext();
    },
    drain() {},
    end: () => fail("the peer has ended a connection"),
    close: (_conn, reason) => fail(`a connection is closed: ${reason}`),
  };
  const openNext = () => {
    if (opened++ >= connections) return;
    const options = {
      address,
      timeoutMs: CONNECT_TIMEOUT_MS,
      ...(tls === undefined ? {} : { tls }),
    };
    net.connect(options, handler, { isAnswered: false });
  };
  for (let i = 0; i < OPENING_MAX; i++) openNext();
}

function fail(message: string): never {
  console.log(message);
  process.exit(1);
}
