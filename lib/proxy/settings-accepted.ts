/**
 * Variables of the contract that this proxy takes without using them yet. Their values are checked all
 * the same, so that a mistake shows at the first start and not with the release that begins to use them.
 */

import {
  boolean,
  defineSettings,
  duration,
  type Environment,
  integer,
  type Schema,
  type SettingType,
  string,
} from "../config/mod.ts";

const PREFIX = "LINKERD2_PROXY_";

const DURATIONS = [
  "INBOUND_CONNECT_EXP_BACKOFF_MIN",
  "INBOUND_CONNECT_EXP_BACKOFF_MAX",
  "OUTBOUND_CONNECT_EXP_BACKOFF_MIN",
  "OUTBOUND_CONNECT_EXP_BACKOFF_MAX",
  "OUTBOUND_TCP_FAILFAST_TIMEOUT",
  "INBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT",
  "INBOUND_ACCEPT_KEEPALIVE",
  "OUTBOUND_ACCEPT_KEEPALIVE",
  "INBOUND_CONNECT_KEEPALIVE",
  "OUTBOUND_CONNECT_KEEPALIVE",
  "INBOUND_ACCEPT_USER_TIMEOUT",
  "OUTBOUND_ACCEPT_USER_TIMEOUT",
  "INBOUND_CONNECT_USER_TIMEOUT",
  "OUTBOUND_CONNECT_USER_TIMEOUT",
  "DNS_MIN_TTL",
  "DNS_MAX_TTL",
] as const;

const INTEGERS = [
  "OUTBOUND_TCP_QUEUE_CAPACITY",
  "MAX_IDLE_CONNS_PER_ENDPOINT",
  "INBOUND_TCP_LISTEN_BACKLOG",
  "OUTBOUND_TCP_LISTEN_BACKLOG",
  "HTTP2_INITIAL_STREAM_WINDOW_SIZE",
  "HTTP2_INITIAL_CONNECTION_WINDOW_SIZE",
] as const;

const TEXTS = [
  "DESTINATION_PROFILE_SUFFIXES",
] as const;

/** What changes the proxy's behaviour where it is used: whoever sets it is told that it is not. */
const FEATURES: Readonly<Record<string, SettingType<unknown>>> = {
  INBOUND_GATEWAY_SUFFIXES: string(),
  TAP_SVC_NAME: string(),
  OUTBOUND_METRICS_HOSTNAME_LABELS: boolean(),
  INBOUND_METRICS_AUTHORITY_LABELS: string(),
};

/** The accepted variables with their types. */
export const acceptedSettings = defineSettings("proxy", schema());

/** The variables of `env` whose feature is missing; a switch that is off does not count. */
export function ineffective(env: Environment): string[] {
  return Object.keys(FEATURES).map((name) => PREFIX + name).filter((name) => {
    const value = env[name] ?? "";
    return !["", "false", "0", "no"].includes(value);
  });
}

function schema(): Schema {
  const types: [string, SettingType<unknown>][] = [
    ...DURATIONS.map((name) => [name, duration()] as [string, SettingType<unknown>]),
    ...INTEGERS.map((name) => [name, integer()] as [string, SettingType<unknown>]),
    ...TEXTS.map((name) => [name, string()] as [string, SettingType<unknown>]),
    ...Object.entries(FEATURES),
  ];
  return Object.fromEntries(
    types.map(([name, type]) => [name, { env: PREFIX + name, type, help: "Has no effect yet." }]),
  );
}
