/** Objects of Kubernetes as tests need them: short, and without a word about the mesh. */

/** What a Deployment or StatefulSet of tests may be given beside its pods. */
export interface WorkloadOptions {
  /** Default: 1. */
  readonly replicas?: number;
  /** Of its pods. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A namespace. */
export function namespace(name: string, annotations: Readonly<Record<string, string>>) {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, annotations } };
}

/** A Deployment whose pods have the label `app` with its name. */
export function deployment(
  name: string,
  namespace: string,
  spec: object,
  options: WorkloadOptions = {},
) {
  return workload("Deployment", name, namespace, spec, options);
}

/** A StatefulSet of the headless Service of its name. */
export function statefulSet(
  name: string,
  namespace: string,
  spec: object,
  options: WorkloadOptions = {},
) {
  const made = workload("StatefulSet", name, namespace, spec, options);
  return { ...made, spec: { ...made.spec, serviceName: name } };
}

/** A Service in front of the pods with the label `app` of its name; ports lead to the same ports. */
export function service(
  name: string,
  namespace: string,
  ports: readonly number[],
  spec: object = {},
) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      selector: { app: name },
      ports: ports.map((port) => ({ name: `p${port}`, port })),
      ...spec,
    },
  };
}

/** A Job that tries once. */
export function job(
  name: string,
  namespace: string,
  spec: object,
  annotations: Readonly<Record<string, string>> = {},
) {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, namespace },
    spec: {
      backoffLimit: 0,
      template: { metadata: { annotations }, spec: { restartPolicy: "Never", ...spec } },
    },
  };
}

function workload(
  kind: string,
  name: string,
  namespace: string,
  spec: object,
  { replicas = 1, annotations = {} }: WorkloadOptions,
) {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations },
        spec: { terminationGracePeriodSeconds: 10, ...spec },
      },
    },
  };
}
