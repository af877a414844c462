/**
 * The mesh's output: each line of a program with the name of its pod and container before it, whole
 * lines only, so that programs never write into each other's lines. Pure up to `write`.
 */

/** Takes finished text, ending in a line break. */
export type WriteText = (text: string) => void;

/** How lines look. */
export interface LogStyle {
  readonly colours: boolean;
  /** Prefixes are padded to the longest one so far, up to this width. */
  readonly widthMax: number;
}

/** Longer lines are cut into pieces: a program that never ends a line must not fill our memory. */
export const LINE_BYTES_MAX = 64 * 1024;

/** Colours that are readable on dark and on light ground; red is left to errors. */
const COLOURS = [36, 32, 35, 34, 33, 96, 92, 95, 94, 93];

/** Gives each program its colour and keeps the prefixes aligned. */
export class LogPrinter {
  readonly #write: WriteText;
  readonly #style: LogStyle;
  readonly #colours = new Map<string, number>();
  #width = 0;

  constructor(write: WriteText, style: LogStyle) {
    this.#write = write;
    this.#style = style;
  }

  /** A stream of one program's lines. */
  stream(name: string): LineStream {
    const colour = this.#colours.get(name) ??
      COLOURS[this.#colours.size % COLOURS.length] ?? 0;
    // A program that starts again keeps its colour.
    this.#colours.set(name, colour);
    this.#width = Math.min(this.#style.widthMax, Math.max(this.#width, name.length));
    return new LineStream((line) => this.#write(this.#format(name, colour, line)));
  }

  /** A line of the mesh itself. */
  say(text: string): void {
    const mark = this.#style.colours ? "\x1b[1mmalla\x1b[0m" : "malla";
    this.#write(`${mark}${" ".repeat(Math.max(0, this.#width - 5))} | ${text}\n`);
  }

  /** A line of the mesh itself about something that went wrong. */
  complain(text: string): void {
    this.say(this.#style.colours ? `\x1b[31m${text}\x1b[0m` : text);
  }

  #format(name: string, colour: number, line: string): string {
    const padded = name.padEnd(this.#width);
    return this.#style.colours
      ? `\x1b[${colour}m${padded} |\x1b[0m ${line}\n`
      : `${padded} | ${line}\n`;
  }
}

/** Cuts a program's output into lines. Bytes of a character may come in two chunks. */
export class LineStream {
  readonly #line: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(line: (line: string) => void) {
    this.#line = line;
  }

  write(chunk: Uint8Array): void {
    this.#take(this.#decoder.decode(chunk, { stream: true }));
  }

  /** What came after the last line break becomes a line of its own. */
  end(): void {
    this.#take(this.#decoder.decode());
    if (this.#rest !== "") this.#line(clean(this.#rest));
    this.#rest = "";
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#cut(line);
    while (this.#rest.length > LINE_BYTES_MAX) {
      this.#line(clean(this.#rest.slice(0, LINE_BYTES_MAX)));
      this.#rest = this.#rest.slice(LINE_BYTES_MAX);
    }
  }

  #cut(line: string): void {
    for (let at = 0; at === 0 || at < line.length; at += LINE_BYTES_MAX) {
      this.#line(clean(line.slice(at, at + LINE_BYTES_MAX)));
    }
  }
}

/** A carriage return would put the line over its prefix. */
function clean(line: string): string {
  return line.replace(/\r+$/, "").replaceAll("\r", " ");
}
