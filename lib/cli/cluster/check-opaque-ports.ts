/** Whether services and the pods behind them agree on which ports are opaque. */

import type { KubeObject } from "../../source/kube/client.ts";
import { DEFAULT_OPAQUE_PORTS, knownPortRanges, portsContain } from "../../mesh/port-range.ts";
import { type Category, PASSED } from "../check.ts";
import { type ClusterView, fieldOf, listOf, nameOf, someOf } from "./view.ts";

const OPAQUE_PORTS = "config.linkerd.io/opaque-ports";

/** `malla-opaque-ports-definition`. */
export function opaquePortChecks(view: ClusterView, namespace: string | undefined): Category {
  return {
    name: "malla-opaque-ports-definition",
    checks: [{
      name: "services and their pods name the same opaque ports",
      async run() {
        const services = await view.client.list("/api/v1/services") ?? [];
        const pods = await view.proxied();
        const found = services
          .filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace)
          .flatMap((service) => disagreements(service, pods));
        if (found.length === 0) return PASSED;
        return {
          status: "warn",
          message: someOf(found),
          hint: `put the annotation ${OPAQUE_PORTS} on the namespace, or the same on both`,
        };
      },
    }],
  };
}

function disagreements(service: KubeObject, pods: readonly KubeObject[]): string[] {
  const selector = fieldOf(service, "spec", "selector");
  const pairs = Object.entries(typeof selector === "object" && selector !== null ? selector : {});
  if (pairs.length === 0) return [];
  const ofService = knownPortRanges(
    service.metadata.annotations?.[OPAQUE_PORTS] ?? DEFAULT_OPAQUE_PORTS,
  );
  const behind = pods.filter(({ metadata }) =>
    metadata.namespace === service.metadata.namespace &&
    pairs.every(([key, value]) => metadata.labels?.[key] === value)
  );
  return behind.flatMap((pod) => {
    const ofPod = knownPortRanges(
      pod.metadata.annotations?.[OPAQUE_PORTS] ?? DEFAULT_OPAQUE_PORTS,
      portNames(pod),
    );
    return listOf(service, "spec", "ports").flatMap((entry) => {
      const port = Number(fieldOf(entry, "port"));
      const target = targetPort(entry, pod);
      if (target === undefined) return [];
      const [isService, isPod] = [portsContain(ofService, port), portsContain(ofPod, target)];
      if (isService === isPod) return [];
      const [who, other] = isService ? ["service", "pod"] : ["pod", "service"];
      return [
        `port ${port} of service ${nameOf(service)} (${target} of pod ${pod.metadata.name}) ` +
        `is opaque for the ${who} and not for the ${other}`,
      ];
    });
  });
}

function targetPort(entry: unknown, pod: KubeObject): number | undefined {
  const target = fieldOf(entry, "targetPort") ?? fieldOf(entry, "port");
  return typeof target === "string" ? portNames(pod).get(target) : Number(target);
}

function portNames(pod: KubeObject): ReadonlyMap<string, number> {
  const names = new Map<string, number>();
  for (const container of listOf(pod, "spec", "containers")) {
    for (const port of listOf(container, "ports")) {
      names.set(String(fieldOf(port, "name")), Number(fieldOf(port, "containerPort")));
    }
  }
  return names;
}
