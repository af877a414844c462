/** Definitions of custom resources: ours, none, somebody else's, and those of another version. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FakeApi, type FakeObject } from "../../../test/support/fake-api.ts";
import { CUSTOM_RESOURCES, definitionPath } from "../../install/custom-resources.ts";
import { KubeClient } from "../../source/kube/client.ts";
import { runChecks } from "../check.ts";
import { definitionChecks } from "./check-definitions.ts";
import { ClusterView } from "./view.ts";

const PATH = definitionPath("x").replace("/x", "");
const NAME = "serviceprofiles.linkerd.io";

interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
}

interface Definition extends FakeObject {
  metadata: { name: string; labels: Record<string, string> };
  spec: {
    scope: string;
    names: { kind: string };
    versions: { name: string; served: boolean; schema: { openAPIV3Schema: Schema } }[];
  };
}

let api = new FakeApi();

beforeEach(() => {
  api = new FakeApi();
  api.strict = true;
});

afterEach(() => api.stop());

async function outcome(areWanted = false) {
  const url = `http://127.0.0.1:${api.port}`;
  const client = new KubeClient({
    server: url,
    target: (path) => Promise.resolve({ url: url + path, headers: {} }),
  });
  const category = definitionChecks(new ClusterView(client, "malla"), areWanted);
  const [{ results } = { results: [] }] = await runChecks([category]);
  expect(results).toHaveLength(CUSTOM_RESOURCES.size);
  return results[0];
}

/** Puts the definition of ServiceProfiles there, after a change. */
function put(change: (definition: Definition) => unknown): void {
  const definition = structuredClone(CUSTOM_RESOURCES.get("serviceprofiles")) as unknown;
  change(definition as Definition);
  api.put(PATH, definition as Definition);
}

/** What is known of a profile. */
function specOf({ spec }: Definition): Record<string, Schema> {
  return spec.versions[0]?.schema.openAPIV3Schema.properties?.["spec"]?.properties ?? {};
}

const theirs = (definition: Definition) => definition.metadata.labels = { "helm.sh/chart": "x" };

test("our own is well, and nobody needs it unless it is asked for", async () => {
  expect(await outcome()).toMatchObject({ status: "ok" });
  expect(await outcome(true)).toMatchObject({
    status: "fail",
    message: `${NAME} is not there`,
    hint: "malla install --crds | kubectl apply -f - brings it",
  });
  put(() => {});
  expect(await outcome(true)).toMatchObject({ status: "ok" });
});

describe("somebody else's", () => {
  test("is well when it knows every field, and more", async () => {
    put((definition) => {
      theirs(definition);
      specOf(definition)["more"] = {};
      definition.spec.versions.unshift({
        name: "v1alpha1",
        served: true,
        schema: { openAPIV3Schema: {} },
      });
    });
    expect(await outcome()).toMatchObject({ status: "ok" });
  });

  test("is told with the way out of it when it has no version that is read", async () => {
    put((definition) => {
      theirs(definition);
      for (const version of definition.spec.versions) version.name = "v1alpha1";
    });
    expect(await outcome()).toMatchObject({
      status: "fail",
      message: `${NAME} has ServiceProfile objects (Namespaced) as v1alpha1`,
      hint: expect.stringContaining(`kubectl delete crd ${NAME} removes it with all its objects`),
    });
  });
});

describe("another version of it", () => {
  const rows: [string, (definition: Definition) => unknown, string][] = [
    [
      "not served any more",
      ({ spec }) => spec.versions.forEach((version) => version.served = false),
      "has ServiceProfile objects (Namespaced) as no version",
    ],
    [
      "of another scope",
      ({ spec }) => spec.scope = "Cluster",
      "has ServiceProfile objects (Cluster) as v1alpha2",
    ],
    ["of another kind", ({ spec }) => spec.names.kind = "Profile", "has Profile objects"],
  ];
  test.each(rows)("%s fails", async (_title, change, message) => {
    put(change);
    const found = await outcome();
    expect(found).toMatchObject({ status: "fail", hint: expect.stringContaining("--crds") });
    expect(found?.message).toContain(message);
  });

  test("that lacks fields loses them, and says which", async () => {
    put((definition) => {
      const spec = specOf(definition);
      delete spec["retryBudget"];
      delete spec["routes"]?.items?.properties?.["timeout"];
    });
    expect(await outcome()).toMatchObject({
      status: "warn",
      message:
        "its objects lose these fields, without a word:\n.spec.routes[].timeout\n.spec.retryBudget",
      hint: "malla install --crds | kubectl apply -f - brings it",
    });
  });
});
