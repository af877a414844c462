/**
 * Reads HTTP/1 messages for simulated programs. Written for these tests alone, so that the proxy's own
 * parser is not what judges the proxy's output; simple and strict.
 */

/** Which body follows a head. */
export type BodyRule = "none" | "chunked" | "close" | "tunnel" | number;

/** A head as text. Names are lower-case; repeated fields are joined by a comma. */
export interface HeadText {
  readonly start: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** Takes what is read. */
export interface Http1Sink {
  /** Says which body follows; null: another head follows for the same message (1xx). */
  head(head: HeadText): BodyRule | null;
  body(bytes: Uint8Array, start: number, end: number): void;
  /** The message is complete. */
  done(trailers: ReadonlyMap<string, string>): void;
  /** It is no HTTP. */
  bad(why: string): void;
}

type State =
  | "head"
  | "length"
  | "size"
  | "chunk"
  | "chunk end"
  | "trailers"
  | "close"
  | "tunnel"
  | "bad";

const NOTHING = Buffer.alloc(0);
const NO_FIELDS: ReadonlyMap<string, string> = new Map();

/** Reads one direction of a connection. */
export class Http1Reader {
  readonly #sink: Http1Sink;
  #state: State = "head";
  #pending: Buffer = NOTHING;
  #left = 0;

  constructor(sink: Http1Sink) {
    this.#sink = sink;
  }

  /** Between two messages, and nothing of the next has come. */
  get isBetween(): boolean {
    return this.#state === "head" && this.#pending.length === 0;
  }

  take(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (this.#pending.length > 0 && this.#step());
  }

  /** The end of the connection: completes a body that lasts until then. Whether that was proper. */
  end(): boolean {
    if (this.#state === "tunnel") return true;
    if (this.#state !== "close") return this.isBetween;
    this.#state = "head";
    this.#sink.done(NO_FIELDS);
    return true;
  }

  /** false: more bytes are needed. */
  #step(): boolean {
    switch (this.#state) {
      case "head":
        return this.#head();
      case "length":
      case "chunk":
        return this.#counted();
      case "size": {
        const line = this.#line();
        if (line === null) return false;
        if (!/^[0-9a-f]+$/i.test(line)) return this.#bad(`chunk size "${line}"`);
        this.#left = parseInt(line, 16);
        this.#state = this.#left === 0 ? "trailers" : "chunk";
        return true;
      }
      case "chunk end": {
        const line = this.#line();
        if (line === null) return false;
        if (line !== "") return this.#bad("no end of a chunk");
        this.#state = "size";
        return true;
      }
      case "trailers":
        return this.#trailers();
      case "close":
      case "tunnel": {
        const bytes = this.#pending;
        this.#pending = NOTHING;
        this.#sink.body(bytes, 0, bytes.length);
        return true;
      }
      case "bad":
        this.#pending = NOTHING;
        return false;
    }
  }

  #head(): boolean {
    const end = this.#pending.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [start = "", ...lines] = this.#pending.toString("latin1", 0, end).split("\r\n");
    this.#consume(end + 4);
    const fields = fieldsOf(lines);
    if (fields === null) return this.#bad(`a field line in ${JSON.stringify(lines)}`);
    const rule = this.#sink.head({ start, fields });
    if (rule === null) return true;
    if (rule === "none" || rule === 0) this.#done(NO_FIELDS);
    else if (rule === "chunked") this.#state = "size";
    else if (typeof rule === "number") {
      this.#left = rule;
      this.#state = "length";
    } else this.#state = rule;
    return true;
  }

  #counted(): boolean {
    const taken = Math.min(this.#left, this.#pending.length);
    const bytes = this.#pending;
    this.#left -= taken;
    this.#consume(taken);
    this.#sink.body(bytes, 0, taken);
    if (this.#left > 0) return true;
    if (this.#state === "chunk") this.#state = "chunk end";
    else if (this.#state === "length") this.#done(NO_FIELDS);
    return true;
  }

  #trailers(): boolean {
    if (this.#pending.indexOf("\r\n") === 0) {
      this.#consume(2);
      this.#done(NO_FIELDS);
      return true;
    }
    const end = this.#pending.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const fields = fieldsOf(this.#pending.toString("latin1", 0, end).split("\r\n"));
    if (fields === null) return this.#bad("trailers");
    this.#consume(end + 4);
    this.#done(fields);
    return true;
  }

  #line(): string | null {
    const end = this.#pending.indexOf("\r\n");
    if (end < 0) return null;
    const line = this.#pending.toString("latin1", 0, end);
    this.#consume(end + 2);
    return line;
  }

  #consume(count: number): void {
    this.#pending = this.#pending.subarray(count);
  }

  #done(trailers: ReadonlyMap<string, string>): void {
    this.#state = "head";
    this.#sink.done(trailers);
  }

  #bad(why: string): false {
    this.#state = "bad";
    this.#sink.bad(why);
    return false;
  }
}

function fieldsOf(lines: readonly string[]): Map<string, string> | null {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const match = /^([!#-'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (match === null) return null;
    const [, name = "", value = ""] = match;
    const key = name.toLowerCase();
    const known = fields.get(key);
    fields.set(key, known === undefined ? value : `${known}, ${value}`);
  }
  return fields;
}
