/** HTTP/2 sessions in memory: both roles, watched by a referee, with what happened as lines of text. */

import { asciiBytes } from "../../lib/base/bytes.ts";
import {
  type FieldLines,
  fieldLinesOf,
  RequestHead,
  ResponseHead,
} from "../../lib/wire/http/mod.ts";
import { parseRequestHead, parseResponseHead } from "../../lib/wire/http1/mod.ts";
import {
  encodeRequest,
  encodeResponse,
  errorCodeName,
  type Http2Events,
  Http2Session,
  type Http2Stream,
  SessionSpares,
} from "../../lib/wire/http2/mod.ts";
import { Referee } from "./http2-referee.ts";
import { joined } from "./raw-http2.ts";

/** A stream of a test; its owner says nothing. */
export type TestStream = Http2Stream<string>;

const LATIN1 = new TextDecoder("latin1");

/** One side. */
export class MemoryPeer implements Http2Events<string> {
  readonly session: Http2Session<string>;
  /** What happened, in the order of the events; body bytes that follow each other are one line. */
  readonly log: string[] = [];
  /** Requests, or responses' streams, that came; the test may answer them. */
  readonly streams: TestStream[] = [];
  /** Whether body bytes are consumed as they come. */
  consumes = true;
  /** Is called for each event, when it has been written down. */
  onEvent: (kind: string, stream: TestStream | null) => void = () => {};
  readonly #referee: Referee;
  #pending: Uint8Array[] = [];
  #bodyOf: TestStream | null = null;

  constructor(isServer: boolean) {
    this.#referee = new Referee(isServer);
    this.session = new Http2Session<string>(isServer, this, new SessionSpares());
  }

  /** Takes bytes as from a socket. */
  receive(bytes: Uint8Array): void {
    this.#collect();
    // What is told must not have been written before: the session may answer within the call.
    this.#referee.heard(bytes);
    this.session.receive(bytes, 0, bytes.length);
    this.#collect();
    this.#referee.settled();
  }

  /** Everything that it has written; room for more is told as long as that brings more. */
  take(): Uint8Array {
    this.#collect();
    const taken = joined(this.#pending);
    this.#pending = [];
    return taken;
  }

  /** Sends a request; `text` is its head as in HTTP/1. */
  ask(text: string, last: boolean): TestStream {
    const { sender } = this.session;
    const head = requestHead(text);
    const stream = sender.open(head.methodText() === "HEAD");
    stream.owner = "mine";
    sender.beginHeaders();
    encodeRequest(sender, head, null, null);
    sender.endHeaders(stream, last);
    this.streams.push(stream);
    return stream;
  }

  /** Sends a response's head. */
  answer(stream: TestStream, text: string, last: boolean): void {
    if (stream.closed) return;
    const { sender } = this.session;
    sender.beginHeaders();
    encodeResponse(sender, responseHead(text), null);
    sender.endHeaders(stream, last);
  }

  /** Sends a part of a body. */
  body(stream: TestStream, bytes: Uint8Array | string, last: boolean): void {
    const part = typeof bytes === "string" ? asciiBytes(bytes) : bytes;
    this.session.sender.data(stream, part, 0, part.length, true, last);
  }

  /** Ends a body with trailers. */
  ending(stream: TestStream, fields: readonly (readonly [string, string])[]): void {
    this.session.sender.trailers(stream, fieldLinesOf(fields));
  }

  #collect(): void {
    const { sender } = this.session;
    while (sender.out.length > 0) {
      const { out } = sender;
      const bytes = out.bytes.slice(out.start, out.end);
      out.clear();
      this.#referee.said(bytes);
      this.#pending.push(bytes);
      sender.sent();
    }
  }

  #note(line: string, stream: TestStream | null): void {
    this.log.push(line.trimEnd());
    this.#bodyOf = null;
    this.onEvent(line.slice(0, line.indexOf(" ")), stream);
  }

  // Events.

  request(_session: Http2Session<string>, stream: TestStream, last: boolean): void {
    stream.owner = "theirs";
    this.streams.push(stream);
    const head = stream.request as RequestHead;
    const start = `${head.methodText()} ${head.targetText()} ${head.authorityText()}`;
    this.#note(`request ${stream.id} ${start}${fieldsText(head)}${endText(last)}`, stream);
  }

  interim(stream: TestStream, head: ResponseHead): void {
    this.#note(`interim ${stream.id} ${head.status}${fieldsText(head)}`, stream);
  }

  response(stream: TestStream, head: ResponseHead, last: boolean): void {
    this.#note(
      `response ${stream.id} ${head.status}${fieldsText(head)}${endText(last)}`,
      stream,
    );
  }

  data(
    stream: TestStream,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const text = `${LATIN1.decode(bytes.subarray(start, end))}${endText(last)}`;
    if (this.#bodyOf === stream) this.log[this.log.length - 1] += text;
    else this.log.push(`data ${stream.id} ${text}`);
    this.#bodyOf = stream;
    this.onEvent("data", stream);
    if (this.consumes) this.session.consumed(stream, end - start);
  }

  trailers(stream: TestStream, fields: FieldLines): void {
    this.#note(`trailers ${stream.id} ${fieldsText(fields).slice(2)}`, stream);
  }

  reset(stream: TestStream, code: number): void {
    this.#note(`reset ${stream.id} ${errorCodeName(code)}`, stream);
  }

  goaway(_session: Http2Session<string>, code: number): void {
    this.#note(`goaway ${errorCodeName(code)}`, null);
  }

  settled(): void {
    this.#note("settled ", null);
  }

  ponged(): void {
    this.#note("ponged ", null);
  }

  /** Depends on when the socket takes bytes, so it is not written down. */
  unblocked(stream: TestStream): void {
    this.onEvent("unblocked", stream);
  }
}

/** Two sides that have said hello to each other. */
export function connected(): { client: MemoryPeer; server: MemoryPeer } {
  const client = new MemoryPeer(false);
  const server = new MemoryPeer(true);
  client.session.start();
  server.session.start();
  relay(client, server);
  return { client, server };
}

/** Carries bytes both ways until neither side writes any more; `cut` splits what is carried. */
export function relay(
  client: MemoryPeer,
  server: MemoryPeer,
  cut: (bytes: Uint8Array) => Uint8Array[] = (bytes) => [bytes],
): void {
  for (;;) {
    const [up, down] = [client.take(), server.take()];
    if (up.length + down.length === 0) return;
    for (const part of cut(up)) server.receive(part);
    for (const part of cut(down)) client.receive(part);
  }
}

/** A request's head from its text in HTTP/1; the blank line is added. */
export function requestHead(text: string): RequestHead {
  const head = new RequestHead();
  const bytes = asciiBytes(`${text}\r\n\r\n`);
  const length = parseRequestHead(bytes, 0, bytes.length, head);
  if (length !== bytes.length) throw new Error(`no request: ${length} ${text}`);
  return head;
}

/** The same for a response. */
export function responseHead(text: string): ResponseHead {
  const head = new ResponseHead();
  const bytes = asciiBytes(`${text}\r\n\r\n`);
  const length = parseResponseHead(bytes, 0, bytes.length, head);
  if (length !== bytes.length) throw new Error(`no response: ${length} ${text}`);
  return head;
}

function fieldsText(fields: FieldLines): string {
  let text = "";
  for (let i = fields.firstRegular; i < fields.count; i++) {
    text += `; ${fields.headerName(i)}: ${fields.headerText(i)}`;
  }
  return text;
}

function endText(last: boolean): string {
  return last ? " END" : "";
}
