/** A line to a server on loopback that can drop what it carries, as a network does that loses its way. */

import { connect, createServer, type Server, type Socket } from "node:net";

/** Forwards connections; those of a moment can fall silent, while later ones work. */
export class LossyLine {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      near.pipe(far).pipe(near);
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
  }

  /** Before the server on this port. */
  static async before(port: number): Promise<LossyLine> {
    const line = new LossyLine(port);
    await new Promise<void>((done) => line.#server.listen(0, "127.0.0.1", done));
    return line;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** The connections of now stay open and carry nothing more, in neither direction. */
  fallSilent(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
