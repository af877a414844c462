/**
 * What a laptop mesh's proxies write down of single requests: an access log, and spans that a receiver
 * made of OpenTelemetry's own library takes, itself behind a proxy of the mesh.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { goFixtures, whyNoGo } from "../support/go-fixtures.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";

const LONG_MS = 120_000;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
/** Of a request that goes on to another pod. */
const FURTHER = "0af7651916cd43dd8448eb211c80319c";
const COLLECTOR = "collector.default.serviceaccount.identity.malla.cluster.local";

const reason = whyNoMesh("curl", "python3") ?? whyNoGo();
if (reason !== undefined) console.log(`skipping records of requests: ${reason}`);

/**
 * Answers with the trace that it was asked in, or with what another one says that it asks in that trace;
 * `/bad` is a failure.
 */
const APP = `import http.server, sys, urllib.request
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        trace = self.headers["traceparent"] or "none"
        body = trace.encode()
        if len(sys.argv) > 1:
            request = urllib.request.Request(sys.argv[1] + self.path, headers={"traceparent": trace})
            body = urllib.request.urlopen(request).read()
        self.send_response(500 if self.path == "/bad" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), App).serve_forever()`;

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly kind: string;
  readonly name: string;
  readonly status?: { readonly code?: string };
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, string>>;
}

describe.skipIf(reason !== undefined)("proxies that record requests", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    const { collector } = await goFixtures();
    copyFileSync(collector, `${laptop.app}/collector`);
    const collect = ["./app/collector", "0.0.0.0:4317"];
    laptop.write("collector.json", manifest("collector", collect, 4317, {}));
    const app = ["python3", "-c", APP];
    for (const [name, command] of [["web", app], ["front", [...app, "http://web"]]] as const) {
      laptop.write(`${name}.json`, manifest(name, command, 8000, recording(name)));
    }
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  function ask(path: string, ...words: readonly string[]) {
    return askPod("web", path, ...words);
  }

  function askPod(name: string, path: string, ...words: readonly string[]) {
    const url = `http://${name}${path}`;
    return laptop.run("run", `client-${++clients}`, "--", "curl", "-s", url, ...words);
  }

  /** The spans that the receiver has got so far. */
  function spans(): Span[] {
    const found: Span[] = [];
    for (const line of laptop.output.split("\n")) {
      const at = line.indexOf('{"resourceSpans"');
      if (at < 0) continue;
      for (const { resource, scopeSpans } of JSON.parse(line.slice(at)).resourceSpans) {
        for (const scope of scopeSpans) {
          for (const span of scope.spans) {
            const attributes = valuesOf(span.attributes);
            found.push({ ...span, attributes, resource: valuesOf(resource.attributes) });
          }
        }
      }
    }
    return found;
  }

  test(
    "a sampled trace goes on: the application sees our span, the collector gets it",
    async () => {
      const { out } = await ask("/a", "-H", `traceparent: 00-${TRACE}-${SPAN}-01`);
      const [, trace, own] = out.split("-");
      expect(trace).toBe(TRACE);
      expect(own).not.toBe(SPAN);
      await laptop.says('"resourceSpans"');
      const [span, ...more] = spans();
      expect(more).toEqual([]);
      expect(hexOf(span?.traceId)).toBe(TRACE);
      expect(hexOf(span?.parentSpanId)).toBe(SPAN);
      expect(hexOf(span?.spanId)).toBe(own ?? "");
      expect(span).toMatchObject({ kind: "SPAN_KIND_SERVER", name: "GET" });
      expect(span?.attributes).toMatchObject({
        "url.path": "/a",
        "server.address": "web",
        "http.response.status_code": "200",
        direction: "inbound",
        "client.id": "default.default.serviceaccount.identity.malla.cluster.local",
      });
      // From the annotation, the pod itself, and the file with its labels.
      expect(span?.resource).toMatchObject({
        "service.name": "shop-web",
        "k8s.pod.name": expect.stringMatching(/^web/),
        "linkerd.io/workload-ns": "default",
      });
      const durationNs = BigInt(span?.endTimeUnixNano ?? 0) - BigInt(span?.startTimeUnixNano ?? 0);
      expect(durationNs).toBeGreaterThan(0n);
    },
    LONG_MS,
  );

  test("a failure is one in its span, also by B3; what is not sampled is none", async () => {
    expect((await ask("/quiet", "-H", `traceparent: 00-${TRACE}-${SPAN}-00`)).out).toBe(
      `00-${TRACE}-${SPAN}-00`,
    );
    await ask("/bad", "-H", `b3: ${TRACE}-${SPAN}-1`);
    await laptop.says(/"resourceSpans".*\/bad/);
    const paths = spans().map(({ attributes }) => attributes["url.path"]);
    expect(paths).toEqual(["/a", "/bad"]);
    expect(spans()[1]?.status?.code).toBe("STATUS_CODE_ERROR");
  }, LONG_MS);

  test("the access log has a line for each request", async () => {
    await laptop.says(/"uri":"\/bad"/);
    const line = laptop.output.split("\n").find((text) => text.includes('"uri":"/a"')) ?? "";
    expect(JSON.parse(line.slice(line.indexOf("{")))).toMatchObject({
      "client.id": "default.default.serviceaccount.identity.malla.cluster.local",
      method: "GET",
      status: 200,
      trace_id: TRACE,
      response_bytes: 55,
      host: "web",
    });
    const byB3 = laptop.output.split("\n").find((text) => text.includes('"uri":"/bad"')) ?? "";
    const { trace_id, status } = JSON.parse(byB3.slice(byB3.indexOf("{")));
    expect([trace_id, status]).toEqual([TRACE, 500]);
  }, LONG_MS);

  test("the figures say what was handed over, and nothing was lost", async () => {
    const metrics = laptop.inside("curl", "-s", `http://${laptop.podIp("web")}:4191/metrics`);
    expect(metrics).toContain("opentelemetry_span_export_spans_total 2\n");
    expect(metrics).toContain('malla_trace_spans_dropped_total{reason="full"} 0\n');
    expect(metrics).toContain('malla_access_log_lines_total{result="dropped"} 0\n');
  });

  test(
    "a request that goes on to another pod: each proxy's span is below the one before",
    async () => {
      const { out } = await askPod("front", "/on", "-H", `traceparent: 00-${FURTHER}-${SPAN}-01`);
      await laptop.says(/(?:"stringValue":\s*"\/on"[^]*){3}/);
      const found = spans().filter(({ attributes }) => attributes["url.path"] === "/on");
      const spanOf = (service: string, kind: string) => {
        const [span, ...more] = found.filter((each) =>
          each.resource["service.name"] === `shop-${service}` && each.kind === kind
        );
        expect(more).toEqual([]);
        expect(hexOf(span?.traceId)).toBe(FURTHER);
        return { id: hexOf(span?.spanId), parent: hexOf(span?.parentSpanId), ...span };
      };
      const entry = spanOf("front", "SPAN_KIND_SERVER");
      const exit = spanOf("front", "SPAN_KIND_CLIENT");
      const last = spanOf("web", "SPAN_KIND_SERVER");
      expect([entry.parent, exit.parent, last.parent]).toEqual([SPAN, entry.id, exit.id]);
      expect(out).toBe(`00-${FURTHER}-${last.id}-01`);
      expect(found).toHaveLength(3);
      expect(exit.attributes).toMatchObject({
        direction: "outbound",
        "server.address": "web",
        "http.response.status_code": "200",
      });
      expect(last.attributes?.["client.id"]).toStartWith("front.default.serviceaccount.");
    },
    LONG_MS,
  );
});

/** Has a pod's proxy log requests and hand over spans. */
function recording(name: string): Readonly<Record<string, string>> {
  const tracing = [
    ["LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR", "collector.default.svc.cluster.local:4317"],
    ["LINKERD2_PROXY_TRACE_COLLECTOR_SVC_NAME", COLLECTOR],
  ].map(([variable, value]) => ({ name: variable, value }));
  return {
    "config.linkerd.io/access-log": "json",
    "config.linkerd.io/proxy-additional-env": JSON.stringify(tracing),
    "resource.opentelemetry.io/service.name": `shop-${name}`,
  };
}

/** A pod that is named so, under a service account of that name, and its Service. */
function manifest(
  name: string,
  command: readonly string[],
  port: number,
  annotations: Readonly<Record<string, string>>,
): string {
  const metadata = { name, labels: { app: name }, annotations };
  const container = { name, image: "any", command, ports: [{ containerPort: port }] };
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: {
      serviceAccountName: name,
      containers: [{ ...container, readinessProbe: { tcpSocket: { port } } }],
    },
  };
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: {
      selector: { app: name },
      ports: [{ port: port === 8000 ? 80 : port, targetPort: port }],
    },
  };
  return JSON.stringify({ apiVersion: "v1", kind: "List", items: [pod, service] });
}

/** Ids are base64 where OpenTelemetry's messages are written as JSON by protobuf's own rules. */
function hexOf(base64: string | undefined): string {
  return Buffer.from(base64 ?? "", "base64").toString("hex");
}

function valuesOf(
  attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[],
): Record<string, string> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]),
  );
}
