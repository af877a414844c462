/** Whether the custom resources that are served are defined in the cluster as we read them. */

import { CUSTOM_RESOURCES, definitionPath } from "../../install/custom-resources.ts";
import type { KubeManifest } from "../../install/objects.ts";
import type { KubeObject } from "../../source/kube/client.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { type ClusterView, fieldOf, listOf, someOf } from "./view.ts";

const BRING = "malla install --crds | kubectl apply -f - brings it";

/** `malla-crd`. Nobody needs definitions, so one that is missing is told where they are asked for alone. */
export function definitionChecks(view: ClusterView, areWanted: boolean): Category {
  const checks = [...CUSTOM_RESOURCES.values()].map((ours) => definition(view, ours, areWanted));
  return { name: "malla-crd", checks };
}

function definition(view: ClusterView, ours: KubeManifest, areWanted: boolean): Check {
  const { name } = ours.metadata;
  return {
    name: `${
      String(fieldOf(ours, "spec", "names", "kind"))
    } objects are defined as Malla reads them`,
    async run(): Promise<Outcome> {
      const theirs = await view.client.get(definitionPath(name));
      if (theirs === undefined) {
        if (!areWanted) return PASSED;
        return { status: "fail", message: `${name} is not there`, hint: BRING };
      }
      const version = versionOf(theirs, fieldOf(ours, "spec", "versions", 0, "name"));
      if (version === undefined || !isSameKind(ours, theirs)) {
        return { status: "fail", message: describe(theirs), hint: hintOf(ours, theirs) };
      }
      const lost = lostFields(
        fieldOf(ours, "spec", "versions", 0, "schema", "openAPIV3Schema"),
        fieldOf(version, "schema", "openAPIV3Schema"),
      );
      if (lost.length === 0) return PASSED;
      return {
        status: "warn",
        message: `its objects lose these fields, without a word:\n${someOf(lost)}`,
        hint: hintOf(ours, theirs),
      };
    },
  };
}

/** A version that API servers give objects in. */
function versionOf(definition: KubeObject, name: unknown): unknown {
  return listOf(definition, "spec", "versions").find((one) =>
    fieldOf(one, "name") === name && fieldOf(one, "served") === true
  );
}

function isSameKind(ours: KubeManifest, theirs: KubeObject): boolean {
  const paths = [["names", "kind"], ["names", "plural"], ["scope"]];
  return paths.every((path) => fieldOf(ours, "spec", ...path) === fieldOf(theirs, "spec", ...path));
}

/** What it is, for whoever expected something else. */
function describe(definition: KubeObject): string {
  const versions = listOf(definition, "spec", "versions")
    .filter((one) => fieldOf(one, "served") === true).map((one) => String(fieldOf(one, "name")));
  const [kind, scope] = [
    fieldOf(definition, "spec", "names", "kind"),
    fieldOf(definition, "spec", "scope"),
  ];
  return `${definition.metadata.name} has ${String(kind)} objects (${String(scope)}) as ` +
    `${versions.join(", ") || "no version"}`;
}

/** An installation leaves alone what somebody else wrote. */
function hintOf(ours: KubeManifest, theirs: KubeObject): string {
  const owner = "app.kubernetes.io/part-of";
  if (theirs.metadata.labels?.[owner] === fieldOf(ours, "metadata", "labels", owner)) return BRING;
  return `it is somebody else's: whoever wrote it must bring its newest version, or kubectl delete crd ` +
    `${ours.metadata.name} removes it with all its objects, and ${BRING}`;
}

/** The fields of a schema that another one does not know, which API servers then leave out. */
function lostFields(ours: unknown, theirs: unknown, path = ""): readonly string[] {
  if (fieldOf(theirs, "x-kubernetes-preserve-unknown-fields") === true) return [];
  const items = fieldOf(ours, "items");
  if (items !== undefined) return lostFields(items, fieldOf(theirs, "items"), `${path}[]`);
  const properties = fieldOf(ours, "properties");
  if (typeof properties !== "object" || properties === null) return [];
  return Object.entries(properties).flatMap(([name, inner]) => {
    const at = `${path}.${name}`;
    const known = fieldOf(theirs, "properties", name);
    return known === undefined ? [at] : lostFields(inner, known, at);
  });
}
