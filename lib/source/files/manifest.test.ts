/** Manifests: text in, objects and messages out. */

import { describe, expect, test } from "bun:test";
import { parseManifests } from "./manifest.ts";

const SERVICE = `apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: { app: web }
  ports:
    - port: 80
      targetPort: http
`;

/** The error of the one field that a test spoils. */
function errorsOf(text: string, file = "web.yaml"): readonly string[] {
  const { errors, objects } = parseManifests(text, file);
  expect(objects).toEqual([]);
  return errors;
}

describe("reading", () => {
  test("keeps what the mesh reads and fills in what Kubernetes would", () => {
    const { objects, errors, notes, manifests } = parseManifests(SERVICE, "web.yaml");
    expect({ errors, notes }).toEqual({ errors: [], notes: [] });
    expect(objects as unknown).toEqual([{
      kind: "Service",
      metadata: {
        name: "web",
        namespace: "default",
        labels: {},
        annotations: {},
        ownerReferences: [],
      },
      spec: {
        selector: { app: "web" },
        clusterIPs: [],
        ipFamilies: [],
        ports: [{ port: 80, targetPort: "http" }],
      },
    }]);
    expect(manifests[0]).toMatchObject({ file: "web.yaml", line: 1, raw: { apiVersion: "v1" } });
  });

  test("takes several documents, empty ones, and lists", () => {
    const list = `---
# nothing here
---
${SERVICE}---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: one }
  - apiVersion: v1
    kind: ConfigMapList
    items:
      - { apiVersion: v1, kind: ConfigMap, metadata: { name: two } }
`;
    const { objects, manifests } = parseManifests(list, "all.yaml");
    expect(objects.map(({ metadata }) => metadata.name)).toEqual(["web", "one", "two"]);
    expect(manifests.map(({ line }) => line)).toEqual([4, 17, 23]);
  });

  test("takes JSON", () => {
    const text = JSON.stringify({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "shop", namespace: "ignored" },
    });
    expect(parseManifests(text, "ns.json").objects).toMatchObject([
      { kind: "Namespace", metadata: { name: "shop", namespace: "" } },
    ]);
  });

  test("understands merge keys, aliases and octal modes", () => {
    const { objects, errors } = parseManifests(
      `apiVersion: v1
kind: Pod
metadata: { name: p, labels: &labels { app: a } }
spec:
  containers:
    - &one { name: one, image: x, command: [run] }
    - { <<: *one, name: two }
  volumes:
    - name: files
      configMap: { name: c, defaultMode: 0644 }
`,
      "p.yaml",
    );
    expect(errors).toEqual([]);
    expect(objects).toMatchObject([{
      spec: {
        containers: [{ name: "one" }, { name: "two", image: "x", command: ["run"] }],
        volumes: [{ configMap: { defaultMode: 0o644 } }],
      },
    }]);
  });

  test("drops fields that the mesh does not read, and keeps them in raw", () => {
    const { objects, manifests } = parseManifests(
      SERVICE.replace("spec:", "spec:\n  sessionAffinity: ClientIP"),
      "web.yaml",
    );
    expect(JSON.stringify(objects)).not.toContain("sessionAffinity");
    expect(manifests[0]?.raw).toMatchObject({ spec: { sessionAffinity: "ClientIP" } });
  });

  test("leaves out kinds that it does not know, with a note", () => {
    const { objects, errors, notes, manifests } = parseManifests(
      `apiVersion: example.com/v1\nkind: Service\nmetadata: { name: x }\n`,
      "x.yaml",
    );
    expect({ objects, errors }).toEqual({ objects: [], errors: [] });
    expect(notes).toEqual([`x.yaml:1: Service "x" (example.com/v1) is not read: left out`]);
    expect(manifests).toHaveLength(1);
  });
});

describe("an error names file, line, object, field and what was expected", () => {
  test.each([
    [
      "port: 80",
      "port: 80x",
      8,
      'spec.ports[0].port: expected a port number (1-65535), found "80x"',
    ],
    ["port: 80", "port: 0", 8, "spec.ports[0].port: expected a port number (1-65535), found 0"],
    [
      "port: 80",
      "name: http",
      8,
      "spec.ports[0].port: expected a port number (1-65535), found nothing",
    ],
    ["app: web", "app: 5", 6, "spec.selector.app: expected a string (put it in quotes), found 5"],
    ["name: web", "labels: {}", 3, "metadata.name: expected a name, found nothing"],
    ["{ app: web }", "[app]", 6, 'spec.selector: expected a map of strings, found ["app"]'],
    [
      "targetPort: http",
      "targetPort: [a]",
      9,
      `spec.ports[0].targetPort: expected a port number (1-65535) or a port's name, found ["a"]`,
    ],
  ])("%s → %s", (from, to, line, message) => {
    const title = to === "labels: {}" ? "Service" : 'Service "web"';
    expect(errorsOf(SERVICE.replace(from, to))).toEqual([`web.yaml:${line}: ${title}: ${message}`]);
  });

  test.each([
    ["v1", "v2", `web.yaml:1: Service "web": apiVersion: expected "v1", found "v2"`],
    ["apiVersion: v1\n", "", "web.yaml:1: apiVersion: expected a string, found nothing"],
    ["kind: Service", "kind: 7", "web.yaml:2: kind: expected a string, found 7"],
  ])("%s → %s", (from, to, message) => {
    expect(errorsOf(SERVICE.replace(from, to))).toEqual([message]);
  });

  test("all of them at once, in all documents", () => {
    const errors = errorsOf(
      `${SERVICE.replace("80", "x").replace("web }", "7 }")}---\n- a\n---\nb: [`,
    );
    expect(errors.map((error) => error.split(":")[1])).toEqual(["6", "8", "11", "13"]);
    expect(errors[2]).toBe("web.yaml:11: expected an object with apiVersion and kind");
  });

  test("in JSON as well", () => {
    const text =
      `{\n  "apiVersion": "v1",\n  "kind": "Service",\n  "metadata": {"name": "web"},\n` +
      `  "spec": {\n    "ports": [\n      {"port": "80"}\n    ]\n  }\n}\n`;
    expect(errorsOf(text, "web.json")).toEqual([
      `web.json:7: Service "web": spec.ports[0].port: expected a port number (1-65535), found "80"`,
    ]);
    expect(errorsOf(`{\n  "kind": \n`, "web.json")[0]).toStartWith("web.json:2: ");
  });

  test("without a bomb of aliases taking the machine", () => {
    const levels = Array.from(
      { length: 12 },
      (_, level) =>
        `l${level}: &l${level} [${level === 0 ? "x" : Array(9).fill(`*l${level - 1}`).join(", ")}]`,
    );
    expect(errorsOf(levels.join("\n"))).toHaveLength(1);
  });
});

describe("what a cluster would refuse is refused", () => {
  const deployment = (template: string, labels = "{ app: web }") =>
    `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: ${labels} }
    spec: ${template}
`;

  test.each([
    [
      SERVICE.replace("name: web", "name: Web_1"),
      "web.yaml:4",
      "metadata.name: expected lower-case",
    ],
    [
      SERVICE.replace("name: web", "name: web\n  namespace: a.b"),
      "web.yaml:5",
      "metadata.namespace: expected lower-case",
    ],
    [
      `${SERVICE}    - port: 81\n      name: x\n`,
      "web.yaml:8",
      "spec.ports[0].name: expected a name, since",
    ],
    [
      `${SERVICE}      name: a\n    - port: 80\n      name: b\n`,
      "web.yaml:11",
      "spec.ports[1].port: expected a port that no other entry of this Service has, found 80",
    ],
    [
      `${SERVICE}      name: a\n    - port: 81\n      name: a\n`,
      "web.yaml:12",
      "spec.ports[1].name: expected a name that no other port of this Service has",
    ],
    [deployment("{ containers: [] }"), "web.yaml:8", "containers: expected at least one container"],
    [
      deployment("{ containers: [{ name: a }, { name: a }] }"),
      "web.yaml:8",
      "spec.template.spec.containers[1].name: expected a name that no other container",
    ],
    [
      deployment("{ containers: [{ name: a, volumeMounts: [{ name: v, mountPath: /v }] }] }"),
      "web.yaml:8",
      'volumeMounts[0].name: expected a volume of the pod (it has none), found "v"',
    ],
    [
      deployment("{ containers: [{ name: a }] }", "{ app: other }"),
      "web.yaml:5",
      "spec.selector.matchLabels.app: expected the value that spec.template.metadata.labels has",
    ],
  ])("case %#", (text, place, message) => {
    const errors = errorsOf(text);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toStartWith(`${place}: `);
    expect(errors[0]).toContain(message);
  });
});
