/** The mesh's DNS server: carries queries and answers over UDP and TCP on one address. */

import { DNS_CONNECTIONS_MAX, DNS_PENDING_BYTES_MAX, DNS_QUERIES_MAX } from "../base/limits.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { bindUdp } from "../host/dgram.ts";
import type { Conn, ConnHandler, Net } from "../host/net.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DnsResponder } from "./dns-answer.ts";

/** What the server needs. */
export interface DnsServerOptions {
  readonly listen: SocketAddress;
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Logger;
  readonly responder: DnsResponder;
}

/** A running server. */
export interface DnsServer {
  readonly address: SocketAddress;
  stop(): void;
}

/** A client may keep its connection this long without asking (RFC 7766 §6.2.3: some seconds). */
const IDLE_MS = 10_000;

/** The length before each message on TCP has two bytes. */
const MESSAGE_BYTES_MAX = 65_535;

/** One TCP client. */
interface Client {
  input: Uint8Array;
  /** Answers that the socket has not taken yet. */
  output: Uint8Array;
  ended: boolean;
  answering: number;
  timer: Timer | null;
}

/** Starts the server. Rejects with `unavailable` when the address is taken. */
export async function serveDns(options: DnsServerOptions): Promise<DnsServer> {
  const { listen, net, log, responder } = options;
  let underWay = 0;
  const ask = async (
    bytes: Uint8Array,
    bytesMax: number | null,
    answered: (reply: Uint8Array | null) => void,
  ): Promise<void> => {
    if (underWay >= DNS_QUERIES_MAX) return answered(null);
    underWay++;
    try {
      answered(await responder.answer(bytes, bytesMax));
    } catch (cause) {
      log.error("answering a DNS query failed", { error: String(cause) });
      answered(null);
    } finally {
      underWay--;
    }
  };
  const udp = await bindUdp(listen, (bytes, from) => {
    void ask(bytes, null, (reply) => {
      if (reply !== null) udp.send(reply, from);
    });
  });
  try {
    const address = udp.address;
    const tcp = net.listen(address, new TcpHandler(options.clock, ask), newClient);
    return {
      address,
      stop() {
        udp.stop();
        tcp.stop();
      },
    };
  } catch (cause) {
    udp.stop();
    throw cause;
  }
}

type Ask = (
  bytes: Uint8Array,
  bytesMax: number,
  answered: (reply: Uint8Array | null) => void,
) => Promise<void>;

class TcpHandler implements ConnHandler<Client> {
  readonly #clock: Clock;
  readonly #ask: Ask;
  #open = 0;

  constructor(clock: Clock, ask: Ask) {
    this.#clock = clock;
    this.#ask = ask;
  }

  open(conn: Conn<Client>): void {
    if (++this.#open > DNS_CONNECTIONS_MAX) return conn.destroy();
    this.#wait(conn);
  }

  secure(): void {}

  data(conn: Conn<Client>, chunk: Uint8Array): void {
    const client = conn.data;
    client.input = join(client.input, chunk);
    if (client.input.length > DNS_PENDING_BYTES_MAX) return conn.destroy();
    this.#wait(conn);
    for (let message = takeMessage(client); message !== null; message = takeMessage(client)) {
      client.answering++;
      void this.#ask(message, MESSAGE_BYTES_MAX, (reply) => {
        client.answering--;
        if (reply !== null) this.#send(conn, reply);
        this.#endWhenDone(conn);
      });
    }
  }

  drain(conn: Conn<Client>): void {
    const client = conn.data;
    const taken = conn.write(client.output, 0, client.output.length);
    if (taken > 0) client.output = client.output.subarray(taken);
    this.#endWhenDone(conn);
  }

  end(conn: Conn<Client>): void {
    conn.data.ended = true;
    this.#endWhenDone(conn);
  }

  close(conn: Conn<Client>): void {
    this.#open--;
    conn.data.timer?.cancel();
  }

  #send(conn: Conn<Client>, reply: Uint8Array): void {
    const client = conn.data;
    const framed = new Uint8Array(2 + reply.length);
    new DataView(framed.buffer).setUint16(0, reply.length);
    framed.set(reply, 2);
    const waiting = client.output.length > 0;
    client.output = join(client.output, framed);
    if (client.output.length > DNS_PENDING_BYTES_MAX) return conn.destroy();
    if (!waiting) this.drain(conn);
  }

  #wait(conn: Conn<Client>): void {
    conn.data.timer?.cancel();
    conn.data.timer = this.#clock.after(IDLE_MS, () => conn.destroy());
  }

  #endWhenDone(conn: Conn<Client>): void {
    const { ended, answering, output } = conn.data;
    if (ended && answering === 0 && output.length === 0) conn.shutdown();
  }
}

function newClient(): Client {
  const nothing = new Uint8Array(0);
  return { input: nothing, output: nothing, ended: false, answering: 0, timer: null };
}

/** The next whole message that the client has sent; null: there is none yet. */
function takeMessage(client: Client): Uint8Array | null {
  const { input } = client;
  if (input.length < 2) return null;
  const end = 2 + new DataView(input.buffer, input.byteOffset).getUint16(0);
  if (input.length < end) return null;
  client.input = input.subarray(end);
  return input.slice(2, end);
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
