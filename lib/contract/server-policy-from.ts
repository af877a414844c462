/**
 * Server policies out of messages of `InboundServerPolicies.WatchPort`.
 *
 * A foreign control plane may send more than `ServerPolicy` can say: routes with matches, filters or
 * authorizations of their own, rate limits. Such a policy becomes one without any authorization, whose
 * name says `unsupported policy: …`: following only a part of it would admit what it refuses. A single
 * authorization that is not understood is left out, which admits fewer.
 */

import type { Network } from "../mesh/address.ts";
import type {
  Authorization,
  ClientMatch,
  PortProtocol,
  ProbeRequest,
  ServerPolicy,
} from "../mesh/policy.ts";
import { networkFromWire } from "./address.ts";
import { durationFromWire } from "./duration.ts";
import type { HttpRouteMatch } from "./gen/http_route.ts";
import { type HttpMethod, HttpMethod_Registered } from "./gen/http_types.ts";
import type { Authn, Authz, HttpLocalRateLimit, HttpRoute, Server } from "./gen/inbound.ts";
import { defaultResource, resourceFromLabels, resourceFromWire } from "./resource.ts";
import { PROBE } from "./server-policy.ts";

const DETECT_TIMEOUT_MS = 10_000;

/** What the routes of a policy amount to. */
interface Routes {
  readonly probes: readonly ProbeRequest[];
  readonly probeNetworks: readonly Network[];
  /** What cannot be followed; undefined when all is understood. */
  readonly unsupported?: string;
}

const NO_PROBES: Routes = { probes: [], probeNetworks: [] };

/** The policy in a message. Never throws: what is not understood admits nobody. */
export function serverPolicyFromWire(message: Server): ServerPolicy {
  const kind = message.protocol?.kind;
  switch (kind?.$case) {
    case "detect": {
      const { timeout, httpRoutes, httpLocalRateLimit } = kind.value;
      const detectTimeoutMs = durationFromWire(timeout, DETECT_TIMEOUT_MS);
      return policyOf(message, "detect", routesOf(httpRoutes, httpLocalRateLimit), detectTimeoutMs);
    }
    case "http1":
    case "http2":
      return policyOf(message, kind.$case, routesOf(kind.value.routes, kind.value.localRateLimit));
    case "grpc": {
      const narrow = kind.value.routes.some((route) =>
        route.hosts.length > 0 || route.authorizations.length > 0 ||
        route.rules.some(({ matches, filters }) =>
          filters.length > 0 ||
          matches.some(({ rpc, headers }) => headers.length > 0 || rpc?.service || rpc?.method)
        )
      );
      const routes = narrow ? { ...NO_PROBES, unsupported: "gRPC routes" } : NO_PROBES;
      return policyOf(message, "grpc", routes);
    }
    case "opaque":
    case "tls":
      return policyOf(message, kind.$case, NO_PROBES);
    default:
      return policyOf(message, "detect", { ...NO_PROBES, unsupported: "unknown protocol" });
  }
}

function policyOf(
  message: Server,
  protocol: PortProtocol,
  routes: Routes,
  detectTimeoutMs = DETECT_TIMEOUT_MS,
): ServerPolicy {
  const { probes, probeNetworks, unsupported } = routes;
  if (unsupported !== undefined) {
    const resource = defaultResource(`unsupported policy: ${unsupported}`);
    return {
      protocol,
      detectTimeoutMs,
      authorizations: [],
      resource,
      probes: [],
      probeNetworks: [],
    };
  }
  return {
    protocol,
    detectTimeoutMs,
    authorizations: message.authorizations
      .map(authorizationFromWire)
      .filter((authorization) => authorization !== undefined),
    resource: resourceFromLabels(message.labels),
    probes,
    probeNetworks,
  };
}

function routesOf(
  routes: readonly HttpRoute[],
  limit: HttpLocalRateLimit | undefined,
): Routes {
  if (limit?.total !== undefined || limit?.identity !== undefined || limit?.overrides.length) {
    return { ...NO_PROBES, unsupported: "rate limit" };
  }
  const probes = new Map<string, ProbeRequest>();
  const probeNetworks = new Map<string, Network>();
  // No route at all is how older control planes say that every request is served.
  let catchesAll = routes.length === 0;
  for (const route of routes) {
    if (isCatchAll(route)) {
      catchesAll = true;
      continue;
    }
    const probe = probeOf(route);
    if (probe === undefined) return { ...NO_PROBES, unsupported: `HTTP route ${nameOf(route)}` };
    for (const one of probe.probes) probes.set(`${one.method} ${one.path}`, one);
    for (const network of probe.probeNetworks) probeNetworks.set(network.text, network);
  }
  if (!catchesAll) return { ...NO_PROBES, unsupported: "no route for all requests" };
  return { probes: [...probes.values()], probeNetworks: [...probeNetworks.values()] };
}

function nameOf(route: HttpRoute): string {
  return resourceFromWire(route.metadata, "without name").name;
}

/** A route that changes nothing: all hosts, one rule for all requests, no authorization of its own. */
function isCatchAll(route: HttpRoute): boolean {
  const [rule, ...more] = route.rules;
  if (rule === undefined || more.length > 0 || rule.filters.length > 0) return false;
  if (route.hosts.length > 0 || route.authorizations.length > 0) return false;
  return rule.matches.length === 0 ||
    rule.matches.some(({ path, ...match }) =>
      hasNoCondition(match) &&
      (path === undefined || (path.kind?.$case === "prefix" && path.kind.value === "/"))
    );
}

/** The requests and networks of a route that admits exact paths to anybody there. */
function probeOf(route: HttpRoute): Routes | undefined {
  const { metadata, hosts, rules, authorizations } = route;
  if (metadata?.kind?.$case !== "default" || metadata.kind.value !== PROBE) return undefined;
  if (hosts.length > 0) return undefined;
  const probes: ProbeRequest[] = [];
  for (const { matches, filters } of rules) {
    if (filters.length > 0 || matches.length === 0) return undefined;
    for (const { path, method, ...match } of matches) {
      const name = methodOf(method);
      if (name === undefined || !hasNoCondition(match) || path?.kind?.$case !== "exact") {
        return undefined;
      }
      probes.push({ method: name, path: path.kind.value });
    }
  }
  const probeNetworks: Network[] = [];
  for (const authz of authorizations) {
    const authorization = authorizationFromWire(authz);
    if (authorization?.clients.kind !== "unauthenticated") return undefined;
    for (const { network, except } of authorization.networks) {
      if (except.length > 0) return undefined;
      probeNetworks.push(network);
    }
  }
  return { probes, probeNetworks };
}

/** The method, if probes may have it. */
function methodOf(method: HttpMethod | undefined): ProbeRequest["method"] | undefined {
  if (method?.type?.$case !== "registered") return undefined;
  switch (method.type.value) {
    case HttpMethod_Registered.GET:
      return "GET";
    case HttpMethod_Registered.POST:
      return "POST";
    default:
      return undefined;
  }
}

function hasNoCondition(match: Partial<HttpRouteMatch>): boolean {
  return match.method === undefined && (match.headers?.length ?? 0) === 0 &&
    (match.queryParams?.length ?? 0) === 0;
}

function authorizationFromWire(message: Authz): Authorization | undefined {
  const clients = clientsFromWire(message.authentication);
  if (clients === undefined) return undefined;
  const networks: { network: Network; except: Network[] }[] = [];
  for (const { net, except } of message.networks) {
    const network = networkFromWire(net);
    const exceptions = except.map(networkFromWire);
    // A network whose exceptions are not all understood would admit too many.
    if (network === undefined || exceptions.includes(undefined)) continue;
    networks.push({ network, except: exceptions.filter((known) => known !== undefined) });
  }
  if (networks.length === 0) return undefined;
  const resource = message.metadata === undefined
    ? resourceFromLabels(message.labels)
    : resourceFromWire(message.metadata);
  return { networks, clients, resource };
}

function clientsFromWire(message: Authn | undefined): ClientMatch | undefined {
  switch (message?.permit?.$case) {
    case "unauthenticated":
      return { kind: "unauthenticated" };
    case "meshTLS":
      break;
    default:
      return undefined;
  }
  const { clients } = message.permit.value;
  switch (clients?.$case) {
    case "unauthenticated":
      return { kind: "tls" };
    case "identities":
      return {
        kind: "identities",
        names: clients.value.identities.map(({ name }) => name),
        suffixes: clients.value.suffixes.map(({ parts }) => parts),
      };
    default:
      return undefined;
  }
}
