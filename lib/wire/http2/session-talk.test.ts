/** Two sessions that talk at random: nothing is lost or mixed, whatever is reset, and whenever. */

import { expect, test } from "bun:test";
import { Prng } from "../../base/prng.ts";
import { connected, type MemoryPeer, type TestStream } from "../../../test/support/http2-peers.ts";

const RUNS = 15;
const STREAMS = 12;
const STEPS = 400;

/** Bytes that say where in a body they stand. */
const PERIOD = 30_011;
const PATTERN = Array.from(
  { length: PERIOD },
  (_, at) => String.fromCharCode(0x61 + (at * at + at) % 26),
).join("").repeat(8);

/** What one side sends on a stream; `ended` when all of it has been given to the session. */
interface Half {
  text: string;
  ended: boolean;
}

/** Both halves of one stream, by its id. */
class Talk {
  readonly prng: Prng;
  readonly client: MemoryPeer;
  readonly server: MemoryPeer;
  readonly requests = new Map<number, Half>();
  readonly responses = new Map<number, Half>();
  readonly resets = new Set<number>();

  constructor(seed: number) {
    this.prng = new Prng(seed);
    const { client, server } = connected();
    this.client = client;
    this.server = server;
    client.consumes = false;
    server.consumes = false;
  }

  /** One thing that either side does. */
  step(): void {
    const { prng, client, server } = this;
    switch (prng.below(8)) {
      case 0:
        if (this.requests.size < STREAMS) this.#ask();
        break;
      case 1:
        this.#send(client, this.requests);
        break;
      case 2:
        this.#send(server, this.responses);
        break;
      case 3:
        if (prng.chance(0.1)) this.#reset(prng.pick([client, server]));
        break;
      case 4:
        consume(client, prng.below(60_000));
        break;
      case 5:
        consume(server, prng.below(60_000));
        break;
      case 6:
        this.#carry(client, server);
        break;
      default:
        this.#carry(server, client);
    }
  }

  /** Both sides finish what they have begun, and read everything. */
  finish(): void {
    const { client, server } = this;
    for (let rounds = 0; client.session.streams.size + server.session.streams.size > 0; rounds++) {
      expect(rounds).toBeLessThan(2_000);
      this.#carry(client, server);
      this.#carry(server, client);
      for (const stream of server.session.streams.values()) {
        if (!this.responses.has(stream.id)) this.#answer(stream);
      }
      for (const [peer, halves] of [[client, this.requests], [server, this.responses]] as const) {
        for (const [id, half] of halves) {
          const stream = peer.session.streams.get(id);
          if (!half.ended && stream !== undefined) this.#say(peer, stream, half, true);
        }
        consume(peer, Infinity);
      }
    }
  }

  #ask(): void {
    const half: Half = { text: "", ended: false };
    const stream = this.client.ask("POST / HTTP/1.1\r\nHost: a", false);
    this.requests.set(stream.id, half);
  }

  #answer(stream: TestStream): void {
    this.responses.set(stream.id, { text: "", ended: false });
    this.server.answer(stream, `HTTP/1.1 200 OK\r\nX-Stream: ${stream.id}`, false);
  }

  #send(peer: MemoryPeer, halves: Map<number, Half>): void {
    const streams = peer.session.streams.values();
    if (streams.length === 0) return;
    const stream = this.prng.pick(streams);
    if (halves === this.responses && !halves.has(stream.id)) return this.#answer(stream);
    const half = halves.get(stream.id);
    if (half === undefined || half.ended) return;
    this.#say(peer, stream, half, this.prng.chance(0.1));
  }

  #say(peer: MemoryPeer, stream: TestStream, half: Half, last: boolean): void {
    const at = half.text.length;
    const length = this.prng.pick([0, 1, 500, 30_000, 150_000]);
    const from = (at + stream.id * 1_000) % PERIOD;
    const part = PATTERN.slice(from, from + length);
    half.text += part;
    half.ended = last;
    const isTrailers = last && this.prng.chance(0.5);
    peer.body(stream, part, last && !isTrailers);
    if (isTrailers) peer.ending(stream, [["x-length", String(half.text.length)]]);
  }

  #reset(peer: MemoryPeer): void {
    const streams = peer.session.streams.values();
    if (streams.length === 0) return;
    const stream = this.prng.pick(streams);
    this.resets.add(stream.id);
    peer.session.reset(stream, this.prng.pick([0, 2, 8]));
  }

  /** A part of what one side has written arrives; the rest stays behind it. */
  readonly #onWay = new Map<MemoryPeer, Uint8Array[]>();
  #carry(from: MemoryPeer, to: MemoryPeer): void {
    const way = this.#onWay.get(from) ?? [];
    this.#onWay.set(from, way);
    const taken = from.take();
    for (let at = 0; at < taken.length;) {
      const end = Math.min(taken.length, at + this.prng.pick([1, 9, 100, 5_000, 50_000]));
      way.push(taken.slice(at, end));
      at = end;
    }
    for (let count = this.prng.between(1, 20); count > 0 && way.length > 0; count--) {
      to.receive(way.shift()!);
    }
  }
}

function consume(peer: MemoryPeer, most: number): void {
  for (const stream of peer.session.streams.values()) {
    peer.session.consumed(stream, Math.min(stream.held, most));
  }
}

/** The body of a stream as a side saw it, and whether it saw the end. */
function heard(peer: MemoryPeer, id: number): Half {
  const lines = peer.log.filter((line) => line.split(" ")[1] === String(id));
  const data = lines.filter((line) => line.startsWith("data "));
  const text = data.map((line) => line.replace(/^data \d+ /, "").replaceAll(" END", "")).join("");
  const ended = lines.some((line) => line.startsWith("trailers ") || line.endsWith(" END"));
  return { text, ended };
}

test("what arrives is what was sent, in its order, on its stream", () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const talk = new Talk(seed);
    for (let i = 0; i < STEPS; i++) talk.step();
    talk.finish();
    const { client, server } = talk;
    expect([seed, client.session.failed, server.session.failed]).toEqual([seed, null, null]);
    for (const [peer, halves] of [[server, talk.requests], [client, talk.responses]] as const) {
      for (const [id, sent] of halves) {
        const got = heard(peer, id);
        const isWhole = got.ended && got.text === sent.text;
        const isPart = talk.resets.has(id) && sent.text.startsWith(got.text);
        expect([seed, id, isWhole || isPart]).toEqual([seed, id, true]);
      }
    }
  }
});
