/**
 * What an operator does to a mesh at work: ask a real Prometheus about it, change a Deployment, take pods
 * away, all while requests go through.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";
import { failuresOf, requestsOf } from "../support/wrk.ts";

const LONG_MS = 90_000;

/** One series of an answer of Prometheus, with the value at the time of the question. */
interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

const reason = whyNoMesh("curl", "nginx", "wrk");
const noPrometheus = whyNoMesh("prometheus", "promtool");
const said = reason ?? noPrometheus;
if (said !== undefined) console.log(`skipping (some of) a mesh's operation: ${said}`);

describe.skipIf(reason !== undefined)("a mesh at work", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    laptop.copy("foreign");
    if (noPrometheus === undefined) laptop.copy("prometheus");
    for (const name of ["cache.yaml", "files.yaml"]) laptop.remove(name);
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  function client(...command: readonly string[]) {
    return laptop.run("run", `client-${++clients}`, "--", ...command);
  }

  /** The series that Prometheus answers to a query, as soon as there are any. */
  async function query(text: string): Promise<readonly Series[]> {
    const url = "http://prometheus:9090/api/v1/query";
    let found: readonly Series[] = [];
    await until(async () => {
      const { out } = await client("curl", "-sS", url, "--data-urlencode", `query=${text}`);
      const answer = JSON.parse(out);
      expect(answer.status).toBe("success");
      found = answer.data.result;
      return found.length > 0;
    });
    return found;
  }

  test.skipIf(noPrometheus !== undefined).each(contractSeries())(
    "Prometheus has %s with the contract's labels",
    async (text, labels) => {
      const [series] = await query(text);
      const { __name__: name, job: _job, instance: _instance, ...own } = series?.metric ?? {};
      expect<unknown>(own).toEqual(labels);
      expect(text).toStartWith(`${name}{`);
    },
    LONG_MS,
  );

  test.skipIf(noPrometheus !== undefined)(
    "Prometheus computes what dashboards ask for",
    async () => {
      const buckets = 'irate(response_latency_ms_bucket{direction="outbound"}[30s])';
      const [latency] = await query(
        `histogram_quantile(0.95, sum by (le, dst_deployment) (${buckets})) >= 0`,
      );
      expect(latency?.metric).toEqual({ dst_deployment: "web" });
      expect(Number(latency?.value[1])).toBeLessThan(Infinity);
      const responses = 'increase(response_total{direction="inbound"}[30s])';
      const [success] = await query(`sum by (classification, tls) (${responses}) > 0`);
      expect(success?.metric).toEqual({ classification: "success", tls: "true" });
      const [open] = await query('sum(tcp_open_connections{direction="outbound", tls="true"}) > 0');
      expect(open).toBeDefined();
    },
    LONG_MS,
  );

  test.skipIf(noPrometheus !== undefined).each(["servers", "clients"])(
    "promtool finds nothing in the metrics of %s but the contract's own names",
    async (service) => {
      const script = `
        ip=$(getent hosts ${service} | head -1 | cut -d' ' -f1)
        curl -sS http://$ip:4191/metrics > ${service}.metrics
        grep -c ^request_total ${service}.metrics >&2
        promtool check metrics < ${service}.metrics 2>&1`;
      const { out, err } = await client("sh", "-c", script);
      expect(err).toMatch(/^[1-9]\d*$/m);
      expect(out.trim().split("\n")).toEqual(
        ["control_response_latency_ms", "response_latency_ms"].map((name) =>
          `${name} metric names should not contain abbreviated units`
        ),
      );
    },
    LONG_MS,
  );

  test("a change of a Deployment and the removal of a pod cost no request", async () => {
    const nginx = () => laptop.processes(/^nginx: master /);
    await until(() => nginx().length === 2);
    const before = new Set(nginx());
    const command = [
      "stdbuf",
      "-oL",
      "wrk",
      "-t1",
      "-c16",
      "-d60s",
      "--timeout",
      "20s",
      "http://web/",
    ];
    const load = laptop.start(["run", "load", "--", ...command]);
    await until(() => load.text().includes("Running"));
    const manifest = readFileSync(`${laptop.app}/web.yaml`, "utf8");
    const changed = manifest.replace(
      /^( +)(labels: \{ app: web \})$/m,
      '$1$2\n$1annotations: { v: "2" }',
    );
    expect(changed).not.toBe(manifest);
    laptop.write("web.yaml", changed);
    await until(() => nginx().length === 2 && nginx().every((pid) => !before.has(pid)));
    laptop.write("web.yaml", changed.replace("replicas: 2", "replicas: 1"));
    await until(() => nginx().length === 1);
    // Ctrl-C on `malla run` would be a SIGTERM to wrk, which then says nothing.
    process.kill(laptop.process(/^wrk /), "SIGINT");
    await load.ended;
    expect(requestsOf(load.text())).toBeGreaterThan(1_000);
    expect(failuresOf(load.text())).toBe(0);
  }, LONG_MS);

  test("after the end nothing is left", async () => {
    expect(await laptop.end()).toBe(0);
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);
});

/** Queries, and the labels that their series must have; empty ones are none to Prometheus. */
function contractSeries(): [string, Readonly<Record<string, unknown>>][] {
  const identity = (account: string) =>
    `${account}.default.serviceaccount.identity.malla.cluster.local`;
  const target = {
    target_addr: expect.stringMatching(/^10\.42\.\d+\.\d+:8080$/),
    target_ip: expect.stringMatching(/^10\.42\.\d+\.\d+$/),
    target_port: "8080",
    tls: "true",
  };
  const inbound = {
    ...target,
    direction: "inbound",
    client_id: identity("client"),
    srv_kind: "default",
    srv_name: "all-unauthenticated",
    srv_port: "8080",
    authz_kind: "default",
    authz_name: "all-unauthenticated",
  };
  const outbound = {
    ...target,
    direction: "outbound",
    server_id: identity("web"),
    dst_namespace: "default",
    dst_service: "web",
    dst_deployment: "web",
    dst_pod: expect.stringMatching(/^web-/),
    dst_pod_template_hash: expect.stringMatching(/^\w+$/),
    dst_serviceaccount: "web",
    dst_control_plane_ns: "malla",
    dst_zone_locality: "unknown",
  };
  const routed = { ...inbound, route_kind: "default", route_name: "default" };
  const named = { ...outbound, authority: "web.default.svc.cluster.local:80" };
  // Below 500 it is the client's fault.
  const missing = { classification: "success", status_code: "404" };
  const bucket = { status_code: "200", le: "+Inf" };
  return [
    ['request_total{direction="inbound"}', routed],
    ['request_total{direction="outbound"}', named],
    ['response_total{direction="inbound",status_code="404"}', { ...routed, ...missing }],
    ['response_total{direction="outbound",status_code="404"}', { ...named, ...missing }],
    [
      'response_latency_ms_bucket{direction="inbound",status_code="200",le="+Inf"}',
      { ...routed, ...bucket },
    ],
    [
      'response_latency_ms_bucket{direction="outbound",status_code="200",le="+Inf"}',
      { ...named, ...bucket },
    ],
    ['tcp_open_total{direction="inbound",peer="src",tls="true"}', { ...inbound, peer: "src" }],
    ['tcp_open_total{direction="outbound",peer="dst",tls="true"}', { ...named, peer: "dst" }],
  ];
}
