/** HTTP/1 by hand for tests: what exactly was sent and received, byte by byte. */

import { connect, createServer, type Server, type Socket } from "node:net";

/** An application that is told of each request's bytes. */
export class RawServer {
  readonly server: Server;
  readonly sockets: Socket[] = [];
  /** Everything that each connection has sent. */
  readonly received: string[] = [];
  port = 0;

  constructor(serve: (socket: Socket, text: string, connection: number) => void) {
    this.server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = this.sockets.push(socket) - 1;
      this.received.push("");
      socket.on("error", () => {});
      socket.on("end", () => void socket.end());
      socket.on("data", (chunk) => {
        const text = chunk.toString("latin1");
        this.received[connection] += text;
        serve(socket, text, connection);
      });
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((done) => this.server.listen(0, "127.0.0.1", done));
    this.port = (this.server.address() as { port: number }).port;
    return this;
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** A client connection. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  ended = false;
  closed = false;
  error = "";

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("data", (chunk) => void (this.text += chunk.toString("latin1")));
    this.socket.on("end", () => void (this.ended = true));
    this.socket.on(
      "error",
      (error) => void (this.error = (error as { code?: string }).code ?? "?"),
    );
    this.socket.on("close", () => void (this.closed = true));
  }

  send(text: string): this {
    this.socket.write(Buffer.from(text, "latin1"));
    return this;
  }

  /** No more can come. */
  get over(): boolean {
    return this.ended || this.closed;
  }

  /** How often the text was received. */
  times(text: string): number {
    return this.text.split(text).length - 1;
  }

  stop(): void {
    this.socket.destroy();
  }
}

/** A complete response with a body of known length. */
export function respond(body: string, head = "HTTP/1.1 200 OK"): string {
  return `${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}
