import { describe, expect, test } from "bun:test";
import { FieldFault } from "./reader.ts";
import { type Manifest, podsOf, readWorkload, samePlan, type Workload } from "./workloads.ts";

const template = {
  metadata: { labels: { app: "web" }, annotations: { note: "kept" } },
  spec: { containers: [{ name: "app", command: ["serve"] }] },
};

function manifest(kind: string, spec: Record<string, unknown>, name = "web"): Manifest {
  return { apiVersion: "apps/v1", kind, metadata: { name, namespace: "shop" }, spec };
}

function read(object: Manifest): Workload {
  const workload = readWorkload(object, "default");
  if (workload === null) throw new Error("no workload");
  return workload;
}

function metadataOf(pod: Manifest): Record<string, unknown> {
  return pod["metadata"] as Record<string, unknown>;
}

function refusal(object: Manifest): string {
  try {
    readWorkload(object, "default");
  } catch (error) {
    if (error instanceof FieldFault) return error.message;
    throw error;
  }
  return "accepted";
}

describe("a Deployment", () => {
  const workload = read(manifest("Deployment", { replicas: 3, template }));

  test("becomes as many pods as it has replicas, named as by Kubernetes", () => {
    const names = podsOf(workload).map(({ name }) => name);
    expect(names).toHaveLength(3);
    expect(new Set(names).size).toBe(3);
    for (const name of names) {
      expect(name).toMatch(
        /^web-[bcdfghjklmnpqrstvwxz2456789]{9}-[bcdfghjklmnpqrstvwxz2456789]{5}$/,
      );
    }
  });

  test("gives the same names at each start, and others for another template", () => {
    const again = podsOf(read(manifest("Deployment", { replicas: 3, template })));
    expect(again.map(({ name }) => name)).toEqual(podsOf(workload).map(({ name }) => name));
    const edited = { ...template, spec: { containers: [{ name: "app", command: ["other"] }] } };
    const other = podsOf(read(manifest("Deployment", { replicas: 3, template: edited })));
    for (const { name } of other) expect(again.map((pod) => pod.name)).not.toContain(name);
  });

  test("keeps the pods it has when it is scaled", () => {
    const fewer = podsOf(read(manifest("Deployment", { replicas: 2, template })));
    expect(podsOf(workload).slice(0, 2).map(({ key }) => key)).toEqual(fewer.map(({ key }) => key));
    expect(samePlan(fewer[0]!, podsOf(workload)[0]!)).toBe(true);
  });

  test("owns its pods through a ReplicaSet that carries the template's hash", () => {
    const [plan] = podsOf(workload);
    const metadata = metadataOf(plan!.pod);
    expect(metadata["labels"]).toEqual({ app: "web", "pod-template-hash": workload.hash });
    expect(metadata["annotations"]).toEqual({ note: "kept" });
    expect(metadata["ownerReferences"]).toMatchObject([
      { kind: "ReplicaSet", name: `web-${workload.hash}`, controller: true },
    ]);
    expect(plan!.pod["spec"]).toMatchObject({ serviceAccountName: "default", nodeName: "laptop" });
  });

  test("without replicas has one, with none none", () => {
    expect(podsOf(read(manifest("Deployment", { template })))).toHaveLength(1);
    expect(podsOf(read(manifest("Deployment", { replicas: 0, template })))).toHaveLength(0);
  });
});

describe("other workloads", () => {
  test("a StatefulSet numbers its pods and names their domain", () => {
    const workload = read(
      manifest("StatefulSet", { replicas: 2, serviceName: "db", template }, "db"),
    );
    const plans = podsOf(workload);
    expect(plans.map(({ name }) => name)).toEqual(["db-0", "db-1"]);
    expect(plans[1]!.pod["spec"]).toMatchObject({ hostname: "db-1", subdomain: "db" });
    expect(metadataOf(plans[1]!.pod)["ownerReferences"]).toMatchObject([{ kind: "StatefulSet" }]);
  });

  test("a DaemonSet has one pod, since there is one node", () => {
    expect(podsOf(read(manifest("DaemonSet", { template }))).map(({ name }) => name))
      .toEqual([expect.stringMatching(/^web-.{5}$/)]);
  });

  test("a bare Pod keeps its name and has no owner", () => {
    const [plan] = podsOf(read({ kind: "Pod", metadata: { name: "one" }, spec: template.spec }));
    expect(plan?.key).toBe("default/one");
    expect(metadataOf(plan!.pod)["ownerReferences"]).toBeUndefined();
  });

  test("a Job must end", () => {
    const ending = { ...template, spec: { ...template.spec, restartPolicy: "OnFailure" } };
    const workload = read(manifest("Job", { completions: 2, template: ending }));
    expect(podsOf(workload)).toHaveLength(2);
    expect(metadataOf(podsOf(workload)[0]!.pod)["labels"]).toMatchObject({ "job-name": "web" });
    expect(refusal(manifest("Job", { template }))).toContain("spec.template.spec.restartPolicy");
  });

  test("other kinds are no workloads", () => {
    expect(readWorkload({ kind: "Service", metadata: { name: "web" } }, "default")).toBeNull();
  });
});

describe("what cannot run is refused by field", () => {
  const cases: readonly (readonly [string, Manifest, string])[] = [
    ["a CronJob", manifest("CronJob", {}), "CronJob cannot be run: a laptop runs no schedules"],
    ["no template", manifest("Deployment", {}), "spec.template"],
    ["no containers", manifest("Deployment", { template: { spec: {} } }), "spec.containers"],
    ["text for a number", manifest("Deployment", { replicas: "3", template }), "spec.replicas"],
    ["too many", manifest("Deployment", { replicas: 1000, template }), "from 0 to 100, got 1000"],
    [
      "the host's network",
      manifest("Deployment", { template: { spec: { ...template.spec, hostNetwork: true } } }),
      "spec.template.spec.hostNetwork",
    ],
    [
      "a mount without volume",
      manifest("Deployment", {
        template: {
          spec: {
            containers: [{ name: "app", volumeMounts: [{ name: "data", mountPath: "/data" }] }],
            volumes: [{ name: "date", emptyDir: {} }],
          },
        },
      }),
      "spec.template.spec.containers[0].volumeMounts[0].name: expected the name of a volume of " +
      'this pod (date), got "data"',
    ],
    [
      "a volume of a cluster",
      manifest("Deployment", {
        template: {
          spec: {
            ...template.spec,
            volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
          },
        },
      }),
      "a laptop has no volume of kind persistentVolumeClaim",
    ],
    [
      "two containers of one name",
      manifest("Deployment", {
        template: { spec: { containers: [{ name: "a" }, { name: "a" }] } },
      }),
      "containers[1].name: expected a name of its own",
    ],
  ];
  for (const [title, object, message] of cases) {
    test(title, () => expect(refusal(object)).toContain(message));
  }
});
