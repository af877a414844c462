/**
 * Names of services to addresses, by the machine's resolver configuration. SRV is asked first: behind a
 * headless Service it tells every pod and its port. An address is its own answer, no question is sent.
 */

import { promises as dns } from "node:dns";
import { Fault } from "../base/fault.ts";
import { isIp, type SocketAddress } from "../mesh/address.ts";

/** Resolves a host and port; at least one address. Throws `unavailable` when there is none. */
export type ResolveHost = (host: string, port: number) => Promise<readonly SocketAddress[]>;

/** The questions that are asked. A trailing dot marks a name as complete: no search domain is tried. */
export interface DnsQueries {
  srv(name: string): Promise<readonly { readonly name: string; readonly port: number }[]>;
  /** IPv4 and IPv6 addresses. */
  addresses(name: string): Promise<readonly string[]>;
}

/** How long all questions about one name may take. */
const RESOLVE_TIMEOUT_MS = 5_000;

/** The machine's resolver. `localhost.` is always loopback, as RFC 6761 wants. */
export const resolveHost: ResolveHost = (host, port) => resolveWith(systemQueries(), host, port);

/** The rule apart from the network: SRV first, then A and AAAA. */
export async function resolveWith(
  queries: DnsQueries,
  host: string,
  port: number,
): Promise<readonly SocketAddress[]> {
  if (isIp(host)) return [{ ip: host, port }];
  if (host === "localhost" || host === "localhost.") return [{ ip: "127.0.0.1", port }];
  const faults: unknown[] = [];
  const services = await attempt(faults, () => queries.srv(host));
  // A Service with several ports answers with all of them.
  const ours = services.some((service) => service.port === port)
    ? services.filter((service) => service.port === port)
    : services;
  const found: SocketAddress[] = [];
  for (const service of ours) {
    const target = service.name.endsWith(".") ? service.name : `${service.name}.`;
    const ips = await attempt(faults, () => queries.addresses(target));
    found.push(...ips.map((ip) => ({ ip, port: service.port })));
  }
  if (found.length === 0) {
    const ips = await attempt(faults, () => queries.addresses(host));
    found.push(...ips.map((ip) => ({ ip, port })));
  }
  if (found.length > 0) return found;
  throw new Fault("unavailable", `Cannot resolve "${host}": the name has no address`, {
    cause: faults.at(-1),
  });
}

async function attempt<T>(
  faults: unknown[],
  ask: () => Promise<readonly T[]>,
): Promise<readonly T[]> {
  try {
    return await ask();
  } catch (thrown) {
    // No such record is the usual answer to one of the questions; it shows when all fail.
    faults.push(thrown);
    return [];
  }
}

function systemQueries(): DnsQueries {
  const resolver = new dns.Resolver({ timeout: RESOLVE_TIMEOUT_MS / 2, tries: 2 });
  return {
    srv: (name) => resolver.resolveSrv(name.replace(/\.$/, "")),
    async addresses(name) {
      // The files of the machine (/etc/hosts) count for addresses, so this is the libc's way.
      const answers = await dns.lookup(name, { all: true });
      return answers.map(({ address }) => address);
    },
  };
}
