/** Reads `--publish svc[.ns]:port=hostport`. */

import { Fault } from "../base/fault.ts";
import type { PublishedPort } from "./node-spec.ts";

/** Reads one value of the flag. Throws `invalid_argument`. */
export function parsePublish(text: string, namespace: string): PublishedPort {
  const match = /^([a-z0-9-]+)(?:\.([a-z0-9-]+))?:(\d{1,5})=(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const hostPort = Number(match?.[4]);
  const isPort = (value: number) => value >= 1 && value <= 65_535;
  if (match?.[1] === undefined || !isPort(port) || !isPort(hostPort)) {
    throw new Fault(
      "invalid_argument",
      `--publish "${text}": expected SERVICE[.NAMESPACE]:PORT=HOSTPORT, such as web:80=8080`,
    );
  }
  return { service: match[1], namespace: match[2] ?? namespace, port, hostPort };
}
