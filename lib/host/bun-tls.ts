/** Bun's TLS options from our own: TLS 1.3 alone, and ALPN as bytes. Made once per connection. */

import type { TLSOptions } from "bun";
import type { TlsClientOptions, TlsMaterial, TlsServerOptions } from "./net.ts";

/** SSL_OP_NO_TLSv1, _1 and _2 of BoringSSL: what is left is TLS 1.3. */
const ONLY_TLS_1_3 = 0x04000000 | 0x10000000 | 0x08000000;

/** The versions that are left by that. */
export const TLS_VERSIONS: readonly string[] = ["TLSv1.3"];

/**
 * The groups of key exchange that the runtime offers, in its order; a test holds them against the bytes of a
 * handshake between two proxies.
 */
export const TLS_GROUPS: readonly string[] = ["X25519MLKEM768", "X25519", "P-256", "P-384"];

/** The options of a TLS server: the client may stay without a certificate, its reader decides. */
export function serverTls(options: TlsServerOptions): TLSOptions {
  return {
    ...material(options, options.alpn),
    requestCert: true,
    rejectUnauthorized: false,
  };
}

/** The options of a TLS client. */
export function clientTls(options: TlsClientOptions): TLSOptions {
  return {
    ...material(options, options.alpn),
    serverName: options.serverName,
    // With another peer name than the SNI, Bun's own check would refuse the right peer.
    rejectUnauthorized: options.peerName === options.serverName,
  };
}

function material(from: TlsMaterial, alpn: readonly string[]): TLSOptions {
  const options: TLSOptions = { ca: from.trustAnchors, secureOptions: ONLY_TLS_1_3 };
  // A client that has no certificate yet shows none.
  if (from.certificateChain !== "") {
    options.cert = from.certificateChain;
    options.key = from.privateKey;
  }
  if (alpn.length > 0) options.ALPNProtocols = alpnWire(alpn);
  return options;
}

/** Each name after its length byte, as RFC 7301 has it and Bun wants it. */
function alpnWire(names: readonly string[]): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (const name of names) {
    bytes.push(name.length);
    for (let i = 0; i < name.length; i++) bytes.push(name.charCodeAt(i));
  }
  return new Uint8Array(bytes);
}
