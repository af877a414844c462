/** Helm makes of the chart what `malla install` makes of the same values, object by object. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { CHART_FOLDER, CNI_CHART_FOLDER } from "../../cmd/chart.ts";
import type { YamlMap } from "../../lib/config/mod.ts";
import { cniObjects, readCniValues } from "../../lib/install/cni.ts";
import { installObjects, type KubeManifest } from "../../lib/install/objects.ts";
import { INSTALLATIONS, PEMS, valuesOf } from "../support/install.ts";
import { runCommand } from "../support/command.ts";
import { helmObstacle, helmProgram } from "./helm.ts";

const obstacle = helmObstacle();
if (obstacle !== null) console.warn(`skipped: the Helm chart: ${obstacle}`);

/** Building it included, on a machine that has never done it. */
const START_MS = 1_800_000;
const TEST_MS = 60_000;

describe.skipIf(obstacle !== null)("the chart", () => {
  let helm = "";
  let folder = "";

  beforeAll(async () => {
    helm = await helmProgram();
    folder = mkdtempSync(join(tmpdir(), "malla-chart-"));
  }, START_MS);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function render(
    layers: readonly YamlMap[],
    namespace = "malla",
    chart: string = CHART_FOLDER,
    version = "1.35.0",
  ) {
    const files = layers.flatMap((layer, index) => {
      const file = `${folder}/${index}.json`;
      writeFileSync(file, JSON.stringify(layer));
      return ["--values", file];
    });
    const words = ["template", "malla", chart, "--namespace", namespace];
    return await runCommand([helm, ...words, "--kube-version", version, ...files]);
  }

  /** Objects by name, with the texts in them that are YAML read. */
  function byName(objects: readonly KubeManifest[]): Record<string, unknown> {
    return Object.fromEntries(objects.map((object) => {
      const { kind, metadata } = object;
      if (metadata.name !== "malla-config") return [`${kind} ${metadata.name}`, object];
      const { values } = object["data"] as { readonly values: string };
      return [`${kind} ${metadata.name}`, { ...object, data: Bun.YAML.parse(values) }];
    }));
  }

  test.each(Object.entries(INSTALLATIONS))("of %s", async (name, layers) => {
    const { code, stdout, stderr } = await render(layers, "mesh");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubeManifest)
      .filter((object) => object !== null);
    expect(byName(objects)).toEqual(byName(installObjects(valuesOf(name), "mesh")));
  }, TEST_MS);

  test.each<[string, YamlMap]>([
    ["default values", {}],
    ["others", {
      destCNINetDir: "/var/net",
      image: { name: "registry:5000/malla", version: "v9" },
      imagePullSecrets: [{ name: "pull" }],
      podLabels: { team: "mesh" },
      repairController: { enabled: false },
      tolerations: [],
    }],
  ])("of the CNI plugin: %s", async (_title, tree) => {
    const { code, stdout, stderr } = await render([tree], "nodes", CNI_CHART_FOLDER);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubeManifest);
    const values = readCniValues("test", [{ name: "test", tree }]);
    expect(byName(objects)).toEqual(byName(cniObjects(values, "nodes")));
  }, TEST_MS);

  test.each<[string, boolean, string]>([
    ["1.29.0", true, ""],
    ["1.28.9", true, "Kubernetes must be 1.29 or later for native sidecars"],
    ["1.25.0", false, ""],
    ["1.24.17", false, "chart requires kubeVersion: >=1.25"],
  ])("of Kubernetes %s, native sidecars: %p", async (version, nativeSidecar, message) => {
    const values = { ...PEMS, proxy: { nativeSidecar } };
    const { code, stderr } = await render([values], "malla", CHART_FOLDER, version);
    expect(code).toBe(message === "" ? 0 : 1);
    expect(stderr).toContain(message);
  }, TEST_MS);

  test.each<[string, YamlMap, string]>([
    ["no anchors", {}, "identityTrustAnchorsPEM is empty"],
    [
      "an authority without secret",
      { ...PEMS, injector: { injectCaFrom: "a/b" } },
      "injector.caBundle and injector.injectCaFrom have no meaning without",
    ],
    ["an unknown value", { ...PEMS, nmae: "x" }, "additional properties 'nmae' not allowed"],
    ["a wrong word", { ...PEMS, webhookFailurePolicy: "Maybe" }, "one of 'Ignore', 'Fail'"],
    ["a wrong kind", { ...PEMS, controllerReplicas: "many" }, "got string, want integer"],
  ])("refuses %s", async (_title, values, message) => {
    const { code, stderr } = await render([values]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  }, TEST_MS);
});
