/** What the roles among an installation's objects grant, one by one. */

import type { KubeManifest } from "./objects.ts";

/** A right to one thing: `get secrets/malla-injector-authority in malla`, `list pods everywhere`. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  /** Empty: any. */
  readonly name: string;
  /** Empty: in all namespaces, or belonging to none. */
  readonly namespace: string;
}

/** The rights that an account has by the roles of its name among the objects. */
export function grantedRights(objects: readonly KubeManifest[], account: string): readonly Right[] {
  return objects.filter(({ kind, metadata }) =>
    (kind === "ClusterRole" || kind === "Role") && metadata.name === account
  ).flatMap((role) => {
    const namespace = role.kind === "Role" ? role.metadata.namespace ?? "" : "";
    const rules = role["rules"] as readonly {
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
      readonly verbs: readonly string[];
    }[];
    return rules.flatMap(({ apiGroups, resources, resourceNames = [""], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((name) =>
            verbs.map((verb): Right => ({ verb, group, resource, name, namespace }))
          )
        )
      )
    );
  });
}

/** For messages. */
export function describeRight({ verb, group, resource, name, namespace }: Right): string {
  const full = group === "" ? resource : `${resource}.${group}`;
  return `${verb} ${full}${name === "" ? "" : `/${name}`}${
    namespace === "" ? "" : ` in ${namespace}`
  }`;
}
