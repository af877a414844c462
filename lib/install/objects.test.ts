/** The objects of installations: golden files, the API's own types, and what must hold of all. */

import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { CHART_FOLDER, CNI_CHART_FOLDER } from "../../cmd/chart.ts";
import { INSTALLATIONS, PEMS, valuesOf } from "../../test/support/install.ts";
import { kubeTypeProblems } from "../../test/support/kube-types.ts";
import { VERSION } from "../base/version.ts";
import { readValues, valuesOf as leavesOf } from "../config/mod.ts";
import { controlServices } from "../inject/mod.ts";
import { formatManifests } from "../source/files/manifest-text.ts";
import { chartFiles, CNI_CHART, CONTROL_PLANE_CHART } from "./chart.ts";
import { goJson } from "./evaluate.ts";
import { installObjects, type KubeManifest, namespaceObjects, scopeOf } from "./objects.ts";
import { contradictions } from "./requirements.ts";
import { INSTALL_VALUES, type InstallValues } from "./values.ts";

const FIXTURES = new URL("../../test/fixtures/install/", import.meta.url).pathname;
const NAMES = Object.keys(INSTALLATIONS);
/** Those whose objects are kept whole; the others differ from them in what their values say. */
const GOLDEN = ["default", "odd"];

function objectsOf(name: string): readonly KubeManifest[] {
  const values = valuesOf(name);
  return [...namespaceObjects(values, "malla"), ...installObjects(values, "malla")];
}

function find(objects: readonly KubeManifest[], kind: string, name: string): KubeManifest {
  const found = objects.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

test.each(GOLDEN)("the installation %s is as its golden file says", (name) => {
  const golden = `${FIXTURES}${name}.golden.yaml`;
  const text = formatManifests(objectsOf(name)).replaceAll(VERSION, "VERSION");
  if (process.env["UPDATE_GOLDEN"]) writeFileSync(golden, text);
  expect(text).toBe(readFileSync(golden, "utf8"));
});

describe.each(NAMES)("the installation %s", (name) => {
  test("has the API's types, and no object twice", () => {
    const objects = objectsOf(name);
    expect(objects.flatMap(kubeTypeProblems)).toEqual([]);
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names.filter((one, index) => names.indexOf(one) !== index)).toEqual([]);
  });

  test("has no contradictions", () => {
    const values = valuesOf(name);
    expect(contradictions(scopeOf(values, "malla"), values)).toEqual([]);
  });

  test("keeps what the pod security level asks for", () => {
    for (const { spec } of objectsOf(name).filter(({ kind }) => kind === "Deployment")) {
      const pod = (spec as { template: { spec: Record<string, unknown> } }).template.spec;
      expect(pod).toMatchObject({
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
        containers: [{
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ["ALL"] },
            readOnlyRootFilesystem: true,
          },
        }],
      });
    }
  });
});

test("the parts find each other by the names that proxies are told", () => {
  const objects = objectsOf("default");
  const { identity, destination, policy } = controlServices("malla", "cluster.local", "x");
  for (const { address, identity: account } of [identity, destination, policy]) {
    const [, name = "", port = ""] =
      /^([^.]+)\.malla\.svc\.cluster\.local\.:(\d+)$/.exec(address) ??
        [];
    const service = find(objects, "Service", name);
    expect(JSON.stringify(service)).toContain(`"port":${port}`);
    const [serviceAccount = ""] = account.split(".");
    const deployment = find(objects, "Deployment", serviceAccount);
    const { selector } = service["spec"] as { selector: Record<string, string> };
    const { template } = deployment["spec"] as {
      template: { metadata: { labels: Record<string, string> } };
    };
    expect(template.metadata.labels).toMatchObject(selector);
  }
});

test("pods of the control plane do not count as meshed, and are not those of Linkerd's services", () => {
  for (const object of objectsOf("odd").filter(({ kind }) => kind === "Deployment")) {
    const text = JSON.stringify(object);
    expect(text).not.toContain("linkerd.io/control-plane-ns");
    expect(text).not.toMatch(/"linkerd.io\/control-plane-component":"(identity|destination)"/);
  }
});

test("no value is without effect", () => {
  // Each leaf is changed alone, with all parts switched on; an object other than the record of the
  // values must change with it.
  const base = { ...valuesOf("odd"), takeOverLinkerd: false };
  const record = ({ metadata }: KubeManifest) => metadata.name !== "malla-config";
  const text = (values: InstallValues) =>
    JSON.stringify([
      ...namespaceObjects(values, "malla"),
      ...installObjects(values, "malla").filter(record),
    ]);
  const before = text(base);
  const without = leavesOf(INSTALL_VALUES).filter(({ path, value }) => {
    const changed = structuredClone(base) as unknown as Record<string, unknown>;
    let place: Record<string, unknown> = changed;
    for (const step of path.slice(0, -1)) place = place[step] as Record<string, unknown>;
    const key = path.at(-1) ?? "";
    const other = {
      text: "zzz",
      integer: 77,
      boolean: place[key] !== true,
      map: { z: "z" },
      list: [{}],
    };
    place[key] = other[value.kind];
    return text(changed as unknown as InstallValues) === before;
  });
  expect(without.map(({ path }) => path.join("."))).toEqual([]);
});

describe("contradictions", () => {
  const rows: [string, object, string][] = [
    ["no anchors", { identityTrustAnchorsPEM: "" }, "identityTrustAnchorsPEM is empty"],
    ["two sources of anchors", { identity: { externalCA: true } }, "contradict each other"],
    [
      "an issuer without its key",
      { identity: { issuer: { tls: { keyPEM: "" } } } },
      "crtPEM and keyPEM are needed together",
    ],
    [
      "an issuer given and external",
      { identity: { issuer: { scheme: "kubernetes.io/tls" } } },
      "the scheme kubernetes.io/tls contradict",
    ],
    [
      "a webhook's secret without authority",
      { injector: { externalSecret: true } },
      "needs injector.caBundle or injector.injectCaFrom",
    ],
    [
      "an authority without secret",
      { injector: { injectCaFrom: "a/b" } },
      "have no meaning without",
    ],
    [
      "ports twice",
      { proxy: { ports: { admin: 4143 } } },
      "proxy.ports.inbound and proxy.ports.admin are both 4143",
    ],
  ];
  rows.push(
    [
      "more memory than a proxy may use",
      { proxy: { resources: { memory: { request: "1Gi", limit: "250Mi" } } } },
      "proxy.resources.memory: the request 1Gi is more than the limit 250Mi",
    ],
    [
      "more CPU than a part may use",
      { viz: { resources: { requests: { cpu: 2 }, limits: { cpu: "1500m" } } } },
      "viz.resources cpu: the request 2 is more than the limit 1500m",
    ],
  );
  test.each(rows)("%s", (_title, tree, message) => {
    const layers = [PEMS, tree as typeof PEMS].map((one) => ({ name: "test", tree: one }));
    const values = readValues("install", INSTALL_VALUES, layers);
    const found = contradictions(scopeOf(values, "malla"), values);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });
});

test("JSON is Go's: keys in order, HTML's characters escaped", () => {
  expect(goJson({ b: "<&>", a: [{ d: 1, c: null }] })).toBe(
    '{"a":[{"c":null,"d":1}],"b":"\\u003c\\u0026\\u003e"}',
  );
});

test.each([
  [CHART_FOLDER, CONTROL_PLANE_CHART],
  [CNI_CHART_FOLDER, CNI_CHART],
])("the committed chart is what the templates make: %s", async (folder, chart) => {
  const committed = new Map<string, string>();
  for await (const path of new Bun.Glob("**/*").scan({ cwd: folder })) {
    committed.set(path, readFileSync(`${folder}/${path}`, "utf8"));
  }
  expect(Object.fromEntries(committed)).toEqual(Object.fromEntries(chartFiles(chart)));
});
