/** What a Kubernetes API server would refuse although every field has its type. Only what we rely on. */

import type { Container, MeshObject, PodSpec, Service } from "../objects.ts";
import type { Issue, Path } from "../shape.ts";

/** Names that become a part of a DNS name, and those that need not. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

const TEMPLATE: Path = ["spec", "template", "spec"];

/** The rules that an object breaks. */
export function ruleIssues(object: MeshObject): readonly Issue[] {
  const issues = nameIssues(object);
  switch (object.kind) {
    case "Service":
      return [...issues, ...serviceIssues(object)];
    case "Pod":
      return [...issues, ...podIssues(object.spec, ["spec"])];
    case "Deployment":
    case "ReplicaSet":
    case "DaemonSet":
      return [
        ...issues,
        ...selectorIssues(object.spec),
        ...podIssues(object.spec.template.spec, TEMPLATE),
      ];
    case "StatefulSet":
      return [
        ...issues,
        ...selectorIssues(object.spec),
        // Its volumes may also come from claim templates, which are not read.
        ...containerIssues(object.spec.template.spec, TEMPLATE),
      ];
    case "Job":
      return [...issues, ...podIssues(object.spec.template.spec, TEMPLATE)];
    default:
      return issues;
  }
}

function nameIssues({ kind, metadata }: MeshObject): Issue[] {
  const issues: Issue[] = [];
  const label = kind === "Service" || kind === "Namespace";
  const fits = label
    ? LABEL.test(metadata.name)
    : SUBDOMAIN.test(metadata.name) && metadata.name.length <= 253;
  if (!fits) {
    const expected = `lower-case letters, digits and "-"${label ? " (at most 63)" : ' and "."'}`;
    issues.push({ path: ["metadata", "name"], expected, value: metadata.name });
  }
  if (metadata.namespace !== "" && !LABEL.test(metadata.namespace)) {
    const expected = `lower-case letters, digits and "-" (at most 63)`;
    issues.push({ path: ["metadata", "namespace"], expected, value: metadata.namespace });
  }
  return issues;
}

function serviceIssues({ spec }: Service): readonly Issue[] {
  const issues: Issue[] = [];
  const numbers = new Set<string>();
  const names = new Set<string>();
  if (spec.ports.length === 0 && spec.type !== "ExternalName" && spec.clusterIP !== "None") {
    issues.push({ path: ["spec", "ports"], expected: "at least one port", value: undefined });
  }
  spec.ports.forEach(({ name, port, protocol }, index) => {
    const path: Path = ["spec", "ports", index];
    const number = `${port}/${protocol ?? "TCP"}`;
    if (numbers.has(number)) {
      issues.push({
        path: [...path, "port"],
        expected: "a port that no other entry of this Service has",
        value: port,
      });
    }
    numbers.add(number);
    if (spec.ports.length > 1 && (name === undefined || name === "")) {
      const expected = "a name, since there are several ports";
      issues.push({ path: [...path, "name"], expected, value: name });
    } else if (name !== undefined && names.has(name)) {
      const expected = "a name that no other port of this Service has";
      issues.push({ path: [...path, "name"], expected, value: name });
    }
    if (name !== undefined) names.add(name);
  });
  return issues;
}

function podIssues(spec: PodSpec, path: Path): readonly Issue[] {
  const volumes = new Set(spec.volumes.map(({ name }) => name));
  const issues = [...containerIssues(spec, path)];
  for (const { container, at } of containersOf(spec, path)) {
    container.volumeMounts.forEach(({ name }, index) => {
      if (volumes.has(name)) return;
      const expected = `a volume of the pod (${[...volumes].join(", ") || "it has none"})`;
      issues.push({ path: [...at, "volumeMounts", index, "name"], expected, value: name });
    });
  }
  return issues;
}

function containerIssues(spec: PodSpec, path: Path): readonly Issue[] {
  const issues: Issue[] = [];
  if (spec.containers.length === 0) {
    const expected = "at least one container";
    issues.push({ path: [...path, "containers"], expected, value: undefined });
  }
  const names = new Set<string>();
  for (const { container, at } of containersOf(spec, path)) {
    if (names.has(container.name)) {
      const expected = "a name that no other container of the pod has";
      issues.push({ path: [...at, "name"], expected, value: container.name });
    }
    names.add(container.name);
  }
  return issues;
}

function containersOf(spec: PodSpec, path: Path): { container: Container; at: Path }[] {
  const place = (field: "initContainers" | "containers") =>
    spec[field].map((container, index) => ({ container, at: [...path, field, index] }));
  return [...place("initContainers"), ...place("containers")];
}

type WorkloadSpec = Extract<MeshObject, { kind: "Deployment" }>["spec"];

/** A workload that does not select its own pods would make new ones for ever. */
function selectorIssues(spec: Pick<WorkloadSpec, "selector" | "template">): readonly Issue[] {
  const labels = spec.template.metadata.labels;
  return Object.entries(spec.selector?.matchLabels ?? {})
    .filter(([key, value]) => labels[key] !== value)
    .map(([key, value]) => ({
      path: ["spec", "selector", "matchLabels", key],
      expected: `the value that spec.template.metadata.labels has (${labels[key] ?? "none"})`,
      value,
    }));
}
