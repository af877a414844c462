/**
 * One end of a simulated connection: `lib/host/net.ts` to the letter, and as unkind as that allows.
 * Handlers are called from the world's queue alone, but for `close`, which comes within `destroy` as on
 * the real host. Reads and writes are short by chance; bytes arrive in order, late.
 */

import type { SocketAddress } from "../../lib/mesh/address.ts";
import type {
  CloseReason,
  Conn,
  ConnHandler,
  TlsClientOptions,
  TlsServerOptions,
} from "../../lib/host/net.ts";
import { Channel } from "./channel.ts";
import type { Entry } from "./heap.ts";
import {
  type Certificates,
  clientHello,
  finished,
  isTrusted,
  readHello,
  readServerHello,
  RecordReader,
  serverHello,
  type SimCertificate,
} from "./tls.ts";
import { Violation, type World } from "./world.ts";

/** As on the real host. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long the kernel takes to notice that a peer has vanished. */
const VANISHED_MS = 20_000;
/** When the kernel has forgotten a closed end, the other end's keep-alive probe is answered by RST. */
const ORPHANED_MS = 70_000;
/** Between RST and when the owner looks at its sockets, which a busy one does late. */
const TOLD_MS = 50;
/** Reads of a few bytes; more of them tell nothing new, and cost much. */
const SMALL_READ_BYTES = 20;
/** Behind this many bytes of a direction, small reads become rare. */
const SMALL_READS_UNTIL = 3_000;

/** How a connection behaves. */
export interface Link {
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** Bytes that a direction holds before the writer has to wait. */
  readonly capacity: number;
  /** Chance that a read brings a few bytes only. */
  readonly smallReads: number;
  readonly readMax: number;
  /** Chance that a write takes less than there is room for. */
  readonly shortWrites: number;
  /** It is reset, or nothing arrives any more, when so many bytes have been read on either side. */
  readonly resetAtByte: number;
  readonly silentAtByte: number;
}

/** Bytes that came to somebody and that he has written, all connections together. */
export interface Flow {
  came: number;
  went: number;
}

/** What an end needs of its network. */
export interface Habitat {
  readonly world: World;
  readonly certificates: Certificates;
  /** Ends that are not closed. */
  readonly open: Set<SimConn>;
  /** What an owner has read and written so far. */
  flowOf(owner: string): Flow;
  /** Whether a handler's call belongs to somebody under test, for the trace. */
  label(conn: SimConn): string;
}

/** One end. */
export class SimConn implements Conn<unknown> {
  data: unknown;
  handler: ConnHandler<unknown>;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  readonly link: Link;
  /** Who holds this end. */
  readonly owner: string;
  readonly serial: number;
  peer: SimConn | null = null;
  incoming: Channel;
  outgoing: Channel;
  opened = false;
  closed = false;
  /** The peer's FIN has been told. */
  ended = false;
  shut = false;
  paused = false;
  /** An end of a pair can be written to at once. */
  isPair = false;
  original: SocketAddress | null = null;
  tlsClient: TlsClientOptions | null = null;
  readonly #habitat: Habitat;
  readonly #flow: Flow;
  #tlsServer: TlsServerOptions | null = null;
  #securing = false;
  readonly #record = new RecordReader();
  /** What the server learned from the client's first message. */
  #hello: ReturnType<typeof readHello> = null;
  #alpn: string | null = null;
  #reading: Entry | null = null;
  #draining = false;
  #closing = false;
  /** RST has come, and the owner has not been told yet. */
  #isReset = false;
  #timer: Entry | null = null;

  constructor(
    habitat: Habitat,
    owner: string,
    link: Link,
    addresses: { readonly remote: SocketAddress; readonly local: SocketAddress },
    handler: ConnHandler<unknown>,
    data: unknown,
  ) {
    this.#habitat = habitat;
    this.owner = owner;
    this.#flow = habitat.flowOf(owner);
    this.link = link;
    this.remote = addresses.remote;
    this.local = addresses.local;
    this.handler = handler;
    this.data = data;
    this.incoming = new Channel(link.capacity);
    this.outgoing = new Channel(link.capacity);
    this.serial = habitat.world.prng.uint32() % 100_000;
    habitat.open.add(this);
  }

  // What the owner calls.

  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.closed || this.#isReset) return -1;
    const isReady = (this.opened || this.isPair) && !this.#securing;
    if (!isReady) this.#violated("a write before the connection is ready");
    if (this.shut) this.#violated("a write behind FIN");
    if (offset < 0 || length < 0 || offset + length > bytes.length) {
      this.#violated(`a write of [${offset}, ${offset + length}) of ${bytes.length} bytes`);
    }
    const { prng } = this.#habitat.world;
    const { outgoing } = this;
    const { room } = outgoing;
    let took = Math.min(room, length);
    if (took > 0 && this.link.shortWrites > 0 && prng.chance(this.link.shortWrites)) {
      took = prng.below(took + 1);
    }
    this.#flow.went += took;
    this.#send(bytes, offset, took);
    if (took === length) return took;
    outgoing.isAwaited = true;
    if (room > took) this.#drainLater();
    this.#note(() => `took ${took} of ${length}`);
    return took;
  }

  shutdown(): void {
    if (this.closed || this.shut) return;
    if (!(this.opened || this.isPair) || this.#securing) {
      this.#violated("shutdown before it is ready");
    }
    this.#note(() => "shutdown");
    this.shut = true;
    this.outgoing.finish(this.#arrivalMs());
    this.peer?.wake();
    if (this.ended) this.#closeSoon();
  }

  destroy(reset = false): void {
    if (this.closed) return;
    this.#note(() => reset ? "reset" : "destroy");
    const { peer } = this;
    if (peer !== null && !peer.closed) {
      const isUnread = this.incoming.taken > this.incoming.read;
      if (reset || isUnread) peer.resetLater(this.#delayMs());
      else {
        if (!this.shut) this.outgoing.finish(this.#arrivalMs());
        peer.wake();
        peer.resetWhenForgotten();
      }
    }
    this.finish("local");
  }

  pause(): void {
    if (this.paused) return;
    this.#note(() => "pause");
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.#note(() => "resume");
    this.paused = false;
    this.wake();
  }

  originalDestination(): SocketAddress | null {
    return this.original;
  }

  startTls(options: TlsServerOptions): void {
    if (this.closed) return;
    if (this.incoming.read > 0) this.#violated("TLS behind bytes that were read");
    this.#tlsServer = options;
    this.#beginHandshake();
  }

  // What the network calls.

  /** The connection is made: tells its owner. */
  establish(): void {
    if (this.closed) return;
    this.#stopTimer();
    this.opened = true;
    this.#note(() => "open");
    this.handler.open(this);
    if (this.closed) return;
    const { tlsClient } = this;
    if (tlsClient !== null) {
      this.#beginHandshake();
      const certificate = this.#habitat.certificates.of(tlsClient);
      this.#sendAll(clientHello(tlsClient, certificate));
    }
    this.wake();
  }

  /** Ends the attempt if it takes longer. */
  startTimer(delayMs: number, reason: CloseReason): void {
    this.#timer = this.#habitat.world.schedule(delayMs, () => {
      this.peer?.resetLater(this.#delayMs());
      this.finish(reason);
    }, true);
  }

  /** RST comes from the peer. */
  resetLater(delayMs: number): void {
    this.#habitat.world.schedule(delayMs, () => this.#reset("reset"));
  }

  /** The other end is closed: when nothing from it is on its way any more, its kernel forgets it. */
  resetWhenForgotten(): void {
    const { read } = this.incoming;
    this.#habitat.world.schedule(ORPHANED_MS, () => {
      if (this.ended || this.incoming.read === read) this.#reset("reset");
      else if (!this.closed) this.resetWhenForgotten();
    });
  }

  /** Both ends are reset, by somebody on the way. */
  breakLink(): void {
    this.resetLater(this.#delayMs());
    this.peer?.resetLater(this.#delayMs());
  }

  /** From now on nothing arrives in either direction; some time later both ends notice. */
  silence(): void {
    const { world } = this.#habitat;
    this.incoming.isSilent = true;
    this.outgoing.isSilent = true;
    for (const end of [this, this.peer]) {
      world.schedule(VANISHED_MS * (1 + world.prng.float()), () => end?.finish("timeout"));
    }
  }

  /** Something may be there to be read. */
  wake(): void {
    if (this.closed || this.#isReset || !this.opened || this.ended || this.#reading !== null) {
      return;
    }
    if (this.paused && !this.#securing) return;
    const at = this.incoming.nextAt();
    if (at === Infinity) return;
    const { world } = this.#habitat;
    this.#reading = world.schedule(Math.max(0, at - world.nowMs), () => {
      this.#reading = null;
      this.#readable();
      this.wake();
    });
  }

  /** The end, told once. */
  finish(reason: CloseReason): void {
    if (this.closed) return;
    this.closed = true;
    this.#stopTimer();
    this.incoming.drop();
    this.#habitat.open.delete(this);
    this.#note(() => `close ${reason}`);
    this.handler.close(this, reason);
  }

  #readable(): void {
    if (this.closed || this.#isReset) return;
    if (this.#securing) {
      this.#handshake();
      return;
    }
    if (this.paused) return;
    const { world } = this.#habitat;
    const ready = this.incoming.readable(world.nowMs);
    if (ready > 0) this.#bring(this.#readSize(ready));
    else if (this.incoming.hasEnded(world.nowMs)) {
      this.ended = true;
      this.#note(() => "end");
      this.handler.end(this);
      if (this.shut) this.#closeSoon();
    }
  }

  #bring(count: number): void {
    const { world } = this.#habitat;
    const chunk = this.incoming.take(count, world.prng.chance(0.5));
    this.peer?.roomMade();
    this.#flow.came += chunk.length;
    this.#note(() => `data ${chunk.length}`);
    this.handler.data(this, chunk);
    const { resetAtByte, silentAtByte } = this.link;
    const passed = this.incoming.read + (this.peer?.incoming.read ?? 0);
    if (passed >= resetAtByte && passed - chunk.length < resetAtByte) {
      world.fault(`${this.#habitat.label(this)}: reset on the way`);
      this.breakLink();
    }
    if (passed >= silentAtByte && passed - chunk.length < silentAtByte) {
      world.fault(`${this.#habitat.label(this)}: nothing passes any more`, "all", 2 * VANISHED_MS);
      this.silence();
    }
  }

  #readSize(ready: number): number {
    const { prng } = this.#habitat.world;
    const { smallReads, readMax } = this.link;
    const rarer = this.incoming.read < SMALL_READS_UNTIL ? 1 : 0.03;
    const most = prng.chance(smallReads * rarer) ? SMALL_READ_BYTES : readMax;
    return Math.min(ready, 1 + prng.below(most));
  }

  /** The other side has read: who waits for room learns of it. */
  roomMade(): void {
    if (this.outgoing.isAwaited && this.outgoing.room > 0) this.#drainLater();
  }

  #drainLater(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#habitat.world.schedule(this.#delayMs(), () => {
      this.#draining = false;
      const { outgoing } = this;
      if (this.closed || this.#isReset || this.shut || !outgoing.isAwaited || outgoing.room === 0) {
        return;
      }
      outgoing.isAwaited = false;
      this.#note(() => "drain");
      this.handler.drain(this);
    });
  }

  #reset(reason: CloseReason): void {
    if (this.closed || this.#isReset) return;
    const { world } = this.#habitat;
    if (this.opened && !this.#securing && world.prng.chance(0.3)) {
      this.#isReset = true;
      world.schedule(TOLD_MS * world.prng.float(), () => this.finish(reason));
      return;
    }
    const ready = this.incoming.readable(world.nowMs);
    // What has arrived may still be read, though the owner has paused, or not.
    if (this.opened && !this.#securing && world.prng.chance(0.6)) {
      if (ready > 0) this.#bring(ready);
      if (!this.closed && !this.ended && this.incoming.hasEnded(world.nowMs)) {
        this.ended = true;
        this.#note(() => "end");
        this.handler.end(this);
      }
    }
    this.finish(this.#securing ? "tls" : reason);
  }

  /** Both halves have ended. */
  #closeSoon(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#habitat.world.schedule(this.#delayMs(), () => this.finish("none"));
  }

  // TLS.

  #beginHandshake(): void {
    this.#securing = true;
    this.startTimer(HANDSHAKE_TIMEOUT_MS, "tls");
  }

  #handshake(): void {
    const { world } = this.#habitat;
    const ready = this.incoming.readable(world.nowMs);
    if (ready === 0) {
      if (this.incoming.hasEnded(world.nowMs)) this.#refuse();
      return;
    }
    const wanted = Math.min(this.#readSize(ready), this.#record.needed);
    const record = this.#record.add(this.incoming.take(wanted, false));
    this.peer?.roomMade();
    if (this.#record.isAlien) this.#refuse();
    else if (record === null) return;
    else if (this.tlsClient !== null) this.#readServerHello(this.tlsClient, record);
    else if (this.#tlsServer !== null) this.#serve(this.#tlsServer, record);
  }

  #readServerHello(options: TlsClientOptions, record: Uint8Array): void {
    const { certificate, alpn } = readServerHello(record);
    const server = this.#habitat.certificates.at(certificate);
    if (server === null || !isTrusted(server, options) || server.name !== options.peerName) {
      this.#refuse();
      return;
    }
    this.#sendAll(finished());
    this.#secured(server, alpn, options.serverName);
  }

  #serve(options: TlsServerOptions, record: Uint8Array): void {
    const { certificates } = this.#habitat;
    if (this.#hello === null) {
      this.#hello = readHello(record);
      if (this.#hello === null) {
        this.#refuse();
        return;
      }
      const answer = serverHello(options, this.#hello.alpn, certificates.of(options));
      this.#alpn = answer.alpn;
      this.#sendAll(answer.bytes);
      return;
    }
    const client = certificates.at(this.#hello.certificate);
    const shown = isTrusted(client, options) ? client : null;
    this.#secured(shown, this.#alpn, this.#hello.serverName);
  }

  #secured(peer: SimCertificate | null, alpn: string | null, serverName: string | null): void {
    this.#securing = false;
    this.#stopTimer();
    this.#note(() => `secure ${peer?.name ?? "nobody"}`);
    const certificate = peer?.der ?? null;
    this.handler.secure(this, { certificate, alpn, serverName, resumed: false });
  }

  #refuse(): void {
    const { peer } = this;
    if (peer !== null && !peer.closed) peer.resetLater(this.#delayMs());
    this.finish("tls");
  }

  // Odds and ends.

  #send(bytes: Uint8Array, offset: number, length: number): void {
    if (length === 0) return;
    const { peer, outgoing } = this;
    outgoing.write(bytes, offset, length, this.#arrivalMs());
    if (peer === null || peer.closed) {
      // Nobody is there: the kernel takes the bytes and is told of it.
      outgoing.drop();
      this.resetLater(2 * this.#delayMs());
    } else peer.wake();
  }

  #sendAll(bytes: Uint8Array): void {
    this.#send(bytes, 0, bytes.length);
  }

  #delayMs(): number {
    const { latencyMs, jitterMs } = this.link;
    return latencyMs + jitterMs * this.#habitat.world.prng.float();
  }

  #arrivalMs(): number {
    return this.#habitat.world.nowMs + this.#delayMs();
  }

  #stopTimer(): void {
    if (this.#timer !== null) this.#timer.cancelled = true;
    this.#timer = null;
  }

  #violated(what: string): never {
    throw new Violation(`${this.#habitat.label(this)}: ${what}`);
  }

  #note(line: () => string): void {
    const { world } = this.#habitat;
    if (world.trace !== null) world.note(() => `${this.#habitat.label(this)} ${line()}`);
  }
}
