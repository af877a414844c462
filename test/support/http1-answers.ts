/** Reads HTTP/1 responses off a connection, independently of the product's parser. */

import { connect } from "node:net";

/** One final response. */
export interface Answer {
  readonly status: number;
  /** Names in lower case, in their order. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  /** Lines of a chunked body's trailer section. */
  readonly trailers: readonly string[];
  /** The connection ended before the body did. */
  readonly cut: boolean;
}

/** Longer than anything answers. */
const PATIENCE_MS = 8_000;

/** Sends bytes on a connection of their own; resolves to the answers, as many as there are methods. */
export function exchange(
  port: number,
  text: string,
  methods: readonly string[],
): Promise<Answer[]> {
  return new Promise((resolve) => {
    let got = "";
    const socket = connect({ port, host: "127.0.0.1" });
    const timer = setTimeout(() => {
      console.log("SLOW", port, text.slice(0, 300));
      socket.destroy();
    }, PATIENCE_MS);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
      if (answersIn(got, methods, false).length === methods.length) socket.destroy();
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(answersIn(got, methods, true));
    });
    socket.write(Buffer.from(text, "latin1"));
  });
}

/** The responses in the text; `isOver`: no more comes, so the last one may end with it. */
function answersIn(text: string, methods: readonly string[], isOver: boolean): Answer[] {
  const answers: Answer[] = [];
  let at = 0;
  while (answers.length < methods.length) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) break;
    const [line = "", ...lines] = text.slice(at, end).split("\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1] ?? 0);
    at = end + 4;
    if (status >= 100 && status < 200) continue;
    const headers = lines.map((each) => {
      const colon = each.indexOf(":");
      return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()] as const;
    });
    const method = methods[answers.length] ?? "";
    const rest = bodyOf(text, at, headers, status, method);
    if (rest === null && !isOver) break;
    const { body, trailers, next } = rest ??
      { body: text.slice(at), trailers: [], next: text.length };
    const isUntilClose = !headers.some(([name]) =>
      /^(content-length|transfer-encoding)$/.test(name)
    );
    answers.push({ status, headers, body, trailers, cut: rest === null && !isUntilClose });
    at = next;
  }
  return answers;
}

/** A body that is complete, or null. */
function bodyOf(
  text: string,
  at: number,
  headers: Answer["headers"],
  status: number,
  method: string,
): { body: string; trailers: string[]; next: number } | null {
  const value = (wanted: string) => headers.find(([name]) => name === wanted)?.[1];
  if (method === "HEAD" || status === 204 || status === 304) {
    return { body: "", trailers: [], next: at };
  }
  if (value("transfer-encoding") !== undefined) return chunksOf(text, at);
  const length = value("content-length");
  if (length === undefined || text.length < at + Number(length)) return null;
  return { body: text.slice(at, at + Number(length)), trailers: [], next: at + Number(length) };
}

function chunksOf(text: string, at: number) {
  let body = "";
  for (;;) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return null;
    const size = Number.parseInt(text.slice(at, end), 16);
    at = end + 2;
    if (size === 0) break;
    if (text.length < at + size + 2) return null;
    body += text.slice(at, at + size);
    at += size + 2;
  }
  if (text.startsWith("\r\n", at)) return { body, trailers: [], next: at + 2 };
  const end = text.indexOf("\r\n\r\n", at);
  if (end < 0) return null;
  return { body, trailers: text.slice(at, end).split("\r\n"), next: end + 4 };
}
