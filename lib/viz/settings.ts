/** The settings of `malla viz`. */

import {
  defineSettings,
  duration,
  hostPort,
  list,
  logSettings,
  nonEmpty,
  port,
  type Settings,
  socketAddress,
  sourceSettings,
} from "../config/mod.ts";

/** What the dashboard is told. */
export const vizSettings = defineSettings("viz", {
  ...sourceSettings,
  apiListen: {
    env: "MALLA_VIZ_API_LISTEN",
    flag: "api-listen",
    type: socketAddress(),
    default: "127.0.0.1:8085",
    help: "Where the metrics API listens.",
  },
  pageListen: {
    env: "MALLA_VIZ_PAGE_LISTEN",
    flag: "page-listen",
    type: socketAddress(),
    default: "127.0.0.1:8084",
    help: "Where the live page listens; it answers the API too.",
  },
  hosts: {
    env: "MALLA_VIZ_HOSTS",
    flag: "hosts",
    type: list(nonEmpty()),
    default: "",
    help: "Names besides localhost and addresses under which the page may be asked for.",
  },
  scrapePeriodMs: {
    env: "MALLA_VIZ_SCRAPE_PERIOD",
    flag: "scrape-period",
    type: duration(),
    default: "1s",
    help: "How often each proxy's metrics are read.",
  },
  adminPort: {
    env: "MALLA_VIZ_ADMIN_PORT",
    flag: "admin-port",
    type: port(),
    default: "4191",
    help: "The proxies' port with the metrics.",
  },
  identity: {
    env: "MALLA_IDENTITY_ADMIN",
    flag: "identity-admin",
    type: hostPort(),
    default: "127.0.0.1:9990",
    help: "The identity service's admin endpoints, asked for its health.",
  },
  controller: {
    env: "MALLA_CONTROLLER_ADMIN",
    flag: "controller-admin",
    type: hostPort(),
    default: "127.0.0.1:9996",
    help: "The controller's admin endpoints, asked for its health.",
  },
  ...logSettings,
});

/** The settings once loaded. */
export type VizSettings = Settings<typeof vizSettings.settings>;
