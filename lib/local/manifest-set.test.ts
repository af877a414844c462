import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manifestFiles, type ManifestSet, readManifests } from "./manifest-set.ts";

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "malla-manifests-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function read(text: string, overrides: Readonly<Record<string, string>> = {}): ManifestSet {
  writeFileSync(join(folder, "app.yaml"), text);
  return readManifests(manifestFiles([folder], "/"), {
    namespace: "shop",
    overrides: new Map(Object.entries(overrides)),
    shown: (path) => path.slice(folder.length + 1),
  });
}

const deployment = (container: string) =>
  `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - ${container}
`;

describe("manifests", () => {
  test("get the namespace that they do not name", () => {
    const set = read(deployment("{ name: app, command: [serve] }"));
    expect(set.errors).toEqual([]);
    expect(set.workloads).toMatchObject([{ name: "web", namespace: "shop", replicas: 1 }]);
    expect(set.objects).toMatchObject([{ metadata: { namespace: "shop" } }]);
  });

  test("that cannot be parsed are told with file and line", () => {
    expect(read("kind: Service\n  metadata: [\n").errors[0]).toMatch(/^app\.yaml:\d+: /);
  });

  test("with a wrong field are told with file, line and what was expected", () => {
    const { errors } = read(
      deployment("{ name: app, command: [serve], ports: [{ containerPort: web }] }"),
    );
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^app\.yaml:10: Deployment "web": .*containerPort.*expected/);
  });

  test("whose image brings the command are refused with what to write", () => {
    const { errors } = read(deployment("{ name: app, image: nginx }"));
    expect(errors).toEqual([
      'app.yaml:10: Deployment "web": container app has image "nginx" but no command: images are ' +
      "not pulled on a laptop; expected command: [...] in the container, the annotation " +
      "malla.dev/command: \"...\" on the pod template, or --exec web='...'",
    ]);
    expect(read(deployment("{ name: app, image: nginx }"), { web: "nginx" }).errors).toEqual([]);
    expect(read(deployment("{ name: app, image: nginx }"), { app: "nginx" }).errors).toEqual([]);
  });

  test("of one name are refused, with the place of the first", () => {
    const one = deployment("{ name: app, command: [serve] }");
    expect(read(`${one}---\n${one}`).errors).toEqual([
      'app.yaml:12: Deployment "web" is already defined in app.yaml:1',
    ]);
  });

  test("of Services that share an address or a port are refused", () => {
    const service = (name: string, spec: string) =>
      `---\napiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
    const shared = "{ clusterIP: 10.43.1.1, ports: [{ port: 80 }] }";
    expect(read(service("a", shared) + service("b", shared)).errors[0]).toContain(
      'spec.clusterIP: expected an address of its own: Service "a" (app.yaml:2) has it',
    );
    const twice = "{ ports: [{ name: a, port: 80 }, { name: b, port: 80 }] }";
    expect(read(service("a", twice)).errors[0]).toMatch(/^app\.yaml:\d+: Service "a": .*port/);
  });

  test("must exist", () => {
    expect(() => manifestFiles([folder], "/")).toThrow("expected files named *.yaml");
    expect(() => manifestFiles(["nowhere"], folder)).toThrow('"nowhere": no such file or folder');
  });
});
