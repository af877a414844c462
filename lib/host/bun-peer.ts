/** Whether the peer of a TLS handshake is the right one, by what Bun tells of it. */

import type { Socket } from "bun";
import { X509Certificate } from "node:crypto";
import type { TlsClientOptions } from "./net.ts";

/** A socket whose handshake is done. */
type Handshaken = Pick<Socket<unknown>, "authorized" | "getPeerCertificate">;

/**
 * Bun has verified the chain, then compared the certificate with the SNI: its error tells which of
 * the two failed. A peer whose name is not the SNI is compared here.
 */
export function serverAccepted(
  client: TlsClientOptions,
  socket: Handshaken,
  error: Error | null,
): boolean {
  if (client.peerName === client.serverName) return error === null && socket.authorized;
  const code = (error as { code?: string } | null)?.code;
  const der = peerDer(socket);
  return (code === undefined || code === "ERR_TLS_CERT_ALTNAME_INVALID") && der !== null &&
    new X509Certificate(der).checkHost(client.peerName, { subject: "never" }) !== undefined;
}

/** A ticket may outlive the certificate that was shown for it, which nobody compares on resumption. */
export function isOver(socket: Handshaken, nowMs: number): boolean {
  const der = peerDer(socket);
  return der !== null && nowMs >= Date.parse(new X509Certificate(der).validTo);
}

export function peerDer(socket: Handshaken): Uint8Array | null {
  return (socket.getPeerCertificate() as { raw?: Uint8Array } | null)?.raw ?? null;
}
