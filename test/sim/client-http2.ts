/** A simulated client that speaks HTTP/2: many requests at a time, slow reading, cancelling. */

import { asciiBytes } from "../../lib/base/bytes.ts";
import type { Conn } from "../../lib/host/net.ts";
import { type FieldLines, fieldLinesOf, type ResponseHead } from "../../lib/wire/http/mod.ts";
import { ErrorCode, type Http2Events, type Http2Stream } from "../../lib/wire/http2/mod.ts";
import { type Ask, paddingOf, requestTag, responseTag } from "./ask.ts";
import type { ClientPlan, Surroundings } from "./client-http1.ts";
import {
  CONNECTION_LOST,
  HTTP2_HANDLER,
  Http2End,
  type Http2Program,
  Setting,
} from "./http2-end.ts";
import { mismatch, payload } from "./payload.ts";
import { ReadingHabits } from "./reading.ts";
import { Violation } from "./world.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const CONNECTS_MAX = 12;
const NOTHING = new Uint8Array(0);
/** gRPC's status of a call that took too long. */
const DEADLINE_EXCEEDED = 4;

/** What a client keeps at a stream. */
interface Call {
  readonly ask: Ask;
  readonly reading: ReadingHabits;
  sent: number;
  isPausing: boolean;
  isAnswer: boolean;
  tag: number;
  received: number;
  hasHead: boolean;
  /** `grpc-status` of the head. */
  headStatus: string | null;
}

/** One client with one connection at a time, and another one when that says goodbye. */
export class ClientHttp2 {
  readonly plan: ClientPlan;
  readonly window: number | null;
  readonly around: Surroundings;
  readonly todo: Ask[];
  readonly #connections = new Set<Connection>();
  connects = 0;

  constructor(
    plan: ClientPlan,
    window: number | null,
    asks: readonly Ask[],
    around: Surroundings,
  ) {
    this.plan = plan;
    this.window = window;
    this.around = around;
    this.todo = [...asks];
    around.world.schedule(plan.startMs, () => this.connect());
  }

  connect(): void {
    if (this.todo.length === 0) return;
    if (this.connects++ < CONNECTS_MAX) {
      this.#connections.add(new Connection(this));
      return;
    }
    for (const ask of this.todo.splice(0)) {
      this.around.ledger.began(ask, this.plan.name);
      this.around.ledger.ended(ask, "cancelled", "too many connections were lost");
    }
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection);
  }

  /** Leaves for good. */
  leave(): void {
    for (const connection of [...this.#connections]) connection.destroy();
  }
}

/** One connection. */
class Connection implements Http2Program, Http2Events<Call> {
  readonly #client: ClientHttp2;
  readonly #end = new Http2End<Call>(false, this);
  readonly #conn: Conn<Http2Program>;
  /** It takes no more requests. */
  #isLeaving = false;
  #isWaiting = false;
  #isOpen = false;

  constructor(client: ClientHttp2) {
    this.#client = client;
    const options = { address: client.plan.target, timeoutMs: CONNECT_TIMEOUT_MS };
    this.#conn = client.around.net.connect<Http2Program>(options, HTTP2_HANDLER, this);
  }

  destroy(): void {
    this.#conn.destroy();
  }

  // The connection.

  opened(): void {
    this.#isOpen = true;
    this.#end.conn = this.#conn as Conn<unknown>;
    const { window } = this.#client;
    this.#end.start(window === null ? [] : [[Setting.WINDOW, window]]);
    this.#next();
  }

  received(chunk: Uint8Array): void {
    this.#end.received(chunk);
    const { failed } = this.#end.session;
    if (failed !== null) this.#violated(`the proxy broke HTTP/2: error ${failed}`);
    this.#next();
  }

  drained(): void {
    this.#end.drained();
    this.#next();
  }

  peerEnded(): void {
    this.#conn.destroy();
  }

  closed(_reason: string): void {
    this.#isOpen = false;
    const wasLeaving = this.#isLeaving;
    this.#isLeaving = true;
    this.#end.closed();
    this.#client.forget(this);
    const { world } = this.#client.around;
    if (!wasLeaving) world.schedule(world.prng.float() * 50, () => this.#client.connect());
  }

  // What the session tells.

  request(): void {}

  interim(): void {}

  response(stream: Http2Stream<Call>, head: ResponseHead, last: boolean): void {
    const call = stream.owner!;
    const { ask } = call;
    const { plan } = ask;
    if (call.hasHead) this.#violated(`request ${plan.id}: two heads`);
    call.hasHead = true;
    ask.status = head.status;
    const id = fieldOf(head, "x-id");
    call.isAnswer = id !== null;
    call.headStatus = fieldOf(head, "grpc-status");
    if (id === null) this.#checkRefusal(call, head);
    else {
      if (id !== `${plan.id}`) this.#violated(`the answer of ${id} for request ${plan.id}`);
      if (head.status !== plan.status) this.#violated(`request ${plan.id}: status ${head.status}`);
      const attempt = Number(fieldOf(head, "x-attempt"));
      if (!(attempt < ask.attempts.length)) this.#violated(`attempt ${attempt} of ${plan.id}`);
      call.tag = responseTag(plan.id, attempt);
      if ((fieldOf(head, "x-pad") ?? "") !== paddingOf(plan)) this.#violated("another x-pad");
      if (fieldOf(head, "x-noise") !== `${call.tag * 7}`) this.#violated("another x-noise");
      for (let i = 0; i < head.count; i++) {
        if (head.headerName(i).startsWith("l5d-")) this.#violated(`${head.headerName(i)} came`);
      }
    }
    if (last) this.#done(call, null);
  }

  data(
    stream: Http2Stream<Call>,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const call = stream.owner;
    if (call !== null && call.isAnswer) {
      const wrong = mismatch(call.tag, call.received, bytes, start, end);
      if (wrong >= 0) {
        const at = call.received + wrong - start;
        this.#violated(`request ${call.ask.plan.id}: byte ${at} is wrong`);
      }
      call.received += end - start;
    }
    if (call !== null && last) this.#done(call, null);
    const { world } = this.#client.around;
    if (call === null) this.#end.session.consumed(stream, end - start);
    else this.#end.consumedBy(call.reading, world, stream, end - start);
  }

  trailers(stream: Http2Stream<Call>, fields: FieldLines): void {
    this.#done(stream.owner!, fields);
  }

  reset(stream: Http2Stream<Call>, code: number): void {
    const call = stream.owner;
    if (call === null || call.ask.outcome !== null) return;
    const why = code === CONNECTION_LOST ? "the connection was lost" : `reset ${code}`;
    this.#client.around.ledger.ended(call.ask, "lost", why);
  }

  unblocked(stream: Http2Stream<Call>): void {
    const call = stream.owner;
    if (call !== null) this.#sendBody(stream, call);
  }

  goaway(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    const { world } = this.#client.around;
    world.schedule(world.prng.float() * 5, () => this.#client.connect());
  }

  settled(): void {
    this.#next();
  }

  ponged(): void {}

  // Doing.

  /** Sends what may be sent now. */
  #next(): void {
    const { plan, todo, around } = this.#client;
    const { session } = this.#end;
    if (!this.#isOpen || this.#isWaiting) return;
    while (!this.#isLeaving && todo.length > 0 && session.streams.size < plan.depth) {
      if (!session.sender.mayOpen) break;
      const ask = todo.shift()!;
      this.#send(ask);
      if (ask.plan.thinkMs === 0) continue;
      this.#isWaiting = true;
      around.world.schedule(ask.plan.thinkMs, () => {
        this.#isWaiting = false;
        this.#next();
      });
      break;
    }
    this.#end.pump();
    if (session.streams.size === 0 && (this.#isLeaving || todo.length === 0)) this.#leave();
  }

  #leave(): void {
    const { plan } = this.#client;
    if (this.#isLeaving || plan.leaves === "fin") this.#end.end();
    else if (plan.leaves !== "stay") this.#conn.destroy(plan.leaves === "reset");
  }

  #send(ask: Ask): void {
    const { ledger, world } = this.#client.around;
    const { plan } = ask;
    const { sender } = this.#end.session;
    ledger.began(ask, this.#client.plan.name);
    const stream = sender.open(plan.method === "HEAD");
    const call: Call = {
      ask,
      reading: new ReadingHabits(this.#client.plan.reading),
      sent: 0,
      isPausing: false,
      isAnswer: false,
      tag: 0,
      received: 0,
      hasHead: false,
      headStatus: null,
    };
    stream.owner = call;
    const isBare = plan.requestBytes === 0 && !plan.requestTrailers;
    sender.beginHeaders();
    const add = (name: string, value: string) => {
      const bytes = asciiBytes(value);
      sender.field(asciiBytes(name), bytes, 0, bytes.length);
    };
    add(":method", plan.method);
    add(":scheme", "http");
    add(":authority", "web.example");
    add(":path", `/${plan.id}`);
    add("x-id", `${plan.id}`);
    add("x-noise", `${plan.id * 13}`);
    add("l5d-client-id", "forged");
    if (plan.paddingBytes > 0) add("x-pad", paddingOf(plan));
    if (plan.grpcStatus !== null) {
      add("content-type", "application/grpc");
      add("te", "trailers");
      if (plan.deadlineMs !== null) add("grpc-timeout", `${plan.deadlineMs}m`);
    }
    if (!plan.requestChunked && plan.requestBytes > 0) {
      add("content-length", `${plan.requestBytes}`);
    }
    sender.endHeaders(stream, isBare);
    if (!isBare) this.#sendBody(stream, call);
    const { cancelMs } = plan;
    if (cancelMs === null) return;
    world.schedule(cancelMs, () => {
      if (ask.outcome !== null) return;
      ledger.ended(ask, "cancelled", "the client gave up");
      this.#end.session.reset(stream, ErrorCode.CANCEL);
      this.#end.pump();
      this.#next();
    });
  }

  /** As much of the body as goes. */
  #sendBody(stream: Http2Stream<Call>, call: Call): void {
    const { plan } = call.ask;
    const { sender } = this.#end.session;
    const { world } = this.#client.around;
    if (call.isPausing || stream.localEnded) return;
    while (!stream.closed && !stream.blocked && call.sent < plan.requestBytes) {
      const end = Math.min(plan.requestBytes, call.sent + plan.requestPieceBytes);
      const piece = payload(requestTag(plan.id), call.sent, end - call.sent);
      call.sent = end;
      const last = end === plan.requestBytes && !plan.requestTrailers;
      sender.data(stream, piece, 0, piece.length, true, last);
      if (last || plan.requestPauseMs === 0) continue;
      call.isPausing = true;
      world.schedule(plan.requestPauseMs, () => {
        call.isPausing = false;
        if (!stream.closed) this.#sendBody(stream, call);
        this.#next();
      });
      break;
    }
    if (call.isPausing || stream.localEnded || stream.closed || stream.blocked) return;
    if (call.sent < plan.requestBytes) return;
    if (plan.requestTrailers) sender.trailers(stream, trailersOf(plan.id));
    else sender.data(stream, NOTHING, 0, 0, true, true);
  }

  #done(call: Call, trailers: FieldLines | null): void {
    const { ledger } = this.#client.around;
    const { ask } = call;
    const { plan } = ask;
    if (ask.outcome !== null) return;
    if (!call.isAnswer) {
      ledger.ended(ask, "refused", `${ask.status} ${ask.why}`);
      return;
    }
    // A call whose time was over in the middle of its response: the proxy ends it with a status.
    if (plan.grpcStatus !== null && trailers !== null && fieldOf(trailers, "x-sum") === null) {
      const status = fieldOf(trailers, "grpc-status");
      if (status !== `${DEADLINE_EXCEEDED}`) this.#violated(`call ${plan.id} ended with ${status}`);
      ledger.ended(ask, "refused", "its time was over");
      return;
    }
    const isBodiless = plan.method === "HEAD" || plan.status === 204 || plan.status === 304;
    const expected = isBodiless ? 0 : plan.responseBytes;
    if (call.received !== expected) {
      this.#violated(`request ${plan.id}: ${call.received} of ${expected} bytes taken for all`);
    }
    if (plan.grpcStatus !== null && plan.responseBytes === 0 && trailers === null) {
      if (call.headStatus !== `${plan.grpcStatus}`) this.#violated(`a call of ${call.headStatus}`);
    } else if (plan.responseTrailers && !isBodiless && trailers === null) {
      this.#violated(`request ${plan.id}: no trailers`);
    }
    if (trailers !== null && fieldOf(trailers, "x-sum") !== `${plan.id}`) {
      this.#violated(`request ${plan.id}: other trailers`);
    }
    if (trailers !== null && plan.grpcStatus !== null) {
      const status = fieldOf(trailers, "grpc-status");
      if (status !== `${plan.grpcStatus}`) this.#violated(`call ${plan.id}: status ${status}`);
    }
    ledger.ended(ask, "answered", `${ask.status} with ${call.received} bytes`);
  }

  /** A proxy's own answer: as HTTP has it, or as gRPC has it. */
  #checkRefusal({ ask, headStatus }: Call, head: ResponseHead): void {
    ask.why = fieldOf(head, "l5d-proxy-error") ?? "";
    const { status } = head;
    const isCall = ask.plan.grpcStatus !== null;
    const isHonest = isCall ? status === 200 && Number(headStatus ?? 0) > 0 : status >= 400;
    if (isHonest) return;
    this.#violated(`request ${ask.plan.id} refused by ${status}, gRPC status ${headStatus}`);
  }

  #violated(what: string): never {
    throw new Violation(`${this.#client.plan.name}: ${what}`);
  }
}

/** The value of a field; null without one. */
export function fieldOf(fields: FieldLines, name: string): string | null {
  const i = fields.find(asciiBytes(name));
  return i < 0 ? null : fields.headerText(i);
}

/** The trailers of a message about that request. */
export function trailersOf(id: number, grpcStatus: number | null = null): FieldLines {
  const status = grpcStatus === null ? [] : [["grpc-status", `${grpcStatus}`] as const];
  return fieldLinesOf([["x-sum", `${id}`], ...status]);
}
