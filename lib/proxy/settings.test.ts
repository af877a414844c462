import { describe, expect, test } from "bun:test";
import { ConfigFault } from "../config/mod.ts";
import { logLevelOf } from "./log-filter.ts";
import { type LoadedSettings, loadProxySettings, pathSettings } from "./settings.ts";

const P = "LINKERD2_PROXY_";
const ANCHORS = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";

/** As an injector writes it. */
const FULL: Readonly<Record<string, string>> = {
  [`${P}LOG`]: "warn,linkerd=info,hickory=error,[{headers}]=off,[{request}]=off",
  [`${P}LOG_FORMAT`]: "plain",
  [`${P}DESTINATION_SVC_ADDR`]: "linkerd-dst-headless.linkerd.svc.cluster.local.:8086",
  [`${P}DESTINATION_SVC_NAME`]: "linkerd-destination.linkerd.serviceaccount.identity.linkerd.c.l",
  [`${P}DESTINATION_CONTEXT`]: '{"ns":"n", "nodeName":"m", "pod":"p"}',
  [`${P}DESTINATION_PROFILE_NETWORKS`]: "10.0.0.0/8,fd00::/8",
  [`${P}DESTINATION_PROFILE_SUFFIXES`]: "svc.cluster.local.",
  [`${P}POLICY_SVC_ADDR`]: "linkerd-policy.linkerd.svc.cluster.local.:8090",
  [`${P}POLICY_SVC_NAME`]: "linkerd-destination.linkerd.serviceaccount.identity.linkerd.c.l",
  [`${P}POLICY_WORKLOAD`]: '{"ns":"n", "pod":"p"}',
  [`${P}POLICY_CLUSTER_NETWORKS`]: "10.0.0.0/8,fd00::/8",
  [`${P}IDENTITY_SVC_ADDR`]: "linkerd-identity-headless.linkerd.svc.cluster.local.:8080",
  [`${P}IDENTITY_SVC_NAME`]: "linkerd-identity.linkerd.serviceaccount.identity.linkerd.c.l",
  [`${P}IDENTITY_DIR`]: "/var/run/linkerd/identity/end-entity",
  [`${P}IDENTITY_TOKEN_FILE`]: "/var/run/secrets/tokens/linkerd-identity-token",
  [`${P}IDENTITY_TRUST_ANCHORS`]: ANCHORS,
  [`${P}IDENTITY_LOCAL_NAME`]: "web.n.serviceaccount.identity.linkerd.cluster.local",
  [`${P}INBOUND_DEFAULT_POLICY`]: "all-unauthenticated",
  [`${P}INBOUND_PORTS`]: "80,8080",
  [`${P}INBOUND_IPS`]: "10.1.2.3,fd00::3",
  [`${P}INBOUND_LISTEN_ADDR`]: "[::]:4143",
  [`${P}OUTBOUND_LISTEN_ADDRS`]: "127.0.0.1:4140,[::1]:4140",
  [`${P}CONTROL_LISTEN_ADDR`]: "[::]:4190",
  [`${P}ADMIN_LISTEN_ADDR`]: "[::]:4191",
  [`${P}INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION`]: "25,587,3306,9000-9010",
  [`${P}OUTBOUND_CONNECT_TIMEOUT`]: "1000ms",
  [`${P}INBOUND_CONNECT_TIMEOUT`]: "100ms",
  [`${P}CONTROL_STREAM_INITIAL_TIMEOUT`]: "3s",
  [`${P}CONTROL_STREAM_LIFETIME`]: "1h",
  [`${P}INBOUND_ACCEPT_KEEPALIVE`]: "10000ms",
  [`${P}SHUTDOWN_GRACE_PERIOD`]: "30s",
  MALLA_SOCKET_MARK: "2102",
};

function load(changes: Record<string, string | undefined> = {}): LoadedSettings {
  return loadProxySettings({ env: { ...FULL, ...changes }, args: [] });
}

function problems(changes: Record<string, string | undefined>): readonly string[] {
  try {
    load(changes);
  } catch (thrown) {
    if (thrown instanceof ConfigFault) return thrown.problems;
    throw thrown;
  }
  return [];
}

test("an injector's environment is taken", () => {
  const { settings, ineffective } = load();
  expect(ineffective).toEqual([]);
  expect(settings.logLevel).toBe("info");
  expect(settings.policyWorkload).toBe('{"ns":"n", "pod":"p"}');
  expect(settings.identityAddress).toEqual({
    host: "linkerd-identity-headless.linkerd.svc.cluster.local.",
    port: 8080,
  });
  const path = pathSettings(settings);
  expect([...path.ownPorts].sort()).toEqual([4140, 4143, 4190, 4191]);
  expect(path.inboundListen).toEqual([{ ip: "::", port: 4143 }]);
  expect(path.outboundListen.length).toBe(2);
  expect([...path.inboundIps]).toEqual(["10.1.2.3", "fd00::3"]);
  expect(path.inboundConnectTimeoutMs).toBe(100);
  expect(path.drainMs).toBe(30_000);
  expect(path.socketMark).toBe(2102);
  expect(path.poolIdleTimeoutMs).toBe(3_000);
});

test("what is required is asked for, all at once", () => {
  const found = problems({
    [`${P}POLICY_SVC_ADDR`]: undefined,
    [`${P}POLICY_WORKLOAD`]: undefined,
    [`${P}IDENTITY_TOKEN_FILE`]: "",
    [`${P}IDENTITY_TRUST_ANCHORS`]: undefined,
  });
  expect(found.length).toBe(4);
  expect(found.join("\n")).toContain(`${P}POLICY_WORKLOAD`);
});

test("a service needs a name unless it is on loopback", () => {
  expect(problems({ [`${P}POLICY_SVC_NAME`]: undefined })[0]).toContain(`set ${P}POLICY_SVC_NAME`);
  for (const address of ["localhost.:8090", "127.0.0.1:8090", "[::1]:8090"]) {
    expect(problems({ [`${P}POLICY_SVC_NAME`]: undefined, [`${P}POLICY_SVC_ADDR`]: address }))
      .toEqual([]);
  }
  // Without the dot it may be any host of the search path.
  expect(
    problems({
      [`${P}POLICY_SVC_NAME`]: undefined,
      [`${P}POLICY_SVC_ADDR`]: "localhost:8090",
    }).length,
  ).toBe(1);
});

describe("wrong values name variable, value and expectation", () => {
  const cases: [string, string, string][] = [
    ["INBOUND_LISTEN_ADDR", "4143", "an IP address and port"],
    ["OUTBOUND_LISTEN_ADDRS", "0.0.0.0:4140", "expected a loopback address"],
    ["OUTBOUND_LISTEN_ADDRS", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", "expected one or two"],
    ["OUTBOUND_CONNECT_TIMEOUT", "1000", "a duration with its unit"],
    ["INBOUND_DEFAULT_POLICY", "allow-all", "one of all-unauthenticated"],
    ["DESTINATION_PROFILE_NETWORKS", "10.0.0.0/33", "a network such as"],
    ["INBOUND_PORTS", "http", "a port from 1 to 65535"],
    ["INBOUND_IPS", "web", "an IP address"],
    ["LOG", "inof", "a level (off, error"],
    ["DNS_MIN_TTL", "soon", "a duration"],
    ["IDENTITY_LOCAL_NAME", "spiffe://cluster.local/ns/n/sa/web", "a DNS-like name"],
    ["CORES", "many", "a whole number"],
    ["CORES_MAX_RATIO", "0", "above 0 and at most 1"],
    ["IDENTITY_DISABLED", "1", "every proxy has an identity"],
    ["IDENTITY_SPIRE_WORKLOAD_API_ADDRESS", "unix:///x", "identity service"],
  ];
  for (const [name, value, expected] of cases) {
    test(`${name}=${value}`, () => {
      const found = problems({ [P + name]: value });
      expect(found.length).toBe(1);
      expect(found[0]).toContain(P + name);
      expect(found[0]).toContain(expected);
    });
  }
});

test("several cores share their ports, so these must be known", () => {
  const anyPort = { [`${P}INBOUND_LISTEN_ADDR`]: "0.0.0.0:0" };
  expect(problems(anyPort)).toEqual([]);
  expect(problems({ ...anyPort, [`${P}CORES_MAX_RATIO`]: "0.5" })[0]).toContain("port 0");
});

test("default policies that need the cluster's networks say so", () => {
  for (const policy of ["cluster-authenticated", "audit"]) {
    const found = problems({
      [`${P}INBOUND_DEFAULT_POLICY`]: policy,
      [`${P}POLICY_CLUSTER_NETWORKS`]: "",
    });
    expect(found[0]).toContain(`${P}POLICY_CLUSTER_NETWORKS`);
    expect(problems({ [`${P}INBOUND_DEFAULT_POLICY`]: policy })).toEqual([]);
  }
});

test("features that are missing are told, switches that are off are not", () => {
  const { ineffective } = load({
    [`${P}OUTBOUND_METRICS_HOSTNAME_LABELS`]: "false",
    [`${P}TAP_SVC_NAME`]: "tap.linkerd-viz.serviceaccount.identity.linkerd.cluster.local",
  });
  expect(ineffective).toEqual([`${P}TAP_SVC_NAME`]);
});

test("an ingress keeps from its clients what went wrong, unless it is told to say so", () => {
  const path = (env: Record<string, string>) => {
    const { ingress, explains } = pathSettings(load(env).settings);
    return [ingress, explains.outbound];
  };
  expect(path({})).toEqual([false, true]);
  expect(path({ [`${P}INGRESS_MODE`]: "true" })).toEqual([true, false]);
  const hides = `${P}OUTBOUND_DISABLE_INFORMATIONAL_HEADERS`;
  expect(path({ [`${P}INGRESS_MODE`]: "true", [hides]: "false" })).toEqual([true, true]);
  expect(path({ [hides]: "true" })).toEqual([false, false]);
});

test("log filters come down to one level", () => {
  const cases: [string, string | undefined][] = [
    ["info", "info"],
    ["warn,linkerd=debug", "debug"],
    ["linkerd=debug,warn", "debug"],
    ["linkerd=debug,malla=error,warn", "error"],
    ["linkerd2_proxy=debug,info", "info"],
    ["linkerd", "trace"],
    ["off", "silent"],
    ["WARN", "warn"],
    ["hickory=error", "info"],
    ["linkerd=info,linkerd[{a=1,b}]=debug", "info"],
    ["", "info"],
    ["linkerd=loud", undefined],
    ["inof", undefined],
    ["a=b=info", undefined],
  ];
  for (const [filter, level] of cases) {
    expect([filter, logLevelOf(filter)]).toEqual([filter, level]);
  }
});
