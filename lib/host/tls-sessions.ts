/**
 * TLS sessions that may be resumed (RFC 8446 §2.2), by peer: the next handshake then needs no certificate,
 * which is half of its cost. Bounded: the longest unused one goes first.
 */

import { TLS_SESSIONS_MAX } from "../base/limits.ts";

/** The sessions of one key material; with other keys or trust anchors none of them counts. */
export class TlsSessions {
  readonly #byPeer = new Map<string, Uint8Array>();

  /** The session to offer to a peer. */
  find(peer: string): Uint8Array | undefined {
    return this.#byPeer.get(peer);
  }

  /** Keeps a peer's newest session. */
  keep(peer: string, session: Uint8Array): void {
    this.#byPeer.delete(peer);
    this.#byPeer.set(peer, session);
    if (this.#byPeer.size <= TLS_SESSIONS_MAX) return;
    for (const oldest of this.#byPeer.keys()) {
      this.#byPeer.delete(oldest);
      return;
    }
  }

  /** Forgets a peer's session, with which a handshake failed. */
  drop(peer: string): void {
    this.#byPeer.delete(peer);
  }
}
