/** Types of settings that name places in a network: addresses, hosts, networks, ports. */

import * as v from "valibot";
import { type Network, parseAddress, parseNetwork, type SocketAddress } from "../mesh/address.ts";
import { isPort, type PortRange, portRange } from "../mesh/port-range.ts";
import { list, reading, type SettingType, typeOf } from "./type.ts";

/** A host's name or IP address, and a port. */
export interface HostPort {
  /** Without brackets around IPv6; a trailing dot is kept, it marks a name as complete. */
  readonly host: string;
  /** The TCP port. */
  readonly port: number;
}

/** `ip:port`; names are refused. */
export function socketAddress(): SettingType<SocketAddress> {
  return typeOf(
    {
      expected: "an IP address and port such as 127.0.0.1:8080 or [::1]:8080",
      placeholder: "IP:PORT",
    },
    reading((text) => parseAddress(text.trim())),
  );
}

/** `name:port`; an IP address will do for the name. */
export function hostPort(): SettingType<HostPort> {
  return typeOf(
    {
      expected: "a host and port such as malla-identity.malla.svc.cluster.local.:8080",
      placeholder: "HOST:PORT",
    },
    reading((text) => readHostPort(text.trim())),
  );
}

/** A TCP port, 1–65535. */
export function port(): SettingType<number> {
  return typeOf(
    { expected: "a port from 1 to 65535", placeholder: "PORT" },
    v.pipe(v.string(), v.trim(), v.check(isPortText), v.transform(Number)),
  );
}

/** CIDR networks separated by commas; a bare address is a network of one. */
export function networks(): SettingType<readonly Network[]> {
  const network = typeOf(
    { expected: "a network such as 10.0.0.0/8 or fd00::/8", placeholder: "CIDR" },
    reading(parseNetwork),
  );
  return list(network);
}

/** Ports and ranges of ports separated by commas: `80,443,8000-9000`. */
export function ports(): SettingType<readonly PortRange[]> {
  const range = typeOf(
    { expected: "a port or a range such as 80 or 8000-9000", placeholder: "PORTS" },
    reading(readPortRange),
  );
  return list(range);
}

function readHostPort(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const portText = match?.[3] ?? "";
  if (host === undefined || host === "." || !isPortText(portText)) throw new TypeError(text);
  return { host, port: Number(portText) };
}

function readPortRange(text: string): PortRange {
  const range = portRange(text);
  if (range === undefined) throw new TypeError(text);
  return range;
}

function isPortText(text: string): boolean {
  return /^\d{1,5}$/.test(text) && isPort(Number(text));
}
