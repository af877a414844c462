/** UDP sockets, for the mesh's DNS. A datagram that cannot be sent is lost, as on any network. */

import { Fault } from "../base/fault.ts";
import type { SocketAddress } from "../mesh/address.ts";

/** A bound UDP socket. */
export interface UdpSocket {
  readonly address: SocketAddress;
  send(bytes: Uint8Array, to: SocketAddress): void;
  stop(): void;
}

/** Takes one datagram; the bytes belong to the taker. */
export type UdpReceiver = (bytes: Uint8Array, from: SocketAddress) => void;

/** Binds a UDP socket; port 0 picks a free one. Rejects with `unavailable` when it is taken. */
export async function bindUdp(address: SocketAddress, receive: UdpReceiver): Promise<UdpSocket> {
  try {
    const socket = await Bun.udpSocket({
      hostname: address.ip,
      port: address.port,
      binaryType: "uint8array",
      socket: {
        data(_socket, bytes, port, ip) {
          receive(new Uint8Array(bytes), { ip, port });
        },
        // An ICMP answer to something sent earlier: there is nobody to tell.
        error() {},
      },
    });
    return {
      address: { ip: address.ip, port: socket.port },
      send: (bytes, to) => void socket.send(bytes, to.port, to.ip),
      stop: () => socket.close(),
    };
  } catch (cause) {
    throw new Fault("unavailable", `Cannot bind UDP ${address.ip}:${address.port}`, { cause });
  }
}
