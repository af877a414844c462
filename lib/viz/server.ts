/** The dashboard as a whole: watches a source, scrapes, keeps history, serves the API and the page. */

import { COMMIT, VERSION } from "../base/version.ts";
import type { HostPort } from "../config/mod.ts";
import type { Clock } from "../host/clock.ts";
import { httpGet } from "../host/http-get.ts";
import { serveWeb, type WebServer } from "../host/web-server.ts";
import type { Source, SourceWatcher } from "../source/mod.ts";
import { problemLog } from "../source/problem-log.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createApi } from "./api.ts";
import { addPage } from "./assets.ts";
import { ClusterView, VIEW_KINDS } from "./cluster.ts";
import { ASK_BOUNDS, askHealth } from "./health.ts";
import { History } from "./history.ts";
import { expectOk, Scraper } from "./scraper.ts";
import type { VizSettings } from "./settings.ts";

/** What the dashboard runs on. */
export interface VizOptions {
  readonly settings: VizSettings;
  readonly source: Source;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A running dashboard. */
export interface Viz {
  readonly apiPort: number;
  readonly pagePort: number;
  stop(): Promise<void>;
}

/** Starts the dashboard. Rejects when a port is taken or the source can never work. */
export async function startViz({ settings, source, clock, log }: VizOptions): Promise<Viz> {
  const view = new ClusterView();
  const history = new History(settings.adminPort);
  const version = { version: VERSION, ...COMMIT === undefined ? {} : { commit: COMMIT } };
  const health = () => {
    return askHealth({
      view,
      nowMs: clock.nowMs(),
      adminPort: settings.adminPort,
      components: { identity: place(settings.identity), controller: place(settings.controller) },
      ask: (url) => httpGet(url, ASK_BOUNDS),
    });
  };
  const api = { view, history, clock, version, health, hosts: settings.hosts };
  const apiApp = createApi(api);
  const pageApp = createApi(api);
  addPage(pageApp);
  const scraper = new Scraper({
    view,
    history,
    clock,
    log,
    fetch: async (url, timeoutMs, bytesMax) =>
      expectOk(url, await httpGet(url, { timeoutMs, bytesMax })),
    periodMs: settings.scrapePeriodMs,
    adminPort: settings.adminPort,
  });
  const servers: WebServer[] = [];
  const watch = await source.watch(VIEW_KINDS, watcherOf(view, log, source.name));
  try {
    servers.push(serveWeb({ ...settings.apiListen, handler: (request) => apiApp.fetch(request) }));
    servers.push(
      serveWeb({ ...settings.pageListen, handler: (request) => pageApp.fetch(request) }),
    );
  } catch (error) {
    watch.stop();
    for (const server of servers) await server.stop();
    throw error;
  }
  scraper.start();
  const [apiPort = 0, pagePort = 0] = servers.map(({ port }) => port);
  log.info("dashboard listens", { apiPort, pagePort, source: source.name });
  return {
    apiPort,
    pagePort,
    async stop() {
      scraper.stop();
      watch.stop();
      for (const server of servers) await server.stop();
    },
  };
}

function watcherOf(view: ClusterView, log: Logger, name: string): SourceWatcher {
  const logProblems = problemLog(log, name);
  return {
    applied: (object) => view.applied(object),
    deleted: (ref) => view.deleted(ref),
    synced() {
      view.synced();
      log.info("source is read", { source: name, pods: view.pods().length });
    },
    problems(problems) {
      view.problems(problems);
      logProblems(problems);
    },
  };
}

function place({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
