/**
 * Bun's TLS options from our own: TLS 1.3 alone, and ALPN as bytes. What is made of key material is made
 * once and shared by its connections, so that a ticket which one of them got opens the next one.
 */

import type { TLSOptions } from "bun";
import { createSecureContext } from "node:tls";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { TlsClientOptions, TlsMaterial, TlsServerOptions } from "./net.ts";
import { TlsSessions } from "./tls-sessions.ts";

/** SSL_OP_NO_TLSv1, _1 and _2 of BoringSSL: what is left is TLS 1.3. */
const ONLY_TLS_1_3 = 0x04000000 | 0x10000000 | 0x08000000;

/** The versions that are left by that. */
export const TLS_VERSIONS: readonly string[] = ["TLSv1.3"];

/**
 * The groups of key exchange that the runtime offers, in its order; a test holds them against the bytes of a
 * handshake between two proxies.
 */
export const TLS_GROUPS: readonly string[] = ["X25519MLKEM768", "X25519", "P-256", "P-384"];

/** A rotation has two at a time; more are of a process that plays several peers. */
const CONTEXTS_MAX = 4;

/** Options that Bun takes and its types do not know: the native half of Node's context. */
type SharedOptions = TLSOptions & { readonly secureContext: unknown };

/** What is kept for one key material. */
interface Context {
  readonly material: TlsMaterial;
  readonly native: unknown;
  readonly sessions: TlsSessions;
}

/** Where a client connection's session comes from and goes to. */
export class Resumption {
  readonly #sessions: TlsSessions;
  readonly #peer: string;

  constructor(sessions: TlsSessions, peer: string) {
    this.#sessions = sessions;
    this.#peer = peer;
  }

  find(): Uint8Array | undefined {
    return this.#sessions.find(this.#peer);
  }

  keep(session: Uint8Array): void {
    this.#sessions.keep(this.#peer, session);
  }

  drop(): void {
    this.#sessions.drop(this.#peer);
  }
}

/** The contexts of one network. */
export class TlsContexts {
  /** The newest first. */
  readonly #kept: Context[] = [];

  /** The options of a TLS server: the client may stay without a certificate, its reader decides. */
  server(options: TlsServerOptions): SharedOptions {
    return {
      ...shared(this.#of(options), options.alpn),
      requestCert: true,
      rejectUnauthorized: false,
    };
  }

  /** The options of a TLS client. */
  client(options: TlsClientOptions): SharedOptions {
    return {
      ...shared(this.#of(options), options.alpn),
      serverName: options.serverName,
      // With another peer name than the SNI, Bun's own check would refuse the right peer.
      rejectUnauthorized: options.peerName === options.serverName,
    };
  }

  /** The sessions with one peer: who it must be, and which of its replicas. */
  resumption(options: TlsClientOptions, address: SocketAddress): Resumption {
    const peer = `${options.peerName} ${options.serverName} ${formatAddress(address)}`;
    return new Resumption(this.#of(options).sessions, peer);
  }

  #of(material: TlsMaterial): Context {
    const index = this.#kept.findIndex((context) => isSame(context.material, material));
    const [found = makeContext(material)] = index < 0 ? [] : this.#kept.splice(index, 1);
    this.#kept.unshift(found);
    if (this.#kept.length > CONTEXTS_MAX) this.#kept.pop();
    return found;
  }
}

function makeContext(from: TlsMaterial): Context {
  const { certificateChain, privateKey, trustAnchors } = from;
  const { context } = createSecureContext({
    ca: trustAnchors,
    // A client that has no certificate yet shows none.
    ...(certificateChain === "" ? {} : { cert: certificateChain, key: privateKey }),
    secureOptions: ONLY_TLS_1_3,
  });
  return {
    material: { certificateChain, privateKey, trustAnchors },
    native: context,
    sessions: new TlsSessions(),
  };
}

function isSame(one: TlsMaterial, other: TlsMaterial): boolean {
  return one.certificateChain === other.certificateChain && one.privateKey === other.privateKey &&
    one.trustAnchors === other.trustAnchors;
}

function shared({ native }: Context, alpn: readonly string[]): SharedOptions {
  const options = { secureContext: native };
  return alpn.length === 0 ? options : { ...options, ALPNProtocols: alpnWire(alpn) };
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
