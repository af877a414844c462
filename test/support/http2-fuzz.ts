/**
 * The fuzz target of HTTP/2 sessions: a seed makes an input out of the corpus, a way to cut it, and a
 * user who answers, resets and consumes by chance. Nothing may throw or hang, no window may be overdrawn
 * (the referee of `http2-peers.ts`), memory stays bounded, and how the input was cut changes nothing.
 */

import {
  CONNECTION_HELD_BYTES_MAX,
  CONNECTION_WINDOW_BYTES,
  STREAMS_PER_CONNECTION_MAX,
} from "../../lib/base/limits.ts";
import { Prng } from "../../lib/base/prng.ts";
import { PREFACE } from "../../lib/wire/http2/frame.ts";
import { CLIENT_CORPUS, SERVER_CORPUS } from "./http2-corpus.ts";
import { MemoryPeer, type TestStream } from "./http2-peers.ts";
import { joined } from "./raw-http2.ts";

const REQUESTS = 5;
/** Numbers that are limits of something. */
const EDGES = [0, 1, 2, 4, 5, 8, 9, 0x7f, 0x80, 0xff];

/** One run; throws with what went wrong. */
export function fuzzSession(seed: number): void {
  const prng = new Prng(seed);
  const isServer = prng.chance(0.5);
  const input = inputOf(prng, isServer);
  live(isServer, input, prng);
  const [first, second] = [0, 1].map((turn) => {
    const peer = peerOf(isServer);
    if (turn === 0) peer.receive(input);
    else for (const part of cut(prng, input)) peer.receive(part);
    return JSON.stringify([peer.session.failed, meaningOf(peer.log)]);
  });
  if (first !== second) {
    throw new Error(`cut in pieces it means another thing:\n${first}\n${second}`);
  }
}

/** How much came of a body before its stream was reset is left to chance. */
function meaningOf(log: readonly string[]): string[] {
  const resets = log.filter((line) => line.startsWith("reset ")).map((line) => line.split(" ")[1]);
  return log.filter((line) => {
    const [kind, id] = line.split(" ");
    return kind !== "data" || !resets.includes(id);
  });
}

/** A side under test; a client has asked, with a body that goes on or without one. */
function peerOf(isServer: boolean): MemoryPeer {
  const peer = new MemoryPeer(isServer);
  peer.session.start();
  for (let i = 0; i < REQUESTS && !isServer; i++) {
    const isPost = i % 2 === 0;
    const method = isPost ? "POST" : i === 1 ? "HEAD" : "GET";
    const stream = peer.ask(`${method} / HTTP/1.1\r\nHost: a`, !isPost);
    if (isPost) peer.body(stream, new Uint8Array(20_000), false);
  }
  peer.take();
  return peer;
}

/** Feeds the input while a user does whatever comes to mind. */
function live(isServer: boolean, input: Uint8Array, prng: Prng): void {
  const peer = peerOf(isServer);
  const { session } = peer;
  peer.consumes = prng.chance(0.5);
  peer.onEvent = (kind, stream) => {
    if (session.failed !== null) return;
    if (stream !== null && kind !== "reset" && prng.chance(0.4)) act(peer, stream, prng);
  };
  for (const part of cut(prng, input)) {
    const before = peer.log.length;
    const wasOver = session.failed !== null;
    peer.receive(part);
    if (wasOver && peer.log.length > before) throw new Error("an event behind the end");
    if (session.failed === null) {
      for (const stream of session.streams.values()) {
        if (prng.chance(0.2)) act(peer, stream, prng);
      }
    }
    checkBounds(peer, input.length);
    if (prng.chance(0.7)) peer.take();
  }
}

function act(peer: MemoryPeer, stream: TestStream, prng: Prng): void {
  const { session } = peer;
  if (stream.closed) return;
  const isHeaded = sent.has(stream);
  switch (prng.below(6)) {
    case 0:
      if (session.isServer && !isHeaded) {
        sent.add(stream);
        peer.answer(stream, "HTTP/1.1 200 OK\r\nX: y", prng.chance(0.3));
      }
      break;
    case 1:
    case 2:
      if ((isHeaded || !session.isServer) && !stream.localEnded) {
        const length = prng.pick([0, 1, 100, 70_000]);
        peer.body(stream, new Uint8Array(length), prng.chance(0.3));
      }
      break;
    case 3:
      if ((isHeaded || !session.isServer) && !stream.localEnded) peer.ending(stream, [["t", "1"]]);
      break;
    case 4:
      if (prng.chance(0.2)) session.reset(stream, prng.pick([0, 2, 8]));
      break;
    default:
      if (!peer.consumes) session.consumed(stream, prng.below(stream.held + 1));
  }
}

/** Streams whose response's head has been sent. */
const sent = new WeakSet<TestStream>();

function checkBounds(peer: MemoryPeer, inputLength: number): void {
  const { streams, sender } = peer.session;
  if (streams.size > STREAMS_PER_CONNECTION_MAX) throw new Error("too many streams");
  // What is written is answers: heads and frames of the size of what came, and bounded bodies.
  if (sender.out.length > 400_000 + 20 * inputLength) throw new Error("too much is written");
  let held = 0;
  for (const stream of streams.values()) {
    if (stream.closed) throw new Error("a closed stream is kept");
    if (stream.held < 0 || stream.queue.length < 0) throw new Error("a negative amount is held");
    if (stream.sendWindow > 2 ** 31 - 1) throw new Error("a window above all limits");
    held += stream.held;
  }
  if (held > CONNECTION_HELD_BYTES_MAX + CONNECTION_WINDOW_BYTES) {
    throw new Error("too much is held");
  }
}

/** Some frames of the corpus, changed, as the bytes of one connection. */
function inputOf(prng: Prng, isServer: boolean): Uint8Array {
  const corpus = isServer ? CLIENT_CORPUS : SERVER_CORPUS;
  let frames = [...prng.pick(corpus)];
  for (let more = prng.below(3); more > 0; more--) frames.push(...prng.pick(corpus).slice(1));
  for (let edits = prng.below(5); edits > 0; edits--) frames = edited(prng, frames);
  const bytes = joined(isServer ? [PREFACE, ...frames] : frames);
  return prng.chance(0.2) ? changed(prng, bytes) : bytes;
}

function edited(prng: Prng, frames: readonly Uint8Array[]): Uint8Array[] {
  const at = prng.below(frames.length);
  const other = prng.below(frames.length);
  const copy = [...frames];
  switch (prng.below(6)) {
    case 0:
      copy.splice(at, 1);
      break;
    case 1:
      copy.splice(at, 0, frames[other]!);
      break;
    case 2:
      [copy[at], copy[other]] = [frames[other]!, frames[at]!];
      break;
    case 3:
      // The same frame many times.
      copy.splice(at, 0, ...new Array<Uint8Array>(prng.pick([3, 20, 200])).fill(frames[at]!));
      break;
    case 4:
      copy[at] = withHead(prng, frames[at]!);
      break;
    default:
      copy[at] = changed(prng, frames[at]!);
  }
  return copy.length > 0 ? copy : [...frames];
}

/** Another type, flags, stream or length. */
function withHead(prng: Prng, frame: Uint8Array): Uint8Array {
  const made = Uint8Array.from(frame);
  switch (prng.below(4)) {
    case 0:
      made[3] = prng.below(12);
      break;
    case 1:
      made[4] = prng.below(256);
      break;
    case 2:
      made[8] = prng.pick([0, 1, 2, 3, 5, 7, 9, 11, 99]);
      break;
    default:
      made[2] = made[2]! + prng.between(-3, 3);
  }
  return made;
}

/** A few bytes changed, removed or put in. */
function changed(prng: Prng, bytes: Uint8Array): Uint8Array {
  const made = [...bytes];
  for (let edits = prng.between(1, 4); edits > 0; edits--) {
    const at = prng.below(made.length + 1);
    const value = prng.chance(0.5) ? prng.pick(EDGES) : prng.below(256);
    made.splice(at, prng.below(3), ...(prng.chance(0.7) ? [value] : []));
  }
  return Uint8Array.from(made);
}

function cut(prng: Prng, bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + prng.pick([1, 3, 9, 30, 1_000, 30_000]));
    parts.push(bytes.slice(at, end));
    at = end;
  }
  return parts;
}
