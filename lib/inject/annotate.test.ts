/** Asking for proxies in manifests, and taking them back. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { annotateWorkload, askingAnnotations, uninjectWorkload } from "./annotate.ts";
import { controlServices } from "./options.ts";
import { DEFAULT_PROXY_CONFIG } from "./proxy-config.ts";
import { injectWorkload, type NamespaceLookup } from "./workload.ts";

const FIXTURES = new URL("../../test/fixtures/inject/", import.meta.url).pathname;
const ASKING = askingAnnotations("enabled", { "proxy-cpu-request": "10m" });
const anywhere: NamespaceLookup = (name = "default") => ({ name, annotations: {} });

function deployment(annotations?: Record<string, string>, containers = [{ name: "app" }]) {
  const metadata = annotations === undefined ? {} : { metadata: { annotations } };
  const template = { ...metadata, spec: { containers } };
  return { kind: "Deployment", metadata: { name: "web" }, spec: { template } };
}

describe("asking", () => {
  test("annotates the pods of a workload, and a namespace", () => {
    const { object, reports } = annotateWorkload(deployment({ a: "b" }), anywhere, ASKING);
    expect(object).toEqual(deployment({
      a: "b",
      "malla.dev/inject": "enabled",
      "config.malla.dev/proxy-cpu-request": "10m",
    }));
    expect(reports).toEqual([
      { object: "deployment/web", namespace: "default", outcome: "annotated" },
    ]);
    const namespace = { kind: "Namespace", metadata: { name: "shop" } };
    expect(annotateWorkload(namespace, anywhere, ASKING).object).toEqual({
      kind: "Namespace",
      metadata: { name: "shop", annotations: ASKING },
    });
  });

  test("leaves alone what holds no pods, refuses or cannot", () => {
    const map = { kind: "ConfigMap", metadata: { name: "c" } };
    expect(annotateWorkload(map, anywhere, ASKING)).toMatchObject({
      object: map,
      reports: [{ outcome: "unchanged" }],
    });
    const refusing = deployment({ "linkerd.io/inject": "disabled" });
    expect(annotateWorkload(refusing, anywhere, ASKING)).toMatchObject({
      object: refusing,
      reports: [{ outcome: "skipped", reason: expect.stringContaining('is "disabled"') }],
    });
    const meshed = deployment({}, [{ name: "istio-proxy" }]);
    expect(annotateWorkload(meshed, anywhere, ASKING).reports[0]?.outcome).toBe("skipped");
  });

  test("a workload without a pod is refused by name", () => {
    const broken = { kind: "Deployment", metadata: { name: "d" }, spec: {} };
    expect(() => annotateWorkload(broken, anywhere, ASKING)).toThrow(
      "deployment/d: Cannot read spec.template",
    );
  });
});

describe("taking back", () => {
  test.each(["deployment", "cronjob", "pod-plain-sidecar"])("what was added to %s", (name) => {
    const input: unknown = Bun.YAML.parse(readFileSync(`${FIXTURES}${name}.yaml`, "utf8"));
    const { object } = injectWorkload(input, anywhere, {
      version: "1",
      controlPlaneNamespace: "malla",
      clusterDomain: "cluster.local",
      trustDomain: "cluster.local",
      trustAnchors: "PEM",
      ...controlServices("malla", "cluster.local", "cluster.local"),
      clusterNetworks: "",
      ipv6: false,
      injectByDefault: true,
      obeyLinkerd: true,
      proxy: DEFAULT_PROXY_CONFIG,
    });
    const { object: back, reports } = uninjectWorkload(object, anywhere);
    expect(reports[0]?.outcome).toBe("uninjected");
    // The fixtures' own annotations of the mesh go as well, so both sides lose them.
    expect(back).toEqual(uninjectWorkload(input, anywhere).object);
    expect(JSON.stringify(back)).not.toContain("linkerd");
  });

  test("and of what was only asked for, items of a list included", () => {
    const asked = annotateWorkload(deployment(), anywhere, ASKING).object;
    const list = { kind: "List", items: [asked, { kind: "Secret", metadata: { name: "s" } }] };
    const { object, reports } = uninjectWorkload(list, anywhere);
    expect(object).toEqual({
      kind: "List",
      items: [
        {
          ...deployment(),
          spec: { template: { metadata: {}, spec: { containers: [{ name: "app" }] } } },
        },
        { kind: "Secret", metadata: { name: "s" } },
      ],
    });
    expect(reports.map(({ outcome }) => outcome)).toEqual(["uninjected", "unchanged"]);
    expect(uninjectWorkload(deployment({ a: "b" }), anywhere).reports[0]?.outcome).toBe(
      "unchanged",
    );
  });
});
