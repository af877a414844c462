/** A simulated application that speaks HTTP/2, and does wrong what its requests' plans say. */

import { asciiBytes } from "../../lib/base/bytes.ts";
import type { Conn, ConnHandler, Listener } from "../../lib/host/net.ts";
import type { FieldLines } from "../../lib/wire/http/mod.ts";
import {
  ErrorCode,
  type Http2Events,
  type Http2Session,
  type Http2Stream,
} from "../../lib/wire/http2/mod.ts";
import { type Ask, type Attempt, paddingOf, requestTag, responseTag, troubleOf } from "./ask.ts";
import { fieldOf, trailersOf } from "./client-http2.ts";
import { HTTP2_HANDLER, Http2End, type Http2Program, Setting } from "./http2-end.ts";
import { mismatch, payload } from "./payload.ts";
import { ReadingHabits } from "./reading.ts";
import { NOTICED_MS, type ServerPlan, type ServerSurroundings } from "./server-http1.ts";
import { isCutHello } from "./tls.ts";
import { type Fault, Violation } from "./world.ts";

const NOTHING = new Uint8Array(0);

/** What such an application does beyond that. */
export interface ServerHttp2Plan extends ServerPlan {
  /** What it announces; null: nothing. */
  readonly streamsMax: number | null;
  readonly window: number | null;
  /** It says goodbye after so many streams, as one should or all at once. */
  readonly goawayAfter: number;
  readonly goawayGracefully: boolean;
  /** To what it changes its streams' windows while it serves; null: it does not. */
  readonly laterWindow: number | null;
}

/** What a server keeps at a stream. */
interface Answer {
  readonly ask: Ask;
  readonly attempt: Attempt;
  readonly reading: ReadingHabits;
  received: number;
  sent: number;
  /** Where it stops, which is the body's end if all goes well. */
  until: number;
  isResponding: boolean;
  isPausing: boolean;
}

/** One application. */
export class ServerHttp2 {
  readonly plan: ServerHttp2Plan;
  readonly around: ServerSurroundings;
  readonly connections: Set<Connection> = new Set();
  readonly #listener: Listener;

  constructor(plan: ServerHttp2Plan, around: ServerSurroundings) {
    this.plan = plan;
    this.around = around;
    this.#listener = around.net.listen(plan.address, ACCEPT, () => this);
  }

  /** Takes no more connections, and ends those that are there. */
  stop(reset: boolean): void {
    this.#listener.stop();
    for (const connection of [...this.connections]) connection.conn.destroy(reset);
  }
}

/** One connection of it. */
class Connection implements Http2Program, Http2Events<Answer> {
  readonly server: ServerHttp2;
  readonly conn: Conn<Http2Program>;
  readonly #end = new Http2End<Answer>(true, this);
  #streams = 0;
  #idle = 0;
  #isLeaving = false;
  #isFinal = false;
  #goodbye: Fault | null = null;
  /** It has answered something, and its client surely knows. */
  #hasServed = false;

  constructor(server: ServerHttp2, conn: Conn<Http2Program>) {
    this.server = server;
    this.conn = conn;
    server.connections.add(this);
  }

  // The connection.

  opened(): void {
    const { streamsMax, window, laterWindow } = this.server.plan;
    const { world } = this.server.around;
    this.#end.conn = this.conn as Conn<unknown>;
    const settings: [number, number][] = [];
    if (streamsMax !== null) settings.push([Setting.STREAMS, streamsMax]);
    if (window !== null) settings.push([Setting.WINDOW, window]);
    this.#end.start(settings);
    if (laterWindow === null) return;
    world.schedule(world.prng.float() * 200, () => {
      this.#end.announce([[Setting.WINDOW, laterWindow]]);
    });
  }

  received(chunk: Uint8Array): void {
    if (this.#streams === 0 && isCutHello(this.server.around.world, chunk)) {
      this.conn.destroy();
      return;
    }
    this.#end.received(chunk);
    const { failed } = this.#end.session;
    if (failed !== null) this.#violated(`the proxy broke HTTP/2: error ${failed}`);
    this.#leaveIfDone();
  }

  drained(): void {
    this.#end.drained();
    this.#leaveIfDone();
  }

  peerEnded(): void {
    this.conn.destroy();
  }

  closed(): void {
    if (this.#goodbye !== null) this.#goodbye.untilMs = this.server.around.world.nowMs;
    this.#end.closed();
    this.server.connections.delete(this);
  }

  // What the session tells.

  request(
    _session: Http2Session<Answer>,
    stream: Http2Stream<Answer>,
    last: boolean,
  ): void {
    const { world, ledger } = this.server.around;
    const head = stream.request!;
    const { ask, attempt } = ledger.seen(fieldOf(head, "x-id") ?? "", this.server.plan.name);
    const { plan } = ask;
    this.#check(ask, head.methodText(), head.targetText(), head);
    const answer: Answer = {
      ask,
      attempt,
      reading: new ReadingHabits(this.server.plan.reading),
      received: 0,
      sent: 0,
      until: plan.responseBytes,
      isResponding: false,
      isPausing: false,
    };
    stream.owner = answer;
    this.#idle++;
    this.#streams++;
    if (this.#streams === this.server.plan.goawayAfter) this.#sayGoodbye();
    if (last) this.#whole(stream, answer, null);
    else if (plan.early) world.schedule(plan.delayMs, () => this.#respond(stream, answer));
  }

  interim(): void {}

  response(): void {}

  data(
    stream: Http2Stream<Answer>,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const answer = stream.owner;
    if (answer === null) {
      this.#end.session.consumed(stream, end - start);
      return;
    }
    const { id } = answer.ask.plan;
    const wrong = mismatch(requestTag(id), answer.received, bytes, start, end);
    if (wrong >= 0) {
      this.#violated(`request ${id}: byte ${answer.received + wrong - start} is wrong`);
    }
    answer.received += end - start;
    if (last) this.#whole(stream, answer, null);
    const { world } = this.server.around;
    this.#end.consumedBy(answer.reading, world, stream, end - start);
  }

  trailers(stream: Http2Stream<Answer>, fields: FieldLines): void {
    const answer = stream.owner;
    if (answer !== null) this.#whole(stream, answer, fields);
  }

  reset(): void {
    this.#rest();
  }

  unblocked(stream: Http2Stream<Answer>): void {
    const answer = stream.owner;
    if (answer?.isResponding === true) this.#sendBody(stream, answer);
  }

  goaway(): void {}

  settled(): void {}

  ponged(): void {
    if (!this.#isLeaving || this.#isFinal) return;
    this.#isFinal = true;
    this.#end.session.goaway(true);
    this.#end.pump();
    this.#leaveIfDone();
  }

  // Answering.

  /** All of the request has come. */
  #whole(stream: Http2Stream<Answer>, answer: Answer, trailers: FieldLines | null): void {
    const { ask, attempt, received } = answer;
    const { plan } = ask;
    if (received !== plan.requestBytes) {
      this.#violated(`request ${plan.id}: ${received} of ${plan.requestBytes} bytes for all`);
    }
    const sum = trailers === null ? null : fieldOf(trailers, "x-sum");
    if (plan.requestTrailers && sum !== `${plan.id}`) this.#violated(`trailers of ${plan.id}`);
    attempt.whole = true;
    const isEarly = plan.early && !(plan.requestBytes === 0 && !plan.requestTrailers);
    if (isEarly) return;
    this.server.around.world.schedule(plan.delayMs, () => this.#respond(stream, answer));
  }

  #respond(stream: Http2Stream<Answer>, answer: Answer): void {
    if (stream.closed) return;
    const { ask, attempt } = answer;
    const { plan } = ask;
    const { world } = this.server.around;
    const { session } = this.#end;
    const { name } = this.server.plan;
    const trouble = troubleOf(ask, attempt);
    switch (trouble) {
      case "hang":
        world.fault(`${name} never answers`, plan.id);
        return;
      case "refuse":
        if (attempt.number > 0) break;
        world.fault(`${name} refuses a stream`, plan.id);
        attempt.refused = true;
        session.reset(stream, ErrorCode.REFUSED_STREAM);
        this.#end.pump();
        return;
      case "reset": {
        world.fault(`${name} resets a stream`, plan.id);
        const codes = [ErrorCode.INTERNAL_ERROR, ErrorCode.CANCEL, ErrorCode.NO_ERROR];
        session.reset(stream, world.prng.pick(codes));
        this.#end.pump();
        return;
      }
      case "close":
        world.fault(`${name} closes its connection`);
        this.conn.destroy(world.prng.chance(0.5));
        return;
      default:
    }
    const { sender } = session;
    if (plan.interim) {
      sender.beginHeaders();
      sender.encoder.status(103, sender.out);
      sender.endHeaders(stream, false);
    }
    const isBodiless = plan.method === "HEAD" || plan.status === 204 || plan.status === 304;
    // A call without messages has its status in the head.
    const hasTrailers = plan.responseTrailers && !isCallWithout(ask);
    const isBare = isBodiless || (plan.responseBytes === 0 && !hasTrailers);
    if (plan.cancelMs === null && ask.timeoutMs === Infinity) this.#hasServed = true;
    this.#head(stream, ask, attempt, isBare);
    if (isBare) attempt.completeAtMs = this.server.around.world.nowMs;
    else {
      answer.isResponding = true;
      if (trouble === "reset within" || trouble === "close within" || trouble === "malformed") {
        answer.until = Math.floor(plan.responseBytes * world.prng.float());
      }
      this.#sendBody(stream, answer);
    }
    this.#end.pump();
    this.#leaveIfDone();
  }

  #head(stream: Http2Stream<Answer>, ask: Ask, attempt: Attempt, last: boolean): void {
    const { sender } = this.#end.session;
    const { plan } = ask;
    const add = (name: string, value: string) => {
      const bytes = asciiBytes(value);
      sender.field(asciiBytes(name), bytes, 0, bytes.length);
    };
    sender.beginHeaders();
    sender.encoder.status(plan.status, sender.out);
    add("x-id", `${plan.id}`);
    add("x-attempt", `${attempt.number}`);
    add("x-noise", `${responseTag(plan.id, attempt.number) * 7}`);
    add("l5d-sneaky", "1");
    if (plan.paddingBytes > 0) add("x-pad", paddingOf(plan));
    if (plan.grpcStatus !== null) add("content-type", "application/grpc");
    if (isCallWithout(ask)) add("grpc-status", `${plan.grpcStatus}`);
    const hasFraming = plan.status !== 204 && plan.status !== 304;
    if (plan.framing === "length" && hasFraming) add("content-length", `${plan.responseBytes}`);
    sender.endHeaders(stream, last);
  }

  /** As much of the body as goes. */
  #sendBody(stream: Http2Stream<Answer>, answer: Answer): void {
    const { ask, attempt } = answer;
    const { plan } = ask;
    const { world } = this.server.around;
    const { sender } = this.#end.session;
    if (answer.isPausing || stream.localEnded) return;
    const tag = responseTag(plan.id, attempt.number);
    while (!stream.closed && !stream.blocked && answer.sent < answer.until) {
      const end = Math.min(answer.until, answer.sent + plan.responsePieceBytes);
      const piece = payload(tag, answer.sent, end - answer.sent);
      answer.sent = end;
      const last = end === plan.responseBytes && !plan.responseTrailers;
      sender.data(stream, piece, 0, piece.length, true, last);
      if (last || plan.responsePauseMs === 0) continue;
      answer.isPausing = true;
      world.schedule(plan.responsePauseMs, () => {
        answer.isPausing = false;
        if (!stream.closed) this.#sendBody(stream, answer);
        this.#end.pump();
        this.#leaveIfDone();
      });
      break;
    }
    if (answer.sent === plan.responseBytes && !plan.responseTrailers) {
      attempt.completeAtMs = this.server.around.world.nowMs;
    }
    if (answer.isPausing || stream.closed || stream.blocked || answer.sent < answer.until) return;
    if (answer.until < plan.responseBytes) this.#breakOff(stream, answer);
    else if (!stream.localEnded) {
      attempt.completeAtMs = this.server.around.world.nowMs;
      if (plan.responseTrailers) sender.trailers(stream, trailersOf(plan.id, plan.grpcStatus));
      else sender.data(stream, NOTHING, 0, 0, true, true);
    }
  }

  #breakOff(stream: Http2Stream<Answer>, { ask, attempt, sent }: Answer): void {
    const { world } = this.server.around;
    const { id, framing } = ask.plan;
    const trouble = troubleOf(ask, attempt);
    const { session } = this.#end;
    if (trouble === "close within") {
      world.fault(`${this.server.plan.name} closes after ${sent} bytes`);
      this.conn.destroy(world.prng.chance(0.5));
    } else if (trouble === "malformed" && framing === "length") {
      world.fault(`${this.server.plan.name} ends a body too early`, id);
      session.sender.data(stream, NOTHING, 0, 0, true, true);
    } else {
      world.fault(`${this.server.plan.name} resets after ${sent} bytes`, id);
      session.reset(stream, ErrorCode.INTERNAL_ERROR);
    }
  }

  #sayGoodbye(): void {
    const { world } = this.server.around;
    const { session } = this.#end;
    // What waits on the connection is refused when that word has got through, however late.
    this.#goodbye = world.fault(`${this.server.plan.name} says goodbye`, "unrepeatable", Infinity);
    this.#isLeaving = true;
    this.#isFinal = !this.server.plan.goawayGracefully;
    session.goaway(this.#isFinal);
    if (this.server.plan.goawayGracefully) session.sender.ping();
    this.#end.pump();
  }

  #leaveIfDone(): void {
    if (this.#isFinal && this.#end.session.streams.size === 0) this.#end.end();
    else this.#rest();
  }

  /** Without another stream for long, the connection is closed. */
  #rest(): void {
    const { idleMs } = this.server.plan;
    const { world } = this.server.around;
    if (idleMs === Infinity || !this.#hasServed || !this.#isIdle()) return;
    const idle = ++this.#idle;
    world.schedule(idleMs, () => {
      if (idle !== this.#idle || this.#end.conn === null || !this.#isIdle()) return;
      world.fault(`${this.server.plan.name} closes an idle connection`, "idle", NOTICED_MS);
      this.#end.end();
    });
  }

  #isIdle(): boolean {
    const { streams, sender } = this.#end.session;
    return streams.size === 0 && sender.out.length === 0;
  }

  #check(ask: Ask, method: string, target: string, head: FieldLines): void {
    const { plan } = ask;
    if (method !== plan.method || target !== `/${plan.id}`) {
      this.#violated(`request ${plan.id} became ${method} ${target}`);
    }
    if (fieldOf(head, "x-noise") !== `${plan.id * 13}`) this.#violated("another x-noise");
    if ((fieldOf(head, "x-pad") ?? "") !== paddingOf(plan)) this.#violated("another x-pad");
    const timeout = timeoutOf(fieldOf(head, "grpc-timeout"));
    const hasDeadline = plan.grpcStatus !== null && ask.deadlineMs < Infinity;
    if (hasDeadline ? !(timeout !== null && timeout <= ask.deadlineMs) : timeout !== null) {
      this.#violated(`request ${plan.id}: a timeout of ${timeout}, ${ask.deadlineMs} is left`);
    }
    const wanted = this.server.plan.clientId(ask);
    if (fieldOf(head, "l5d-client-id") !== wanted) {
      this.#violated(`client id ${fieldOf(head, "l5d-client-id")}, wanted ${wanted}`);
    }
  }

  #violated(what: string): never {
    throw new Violation(`${this.server.plan.name}: ${what}`);
  }
}

/** Milliseconds; null without one, NaN when it is none. */
function timeoutOf(value: string | null): number | null {
  if (value === null) return null;
  const [, digits, unit = ""] = /^(\d{1,8})([umS])$/.exec(value) ?? [];
  const unitMs = { u: 0.001, m: 1, S: 1_000 }[unit] ?? NaN;
  return Number(digits) * unitMs;
}

/** A call whose answer has no message. */
function isCallWithout({ plan }: Ask): boolean {
  return plan.grpcStatus !== null && plan.responseBytes === 0;
}

const ACCEPT: ConnHandler<ServerHttp2 | Connection> = {
  ...(HTTP2_HANDLER as unknown as ConnHandler<ServerHttp2 | Connection>),
  open(conn) {
    if (conn.data instanceof Connection) return;
    const connection = new Connection(conn.data, conn as unknown as Conn<Http2Program>);
    conn.data = connection;
    connection.opened();
  },
};
