/**
 * The application behind the soak: echoes WebSocket messages, answers a body with its length and digest,
 * and sends bodies of any length. Run by itself on a port.
 */

/** Header of answers with the digest of the request's body. */
export const DIGEST = "x-digest";

/** The digest of a body, as both sides make it. */
export function digestOf(bytes: Uint8Array): string {
  return Bun.hash.crc32(bytes).toString(16);
}

if (import.meta.main) serve(Number(process.argv[2]));

function serve(port: number): void {
  Bun.serve({
    hostname: "0.0.0.0",
    port,
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    async fetch(request, server) {
      if (server.upgrade(request, { data: undefined })) return undefined;
      const url = new URL(request.url);
      if (request.method === "GET") {
        return new Response(new Uint8Array(Number(url.searchParams.get("bytes") ?? 0)).fill(7));
      }
      const body = await request.bytes();
      return new Response(String(body.length), { headers: { [DIGEST]: digestOf(body) } });
    },
    websocket: {
      message: (socket, message) => void socket.send(message),
    },
  });
}
