/** IP addresses, sockets and networks, to and from the contract's messages. */

import { formatIp, ipBits, type Network, parseNetwork } from "../mesh/address.ts";
import type { SocketAddress } from "../mesh/address.ts";
import { assert } from "../base/assert.ts";
import { IPAddress, IPNetwork, TcpAddress } from "./gen/net.ts";

const LOW_64_BITS = (1n << 64n) - 1n;

/** The message for an IP address in text form. */
export function ipToWire(ip: string): IPAddress {
  const bits = ipBits(ip);
  assert(bits !== undefined, `"${ip}" is an IP address`);
  if (!ip.includes(":")) {
    return IPAddress.fromPartial({ ip: { $case: "ipv4", value: Number(bits) } });
  }
  const value = { first: bits >> 64n, last: bits & LOW_64_BITS };
  return IPAddress.fromPartial({ ip: { $case: "ipv6", value } });
}

/** The text form of an address; undefined when the message names none. */
export function ipFromWire(message: IPAddress | undefined): string | undefined {
  switch (message?.ip?.$case) {
    case "ipv4":
      return formatIp(4, BigInt(message.ip.value));
    case "ipv6":
      return formatIp(6, (message.ip.value.first << 64n) | message.ip.value.last);
    default:
      return undefined;
  }
}

/** The message for an address and port. */
export function addressToWire(address: SocketAddress): TcpAddress {
  return TcpAddress.fromPartial({ ip: ipToWire(address.ip), port: address.port });
}

/** The address and port of a message; undefined when either is missing or out of range. */
export function addressFromWire(message: TcpAddress | undefined): SocketAddress | undefined {
  const ip = ipFromWire(message?.ip);
  if (ip === undefined || message === undefined || message.port > 65_535) return undefined;
  return { ip, port: message.port };
}

/** The message for a network. */
export function networkToWire(network: Network): IPNetwork {
  return IPNetwork.fromPartial({
    ip: ipToWire(formatIp(network.version, network.bits)),
    prefixLen: network.prefix,
  });
}

/** The network of a message; undefined when its address is missing or its length out of range. */
export function networkFromWire(message: IPNetwork | undefined): Network | undefined {
  const ip = ipFromWire(message?.ip);
  if (ip === undefined || message === undefined) return undefined;
  if (message.prefixLen > (ip.includes(":") ? 128 : 32)) return undefined;
  return parseNetwork(`${ip}/${message.prefixLen}`);
}
