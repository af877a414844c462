/**
 * The floor: two hops of a relay in C that does nothing for its connections but carry their bytes over one
 * shared hop (`relay.c`). What it costs is the kernel's part of any pair of proxies that reads and writes
 * once per message, so no proxy can be expected below it.
 */

import { until } from "../support/lab.ts";
import {
  answers,
  BACKEND_PORTS,
  type Place,
  proxyCores,
  type TwoHops,
  WAYS,
  waysTo,
} from "./place.ts";

/** Added to a backend's port: where the client's side and the server's side listen. */
const CLIENT_OFFSET = 10_000;
const SERVER_OFFSET = 20_000;

/** Starts a pair of relays for each way. */
export async function startFloor(place: Place, program: string): Promise<TwoHops> {
  const { client, server } = place;
  const core = { core: proxyCores(1) };
  const proxies = [];
  for (const way of WAYS) {
    const port = BACKEND_PORTS[way];
    const [near, far] = [String(port + CLIENT_OFFSET), String(port + SERVER_OFFSET)];
    const relay = server.start([program, "server", far, server.ip, String(port)], core);
    proxies.push(place.keep(relay));
    const listening = ["ss", "-Hltn", `sport = :${far}`];
    await until(`a relay listens on ${far}`, () => server.run(listening) !== "");
    proxies.push(place.keep(client.start([program, "client", near, server.ip, far], core)));
  }
  const ways = waysTo((way) => `127.0.0.1:${BACKEND_PORTS[way] + CLIENT_OFFSET}`);
  for (const way of WAYS) await answers(client, way, ways[way]);
  return { name: "floor", place, ways, proxies };
}
