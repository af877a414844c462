/**
 * A client of the soak's application: one session after the other on a few lanes, until its time is over:
 * WebSockets that echo, large bodies up and down, connections that are half-closed. Prints what it did
 * and everything that went wrong as one line of JSON.
 */

import { createConnection } from "node:net";
import { DIGEST, digestOf } from "./app.ts";

/** What a client did. */
export interface Sessions {
  readonly requests: number;
  readonly connections: number;
  readonly errors: readonly string[];
}

/** What is said on one WebSocket. */
const MESSAGES = 20;
const LARGE_BYTES = 5_000_000;
const LANES = 2;
const ERRORS_MAX = 20;

const [, , app = "", opaque = "", seconds = "1"] = process.argv;
const end = Date.now() + Number(seconds) * 1000;
let [requests, connections] = [0, 0];
const errors: string[] = [];

/** One session of each kind; they give back how many requests they were. */
const KINDS: Readonly<Record<string, () => Promise<number>>> = {
  webSocket,
  upload,
  download,
  halfClose,
};

await Promise.all(
  Object.entries(KINDS).flatMap(([name, session]) =>
    Array.from({ length: LANES }, () => lane(name, session))
  ),
);
console.log(JSON.stringify({ requests, connections, errors } satisfies Sessions));
process.exit(0);

async function lane(name: string, session: () => Promise<number>): Promise<void> {
  while (Date.now() < end && errors.length < ERRORS_MAX) {
    try {
      const done = await session();
      requests += done;
      connections++;
    } catch (error) {
      errors.push(`${name} at ${new Date().toISOString()}: ${String(error)}`);
    }
  }
}

async function webSocket(): Promise<number> {
  const socket = new WebSocket(`ws://${app}/`);
  const done = Promise.withResolvers<void>();
  let said = 0;
  const say = () => socket.send(`message ${said}`);
  socket.onopen = say;
  socket.onmessage = ({ data }) => {
    if (data !== `message ${said}`) return done.reject(new Error(`"${data}" for message ${said}`));
    if (++said === MESSAGES) socket.close();
    else say();
  };
  socket.onclose = ({ code, reason }) =>
    said === MESSAGES
      ? done.resolve()
      : done.reject(new Error(`closed after ${said} messages: ${code} ${reason}`));
  await done.promise;
  return MESSAGES;
}

async function upload(): Promise<number> {
  const body = crypto.getRandomValues(new Uint8Array(65_536));
  const large = new Uint8Array(LARGE_BYTES);
  for (let at = 0; at < large.length; at += body.length) {
    large.set(body.subarray(0, Math.min(body.length, large.length - at)), at);
  }
  const answer = await fetch(`http://${app}/`, { method: "POST", body: large });
  if (await answer.text() !== String(LARGE_BYTES)) throw new Error(`status ${answer.status}`);
  if (answer.headers.get(DIGEST) !== digestOf(large)) throw new Error("the body has changed");
  return 1;
}

async function download(): Promise<number> {
  const answer = await fetch(`http://${app}/?bytes=${LARGE_BYTES}`);
  const body = await answer.bytes();
  const isWhole = body.length === LARGE_BYTES && body.every((byte) => byte === 7);
  if (!isWhole) throw new Error(`status ${answer.status}, ${body.length} bytes`);
  return 1;
}

/** Says all, shuts its side and reads until the end, on a port of which the proxies know nothing. */
async function halfClose(): Promise<number> {
  const [host = "", port = ""] = opaque.split(":");
  const done = Promise.withResolvers<void>();
  let text = "";
  const socket = createConnection({ host, port: Number(port), allowHalfOpen: true });
  socket.on("connect", () => socket.end("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  socket.on("data", (chunk) => text += String(chunk));
  socket.on("end", () => done.resolve());
  socket.on("error", done.reject);
  await done.promise;
  if (!text.endsWith("\r\n\r\nok\n")) throw new Error(`answer "${text}"`);
  return 1;
}
