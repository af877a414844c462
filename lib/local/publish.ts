/**
 * The way into the laptop mesh: `--publish web:80=8080`. The outer process listens on the machine's
 * loopback and hands each connection to the inner one, which connects to the service's address.
 */

import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import type { ConnHandler, Listener, Net } from "../host/net.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { Logger } from "../telemetry/logger.ts";
import { handOver } from "./relay-client.ts";
import { Leg } from "./relay-leg.ts";
import type { RelayStatus } from "./relay-protocol.ts";
import { type RelayServer, serveRelay } from "./relay-server.ts";

/** One published port of a Service. */
export interface Publication {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  /** The port on the machine's 127.0.0.1. */
  readonly hostPort: number;
}

/** What the outer half needs. */
export interface PublishOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Logger;
  /** The unix socket on which the inner process answers. */
  readonly relayPath: string;
}

/** What the inner half needs. */
export interface InsideOptions {
  readonly net: Net;
  readonly clock: Clock;
  /** Where the unix socket is made; only this user can connect to it. */
  readonly path: string;
  /** The address and port of a Service; null when there is none. */
  readonly place: (namespace: string, service: string, port: number) => SocketAddress | null;
}

const EXPECTED = "expected service:port=hostport or service.namespace:port=hostport, " +
  "such as web:80=8080";

/** What a user should know when a published port did not answer. */
const ADVICE: Readonly<Partial<Record<RelayStatus, string>>> = {
  denied: "no such service or port",
  refused: "no pod is ready to answer",
  unreachable: "the mesh does not answer",
};

/** Reads `web:80=8080` or `web.shop:80=8080`. Throws `invalid_argument`. */
export function parsePublication(text: string): Publication {
  const [, service, namespace = "default", port, hostPort] =
    /^([a-z0-9-]+)(?:\.([a-z0-9-]+))?:(\d{1,5})=(\d{1,5})$/.exec(text) ?? [];
  const numbers = [Number(port), Number(hostPort)];
  const valid = numbers.every((number) => number >= 1 && number <= 65_535);
  if (service === undefined || !valid) {
    throw new Fault("invalid_argument", `Cannot publish "${text}": ${EXPECTED}`);
  }
  return { namespace, service, port: Number(port), hostPort: Number(hostPort) };
}

/** Throws `invalid_argument` when two are to have the same port of the machine. */
export function checkPublications(published: readonly Publication[]): void {
  const titles = new Map<number, string>();
  for (const publication of published) {
    const { service, port, hostPort } = publication;
    const former = titles.get(hostPort);
    if (former !== undefined) {
      throw new Fault(
        "invalid_argument",
        `Cannot publish ${
          titleOf(publication)
        } on 127.0.0.1:${hostPort}: ${former} has that port; ` +
          `choose another one, such as ${service}:${port}=${nextPort(hostPort)}`,
      );
    }
    titles.set(hostPort, titleOf(publication));
  }
}

/** Listens on the machine for one publication. Throws `unavailable` when its port is in use. */
export function publish(publication: Publication, options: PublishOptions): Listener {
  const { namespace, service, port, hostPort } = publication;
  const { net, clock, log, relayPath } = options;
  const title = titleOf(publication);
  const handler: ConnHandler<Leg> = {
    open(conn) {
      const request = { kind: "service", namespace, name: service, port } as const;
      handOver(conn, relayPath, request, clock, (status) => {
        // A client that went away by itself is nobody's concern.
        if (status === "bad") return;
        const reason = ADVICE[status] ?? status;
        log.warn("published port could not reach its service", { service: title, reason });
      });
    },
    secure() {},
    data() {},
    drain() {},
    end() {},
    close() {},
  };
  try {
    return net.listen({ ip: "127.0.0.1", port: hostPort }, handler, () => new Leg());
  } catch (cause) {
    throw new Fault(
      "unavailable",
      `Cannot publish ${title} on 127.0.0.1:${hostPort}: is the port in use? ` +
        `Choose another one, such as ${service}:${port}=${nextPort(hostPort)}`,
      { cause },
    );
  }
}

function titleOf({ service, namespace, port }: Publication): string {
  return `${service}.${namespace}:${port}`;
}

/** A port to propose in place of this one. */
function nextPort(port: number): number {
  return port < 65_535 ? port + 1 : port - 1;
}

/** Answers the outer process: connects to services from within the mesh. */
export function serveInside(options: InsideOptions): RelayServer {
  return serveRelay({
    ...options,
    place(request) {
      if (request.kind !== "service") return [];
      const address = options.place(request.namespace, request.name, request.port);
      return address === null ? [] : [address];
    },
  });
}
