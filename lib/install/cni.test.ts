/** The objects of the CNI plugin. */

import { describe, expect, test } from "bun:test";
import { kubeTypeProblems } from "../../test/support/kube-types.ts";
import { valuesOf as leavesOf, type YamlMap } from "../config/mod.ts";
import { cniManifests, readCniValues } from "./cni.ts";
import { CNI_VALUES, type CniValues } from "./cni-values.ts";
import type { KubeManifest } from "./objects.ts";

const ODD: YamlMap = {
  destCNINetDir: "/var/lib/rancher/k3s/agent/etc/cni/net.d",
  image: { name: "registry:5000/malla", version: "v9", pullPolicy: "Always" },
  imagePullSecrets: [{ name: "pull" }],
  podAnnotations: { "example.org/team": "mesh" },
  podLabels: { team: "mesh" },
  tolerations: [],
  priorityClassName: "system-cluster-critical",
  repairController: { enabled: false },
};

function objectsOf(tree: YamlMap = {}): readonly KubeManifest[] {
  return cniManifests(readCniValues("test", [{ name: "test", tree }]), "linkerd-cni");
}

function find(objects: readonly KubeManifest[], kind: string): KubeManifest {
  const found = objects.find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`no ${kind}`);
  return found;
}

function podOf(objects: readonly KubeManifest[]): Record<string, unknown> {
  const { spec } = find(objects, "DaemonSet") as unknown as {
    spec: { template: { spec: Record<string, unknown> } };
  };
  return spec.template.spec;
}

test.each([["default", {}], ["odd", ODD]])("%s: the API's types, in order", (_name, tree) => {
  const objects = objectsOf(tree);
  expect(objects.flatMap(kubeTypeProblems)).toEqual([]);
  expect(objects.map(({ kind }) => kind)).toEqual([
    ...["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"],
  ]);
});

test("its pods start before all others, on every node, without the nodes' pod network", () => {
  expect(podOf(objectsOf())).toMatchObject({
    hostNetwork: true,
    priorityClassName: "system-node-critical",
    tolerations: [{ operator: "Exists" }],
    containers: [{
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        readOnlyRootFilesystem: true,
      },
    }],
  });
  const odd = podOf(objectsOf(ODD));
  expect(odd["priorityClassName"]).toBe("system-cluster-critical");
  expect(odd["tolerations"]).toBeUndefined();
});

test("folders of the node are mounted where they hide nothing", () => {
  const text = JSON.stringify(podOf(objectsOf(ODD)));
  expect(text).toContain('"--dest-cni-net-dir=/var/lib/rancher/k3s/agent/etc/cni/net.d"');
  expect(text).toContain('"mountPath":"/host/var/lib/rancher/k3s/agent/etc/cni/net.d"');
  expect(text).toContain('"hostPath":{"path":"/var/lib/rancher/k3s/agent/etc/cni/net.d"');
});

test("without repair it may not delete pods", () => {
  const rules = (tree: YamlMap) => JSON.stringify(find(objectsOf(tree), "ClusterRole")["rules"]);
  expect(rules({})).toContain("delete");
  expect(rules(ODD)).toBe('[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]');
});

describe("values", () => {
  test.each<[YamlMap, string]>([
    [{ destCNIBinDir: "opt/cni" }, "destCNIBinDir"],
    [{ destCNINetDir: "/etc/cni/net.d/" }, "destCNINetDir"],
    [{ destCNINetDir: "/same", destCNIBinDir: "/same" }, "are both /same"],
    [{ logLevel: "loud" }, "logLevel"],
    [{ nmae: "x" }, "nmae"],
  ])("%p is refused", (tree, message) => {
    expect(() => objectsOf(tree)).toThrow(message);
  });

  test("are none without effect", () => {
    const base = readCniValues("test", [{ name: "test", tree: ODD }]);
    const text = (values: CniValues) => JSON.stringify(cniManifests(values, "x"));
    const without = leavesOf(CNI_VALUES).filter(({ path, value }) => {
      const changed = structuredClone(base) as unknown as Record<string, unknown>;
      let place: Record<string, unknown> = changed;
      for (const step of path.slice(0, -1)) place = place[step] as Record<string, unknown>;
      const key = path.at(-1) ?? "";
      const isTrue = place[key] === true;
      const other = { text: "zzz", integer: 7, boolean: !isTrue, map: { z: "z" }, list: [{}] };
      place[key] = other[value.kind];
      return text(changed as unknown as CniValues) === text(base);
    });
    expect(without.map(({ path }) => path.join("."))).toEqual([]);
  });
});
