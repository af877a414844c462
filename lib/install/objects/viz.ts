/** The metrics API and the live page. */

import { PORTS } from "../names.ts";
import { NAMESPACE, type TemplateMap, text, When, when } from "../template.ts";
import {
  clusterRole,
  deployment,
  listenAt,
  networkPolicy,
  type ObjectTemplate,
  service,
  serviceAccount,
  v,
} from "./common.ts";

const NAME = "malla-viz";

/** Its account and rights: to follow pods and what they belong to. */
export function vizAccess(): readonly ObjectTemplate[] {
  const follow = ["list", "watch"];
  return onlyWithViz([
    serviceAccount(NAME),
    ...clusterRole(NAME, [
      { apiGroups: [""], resources: ["pods", "services"], verbs: follow },
      { apiGroups: ["apps"], resources: ["replicasets"], verbs: follow },
    ]),
  ]);
}

/** Its pods and service. The page has no login: it is reached by a port-forward. */
export function vizWorkload(): readonly ObjectTemplate[] {
  return onlyWithViz([
    service(NAME, NAME, {
      page: { port: PORTS.vizPage, target: "page" },
      api: { port: PORTS.vizApi, target: "api" },
    }),
    vizDeployment(),
    networkPolicy(NAME, ["api"]),
  ]);
}

function onlyWithViz(objects: readonly ObjectTemplate[]): readonly When[] {
  return objects.map((object) =>
    object instanceof When
      ? when({ is: "all", conditions: [v.viz.enabled, object.condition] }, object.template)
      : when(v.viz.enabled, object)
  );
}

function vizDeployment(): TemplateMap {
  const place = (name: string, port: number) =>
    text`${name}.${NAMESPACE}.svc.${v.clusterDomain}.:${`${port}`}`;
  return deployment({
    component: NAME,
    // Its history is its own: a second one would tell other figures.
    replicas: 1,
    resources: v.viz.resources,
    args: [
      "viz",
      text`--api-listen=${listenAt(PORTS.vizApi)}`,
      text`--page-listen=${listenAt(PORTS.vizPage)}`,
      text`--hosts=${NAME}.${NAMESPACE},${NAME}.${NAMESPACE}.svc`,
      text`--scrape-period=${v.viz.scrapePeriod}`,
      text`--admin-port=${v.proxy.ports.admin}`,
      text`--identity-admin=${place("malla-identity", PORTS.identityAdmin)}`,
      text`--controller-admin=${place("malla-destination", PORTS.controllerAdmin)}`,
    ],
    ports: { api: PORTS.vizApi, page: PORTS.vizPage },
    probePort: "api",
    volumes: [],
    mounts: [],
  });
}
