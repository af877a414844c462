/** The CNI plugin's objects, as templates in the order in which they are applied, and filled in. */

import { ConfigFault, readValues, type ValueLayer, type YamlMap } from "../config/mod.ts";
import { CNI_VALUES, type CniValues } from "./cni-values.ts";
import type { Scope } from "./evaluate.ts";
import { filledIn, type KubeManifest } from "./objects.ts";
import { CNI_NAMESPACE_TEMPLATE, cniAccess, cniWorkload } from "./objects/cni.ts";
import type { ObjectTemplate } from "./objects/common.ts";

/** The objects of its chart, by the files of its templates. */
export const CNI_TEMPLATE_FILES: Readonly<Record<string, readonly ObjectTemplate[]>> = {
  "access.yaml": cniAccess(),
  "cni.yaml": cniWorkload(),
};

/** Reads the values. Throws a `ConfigFault` for what cannot be. */
export function readCniValues(verb: string, layers: readonly ValueLayer[]): CniValues {
  const values = readValues(verb, CNI_VALUES, layers);
  if (values.destCNINetDir !== values.destCNIBinDir) return values;
  throw new ConfigFault(verb, [
    `destCNINetDir and destCNIBinDir are both ${values.destCNINetDir}: expected different folders`,
  ]);
}

/** All objects but the namespace. */
export function cniObjects(values: CniValues, namespace: string): readonly KubeManifest[] {
  return filledIn(Object.values(CNI_TEMPLATE_FILES).flat(), scopeOf(values, namespace));
}

/** All objects, in the order in which they are applied. */
export function cniManifests(values: CniValues, namespace: string): readonly KubeManifest[] {
  return [
    ...filledIn([CNI_NAMESPACE_TEMPLATE], scopeOf(values, namespace)),
    ...cniObjects(values, namespace),
  ];
}

function scopeOf(values: CniValues, namespace: string): Scope {
  // Values of a tree are YAML by construction.
  return { namespace, values: values as unknown as YamlMap, tree: CNI_VALUES };
}
