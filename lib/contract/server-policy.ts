/**
 * Server policies as messages of `InboundServerPolicies.WatchPort`, in the form that every proxy of the
 * contract accepts: labels name the policy and each authorization, networks are never empty, and every
 * HTTP protocol has a route that catches all. Probes are a route of their own that admits anybody.
 */

import type { Authorization, ClientMatch, ProbeRequest, ServerPolicy } from "../mesh/policy.ts";
import type { Network } from "../mesh/address.ts";
import { networkToWire } from "./address.ts";
import { durationToWire } from "./duration.ts";
import {
  type Authn,
  type Authz,
  type DeepPartial,
  type HttpRoute,
  type ProxyProtocol,
  Server,
} from "./gen/inbound.ts";
import { HttpMethod_Registered } from "./gen/http_types.ts";
import { defaultResource, resourceInit, resourceToLabels } from "./resource.ts";

/** The name of the route that admits probes; proxies report it in their metrics. */
export const PROBE = "probe";

type AuthzInit = DeepPartial<Authz>;
type RouteInit = DeepPartial<HttpRoute>;

/** The message for a policy. */
export function serverPolicyToWire(policy: ServerPolicy): Server {
  return Server.fromPartial({
    protocol: protocolInit(policy),
    // An authorization without a network admits nobody, and proxies refuse the whole policy for it.
    authorizations: policy.authorizations
      .filter(({ networks }) => networks.length > 0)
      .map(authorizationInit),
    labels: resourceToLabels(policy.resource),
  });
}

function protocolInit(policy: ServerPolicy): DeepPartial<ProxyProtocol> {
  switch (policy.protocol) {
    case "detect": {
      const timeout = durationToWire(policy.detectTimeoutMs);
      return { kind: { $case: "detect", value: { timeout, httpRoutes: httpRoutes(policy) } } };
    }
    case "http1":
      return { kind: { $case: "http1", value: { routes: httpRoutes(policy) } } };
    case "http2":
      return { kind: { $case: "http2", value: { routes: httpRoutes(policy) } } };
    case "grpc": {
      const metadata = resourceInit(defaultResource("default"));
      const value = { routes: [{ metadata, rules: [{ matches: [{ rpc: {} }] }] }] };
      return { kind: { $case: "grpc", value } };
    }
    case "opaque":
      return { kind: { $case: "opaque", value: {} } };
    case "tls":
      return { kind: { $case: "tls", value: {} } };
  }
}

function httpRoutes(policy: ServerPolicy): RouteInit[] {
  const { probes, probeNetworks } = policy;
  const all: RouteInit = {
    metadata: resourceInit(defaultResource("default")),
    rules: [{ matches: [{ path: { kind: { $case: "prefix", value: "/" } } }] }],
  };
  if (probes.length === 0 || probeNetworks.length === 0) return [all];
  return [all, probeRoute(probes, probeNetworks)];
}

function probeRoute(probes: readonly ProbeRequest[], networks: readonly Network[]): RouteInit {
  return {
    metadata: resourceInit(defaultResource(PROBE)),
    authorizations: [authorizationInit({
      networks: networks.map((network) => ({ network, except: [] })),
      clients: { kind: "unauthenticated" },
      resource: defaultResource(PROBE),
    })],
    rules: [{
      matches: probes.map(({ method, path }) => ({
        path: { kind: { $case: "exact", value: path } },
        method: { type: { $case: "registered", value: HttpMethod_Registered[method] } },
      })),
    }],
  };
}

function authorizationInit(authorization: Authorization): AuthzInit {
  return {
    networks: authorization.networks.map(({ network, except }) => ({
      net: networkToWire(network),
      except: except.map(networkToWire),
    })),
    authentication: authenticationInit(authorization.clients),
    labels: resourceToLabels(authorization.resource),
    metadata: resourceInit(authorization.resource),
  };
}

function authenticationInit(clients: ClientMatch): DeepPartial<Authn> {
  switch (clients.kind) {
    case "unauthenticated":
      return { permit: { $case: "unauthenticated", value: {} } };
    case "tls": {
      const value = { clients: { $case: "unauthenticated" as const, value: {} } };
      return { permit: { $case: "meshTLS", value } };
    }
    case "identities": {
      const value = {
        identities: clients.names.map((name) => ({ name })),
        suffixes: clients.suffixes.map((parts) => ({ parts: [...parts] })),
      };
      return {
        permit: { $case: "meshTLS", value: { clients: { $case: "identities", value } } },
      };
    }
  }
}
