/** All objects of an installation: as templates in the order in which they are applied, and filled in. */

import type { Yaml, YamlMap } from "../config/mod.ts";
import { evaluate, holds, type Scope } from "./evaluate.ts";
import { INSTALLATION_LABEL } from "./names.ts";
import { type ObjectTemplate, v } from "./objects/common.ts";
import { controllerAccess, controllerWorkload } from "./objects/controller.ts";
import { identityAccess, identityConfig, identityWorkload } from "./objects/identity.ts";
import { injectorAccess, injectorWorkload } from "./objects/injector.ts";
import { vizAccess, vizWorkload } from "./objects/viz.ts";
import { NAMESPACE, not, When, when } from "./template.ts";
import { INSTALL_VALUES, type InstallValues } from "./values.ts";

/** A Kubernetes object. */
export interface KubeManifest extends YamlMap {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: YamlMap & { readonly name: string; readonly namespace?: string };
}

/** The objects of a chart, by the files of its templates. */
export const TEMPLATE_FILES: Readonly<Record<string, readonly ObjectTemplate[]>> = {
  "access.yaml": [
    ...identityAccess(),
    ...controllerAccess(),
    ...injectorAccess(),
    ...vizAccess(),
  ],
  "config.yaml": identityConfig(),
  "identity.yaml": identityWorkload(),
  "controller.yaml": controllerWorkload(),
  "injector.yaml": injectorWorkload(),
  "viz.yaml": vizWorkload(),
};

/** The namespace; Helm makes its own, and Linkerd's exists. */
const NAMESPACE_TEMPLATE: ObjectTemplate = when(not(v.takeOverLinkerd), {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name: NAMESPACE,
    labels: {
      "app.kubernetes.io/part-of": "malla",
      [INSTALLATION_LABEL]: NAMESPACE,
      "linkerd.io/is-control-plane": "true",
      // The injector must not be needed to start the injector.
      "config.linkerd.io/admission-webhooks": "disabled",
      "pod-security.kubernetes.io/enforce": "restricted",
      "pod-security.kubernetes.io/audit": "restricted",
      "pod-security.kubernetes.io/warn": "restricted",
    },
    annotations: { "linkerd.io/inject": "disabled", "malla.dev/inject": "disabled" },
  },
});

/** The namespace, where the installation makes one. */
export function namespaceObjects(
  values: InstallValues,
  namespace: string,
): readonly KubeManifest[] {
  return filledIn([NAMESPACE_TEMPLATE], scopeOf(values, namespace));
}

/** All other objects. Pure: what is not given (such as an issuer) must be made before. */
export function installObjects(values: InstallValues, namespace: string): readonly KubeManifest[] {
  return filledIn(Object.values(TEMPLATE_FILES).flat(), scopeOf(values, namespace));
}

/** What values are filled into. */
export function scopeOf(values: InstallValues, namespace: string): Scope {
  // Values of a tree are YAML by construction.
  return { namespace, values: values as unknown as YamlMap, tree: INSTALL_VALUES };
}

/** Fills templates in; those whose condition does not hold are left out. */
export function filledIn(
  templates: readonly ObjectTemplate[],
  scope: Scope,
): readonly KubeManifest[] {
  return templates.flatMap((template) => {
    if (template instanceof When && !holds(template.condition, scope)) return [];
    const object: Yaml | undefined = evaluate(template, scope);
    // Every template of an object has these fields; a test holds that.
    return [object as KubeManifest];
  });
}
