/** The main thread and its other cores, with threads that are only functions. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { createBunNet } from "../host/bun-net.ts";
import { systemClock } from "../host/clock.ts";
import { resolveHost } from "../host/dns.ts";
import type { WorkerEvents, WorkerThread } from "../host/worker.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { prometheusText } from "../telemetry/prometheus.ts";
import { sumOf } from "../telemetry/snapshot.ts";
import type { Credentials, ProxyEnvironment } from "./environment.ts";
import { runOtherCore } from "./other-core.ts";
import { type FromCore, OtherCores, type ToCore } from "./other-cores.ts";
import { loadProxySettings } from "./settings.ts";

const P = "LINKERD2_PROXY_";

/** What a core's byte path was given, and how it may end. */
interface Started {
  readonly environment: ProxyEnvironment;
  readonly drained: PromiseWithResolvers<void>;
}

let cores: OtherCores;
let paths: Started[];
let events: WorkerEvents<FromCore>[];
let stopped: number;
let levels: string[];
let faults: string[];
/** A port that is taken, as far as the cores know. */
let refusal: Error | null;
/** Messages of the main thread that the cores do not answer. */
let ignored: ToCore["kind"] | null;

function startCore(number: number, told: WorkerEvents<FromCore>): WorkerThread<ToCore> {
  let take: ((message: ToCore) => void) | undefined;
  events.push(told);
  runOtherCore(
    { post: (message) => told.message(structuredClone(message)), take: (call) => take = call },
    {
      number,
      settings: settings(),
      host: {
        net: createBunNet(),
        clock: systemClock,
        random: Math.random,
        resolve: resolveHost,
        openAccessLog: () => ({ write: () => true, flushed: () => Promise.resolve() }),
        log: { ...silentLogger, setLevel: (level) => void levels.push(level) },
      },
      startPath(environment) {
        if (refusal !== null) throw refusal;
        const drained = Promise.withResolvers<void>();
        paths.push({ environment, drained });
        return { drain: () => drained.promise };
      },
    },
  );
  return {
    post: (message) => message.kind === ignored || take?.(structuredClone(message)),
    stop: () => void stopped++,
  };
}

function settings() {
  const service = { ADDR: "127.0.0.1:1" };
  const env = Object.fromEntries(
    ["DESTINATION", "POLICY", "IDENTITY"].map((name) => [`${P}${name}_SVC_ADDR`, service.ADDR]),
  );
  return loadProxySettings({
    env: {
      ...env,
      [`${P}POLICY_WORKLOAD`]: "n:web-1",
      [`${P}IDENTITY_TOKEN_FILE`]: "/unused",
      [`${P}IDENTITY_TRUST_ANCHORS`]:
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
      [`${P}IDENTITY_LOCAL_NAME`]: "web.n",
    },
    args: [],
  }).settings;
}

function credentials(serial: string): Credentials {
  return {
    name: "web.n",
    serverName: "web.n",
    certificateChain: serial,
    privateKey: "key",
    trustAnchors: "anchors",
    expiresAtMs: 1,
  };
}

beforeEach(() => {
  [paths, events, levels, faults, stopped, refusal, ignored] = [[], [], [], [], 0, null, null];
  cores = new OtherCores({
    count: 2,
    clock: systemClock,
    drainMs: 60_000,
    startCore,
    failed: (fault) => void faults.push(fault.message),
  });
});

afterEach(() => cores.stop());

test("cores serve with the first certificate and see each new one", async () => {
  expect(paths).toHaveLength(0);
  cores.certified(credentials("first"));
  await cores.serving();
  expect(paths).toHaveLength(2);
  const current = () => paths.map(({ environment }) => environment.identity.current());
  expect(current()).toEqual([credentials("first"), credentials("first")]);
  cores.certified(credentials("second"));
  expect(current()).toEqual([credentials("second"), credentials("second")]);
  expect(paths).toHaveLength(2);
});

test("their figures come together, and those of a busy core as it told them last", async () => {
  cores.certified(credentials("first"));
  const series = paths.map(({ environment }) => environment.metrics.http({ direction: "inbound" }));
  const total = async () => {
    const text = prometheusText(sumOf(await cores.figures()));
    return /request_total\{direction="inbound"\} (\d+)/.exec(text)?.[1];
  };
  series[0]?.request();
  series[1]?.request();
  series[1]?.request();
  expect(await total()).toBe("3");
  ignored = "measure";
  series[0]?.request();
  expect(await total()).toBe("3");
});

test("a change of the log level reaches all", () => {
  cores.setLogLevel("debug");
  expect(levels).toEqual(["debug", "debug"]);
});

test("a drain is over when all have drained", async () => {
  cores.certified(credentials("first"));
  let isOver = false;
  const drained = cores.drain().then(() => isOver = true);
  paths[0]?.drained.resolve();
  await Promise.resolve();
  expect(isOver).toBe(false);
  paths[1]?.drained.resolve();
  await drained;
});

test("a core that cannot serve fails the proxy, once and by its number", () => {
  refusal = new Error("port 4143 is taken");
  cores.certified(credentials("first"));
  expect(faults).toEqual(["Core 2 cannot serve: port 4143 is taken"]);
});

test("so does one that ends by itself; one that is stopped does not", () => {
  events[1]?.ended("exit code 1");
  expect(faults).toEqual(["Core 3 has ended: exit code 1"]);
  cores.stop();
  expect(stopped).toBe(2);
  events[0]?.ended("exit code 1");
  expect(faults).toHaveLength(1);
});
