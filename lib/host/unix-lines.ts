/**
 * Messages over a unix socket: one JSON value a line, both ways. Only the socket's owner can connect
 * (mode 0600). A line that is too long or no JSON ends the connection.
 */

import { chmodSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { Fault } from "../base/fault.ts";

/** The other end of a connection. */
export interface LinePeer {
  send(message: unknown): void;
  /** Ends the connection after what was sent. */
  close(): void;
}

/** What to do with what comes. */
export interface LineHandler {
  message(value: unknown): void;
  /** The connection is over, whoever ended it. Called once. */
  closed(): void;
}

/** A listening socket. */
export interface LineServer {
  stop(): void;
}

/** A message holds at most an environment and a command, or a chunk of output. */
const LINE_CHARS_MAX = 4 * 1024 * 1024;

/** Listens at the path. Rejects with `unavailable` when it cannot. */
export function listenLines(
  path: string,
  accept: (peer: LinePeer) => LineHandler,
): Promise<LineServer> {
  return new Promise((resolve, reject) => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => void sockets.delete(socket));
      read(socket, accept(peerOf(socket)));
    });
    server.on("error", (cause) => {
      reject(new Fault("unavailable", `Cannot listen on "${path}"`, { cause }));
    });
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve({
        stop() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}

/** Connects to the path. Rejects with `unavailable` when nobody listens there. */
export function connectLines(path: string, handler: LineHandler): Promise<LinePeer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const refused = (cause: unknown) =>
      reject(new Fault("unavailable", `Cannot connect to "${path}"`, { cause }));
    socket.once("error", refused);
    socket.once("connect", () => {
      socket.off("error", refused);
      read(socket, handler);
      resolve(peerOf(socket));
    });
  });
}

function peerOf(socket: Socket): LinePeer {
  return {
    send: (message) => void socket.write(`${JSON.stringify(message)}\n`),
    close: () => void socket.end(),
  };
}

function read(socket: Socket, handler: LineHandler): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const value = parse(line);
      if (value === undefined) return void socket.destroy();
      handler.message(value);
    }
    if (rest.length > LINE_CHARS_MAX) socket.destroy();
  });
  // An error is always followed by `close`, which is all that anyone here needs to know.
  socket.on("error", () => {});
  socket.on("close", () => handler.closed());
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Not one of ours: told by the result.
    return undefined;
  }
}
