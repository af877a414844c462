import { describe, expect, test } from "bun:test";
import { LINE_BYTES_MAX, LineStream, LogPrinter } from "./log-lines.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function printer(colours = false) {
  const written: string[] = [];
  return {
    written,
    log: new LogPrinter((text) => void written.push(text), { colours, widthMax: 12 }),
  };
}

describe("log lines", () => {
  test("are whole, whatever pieces they come in, and carry their program's name", () => {
    const { written, log } = printer();
    const [web, db] = [log.stream("web/nginx"), log.stream("db/redis")];
    web.write(bytes("hel"));
    db.write(bytes("one\ntwo\nthr"));
    web.write(bytes("lo\n"));
    db.end();
    expect(written).toEqual([
      "db/redis  | one\n",
      "db/redis  | two\n",
      "web/nginx | hello\n",
      "db/redis  | thr\n",
    ]);
  });

  test("keep characters whose bytes come apart", () => {
    const lines: string[] = [];
    const stream = new LineStream((line) => void lines.push(line));
    const [first, ...rest] = bytes("é\n");
    stream.write(Uint8Array.of(first!));
    stream.write(Uint8Array.from(rest));
    expect(lines).toEqual(["é"]);
  });

  test("of endless length are cut, nothing is lost and little is kept", () => {
    const lines: string[] = [];
    const stream = new LineStream((line) => void lines.push(line));
    for (let round = 0; round < 10; round++) {
      stream.write(bytes("x".repeat(LINE_BYTES_MAX / 2 + 1)));
    }
    stream.write(bytes("\n"));
    expect(lines.join("")).toHaveLength(10 * (LINE_BYTES_MAX / 2 + 1));
    expect(Math.max(...lines.map(({ length }) => length))).toBe(LINE_BYTES_MAX);
  });

  test("cannot overwrite their name with a carriage return", () => {
    const { written, log } = printer();
    log.stream("a").write(bytes("10%\r20%\r\n\n"));
    expect(written).toEqual(["a | 10% 20%\n", "a | \n"]);
  });

  test("have a colour per program that stays over restarts, and none where none is wanted", () => {
    const { written, log } = printer(true);
    log.stream("a").write(bytes("x\n"));
    log.stream("b").write(bytes("x\n"));
    log.stream("a").write(bytes("x\n"));
    const colours = written.map((line) => line.slice(0, line.indexOf("m")));
    expect(colours[0]).toStartWith("\x1b[");
    expect(colours[0]).toBe(colours[2]);
    expect(colours[0]).not.toBe(colours[1]);
    const plain = printer();
    plain.log.complain("no");
    plain.log.say("yes");
    expect(plain.written.join("")).not.toContain("\x1b");
  });
});
