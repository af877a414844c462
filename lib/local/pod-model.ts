/**
 * A pod as the laptop mesh runs it: read once from the JSON of its (injected) manifest, with defaults
 * filled in, so that nothing after this file looks at foreign JSON. What cannot be run here is refused
 * with the field's name.
 */

import { type EnvFrom, type EnvVar, readEnv, readEnvFrom } from "./env-model.ts";
import { type Probe, readProbe } from "./probe-model.ts";
import type { Reader } from "./reader.ts";
import { readVolume, type Volume } from "./volume-model.ts";

/** When an ended container is started again. */
export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** Where a volume appears in a container. */
export interface VolumeMount {
  readonly volume: string;
  readonly mountPath: string;
  /** A part of the volume; empty: all of it. */
  readonly subPath: string;
  readonly readOnly: boolean;
}

/** A container's port. */
export interface PortModel {
  readonly name: string;
  readonly port: number;
}

/** What is done when a container has started or is about to be stopped. */
export interface LifecycleHook {
  readonly command: readonly string[];
  readonly sleepSeconds: number;
}

/** One container. */
export interface ContainerModel {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string | null;
  readonly env: readonly EnvVar[];
  readonly envFrom: readonly EnvFrom[];
  readonly ports: readonly PortModel[];
  readonly mounts: readonly VolumeMount[];
  readonly startup: Probe | null;
  readonly readiness: Probe | null;
  readonly liveness: Probe | null;
  readonly postStart: LifecycleHook | null;
  readonly preStop: LifecycleHook | null;
  /** Init containers only: it runs on beside the others, as a native sidecar. */
  readonly sidecar: boolean;
  readonly runAsUser: number | null;
  /** Requests and limits as they are written, for `resourceFieldRef`. */
  readonly resources: Readonly<Record<string, string>>;
}

/** One pod. */
export interface PodModel {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly hostname: string;
  readonly restartPolicy: RestartPolicy;
  readonly graceSeconds: number;
  readonly initContainers: readonly ContainerModel[];
  readonly containers: readonly ContainerModel[];
  readonly volumes: ReadonlyMap<string, Volume>;
}

const GRACE_SECONDS_DEFAULT = 30;
const PORT_MAX = 65_535;
const UID_MAX = 2 ** 31 - 1;

/** Reads a pod. Throws a `FieldFault` for what is wrong or cannot be run on a laptop. */
export function readPod(pod: Reader): PodModel {
  const metadata = pod.at("metadata");
  const spec = pod.at("spec");
  const volumes = new Map(
    spec.at("volumes").items().map((item) => {
      const volume = readVolume(item);
      return [volume.name, volume] as const;
    }),
  );
  const name = metadata.at("name").text();
  const model: PodModel = {
    name,
    namespace: metadata.at("namespace").textOr("default"),
    uid: metadata.at("uid").textOr(""),
    labels: metadata.at("labels").textMap(),
    annotations: metadata.at("annotations").textMap(),
    serviceAccount: spec.at("serviceAccountName").textOr(null) ||
      spec.at("serviceAccount").textOr(null) || "default",
    hostname: spec.at("hostname").textOr(null) || name.slice(0, 63),
    restartPolicy: spec.at("restartPolicy").choice(["Always", "OnFailure", "Never"], "Always"),
    graceSeconds: spec.at("terminationGracePeriodSeconds")
      .integerOr(GRACE_SECONDS_DEFAULT, 0, 86_400),
    initContainers: spec.at("initContainers").items().map(readContainer),
    containers: spec.at("containers").items().map(readContainer),
    volumes,
  };
  if (model.containers.length === 0) throw spec.at("containers").wrong("at least one container");
  checkUnique(spec, model);
  checkMounts(spec, model);
  return model;
}

function readContainer(container: Reader): ContainerModel {
  const security = container.at("securityContext");
  const resources: Record<string, string> = {};
  for (const kind of ["requests", "limits"]) {
    for (const amount of container.at("resources").at(kind).members()) {
      resources[`${kind}.${String(amount.path.at(-1))}`] = String(amount.value);
    }
  }
  return {
    name: container.at("name").text(),
    image: container.at("image").textOr(""),
    command: container.at("command").texts(),
    args: container.at("args").texts(),
    workingDir: container.at("workingDir").textOr(null) || null,
    env: container.at("env").items().map(readEnv),
    envFrom: container.at("envFrom").items().map(readEnvFrom),
    ports: container.at("ports").items().map((port) => ({
      name: port.at("name").textOr(""),
      port: port.at("containerPort").integer(1, PORT_MAX),
    })),
    mounts: container.at("volumeMounts").items().map(readMount),
    startup: readProbe(container.at("startupProbe")),
    readiness: readProbe(container.at("readinessProbe")),
    liveness: readProbe(container.at("livenessProbe")),
    postStart: readHook(container.at("lifecycle").at("postStart")),
    preStop: readHook(container.at("lifecycle").at("preStop")),
    sidecar: container.at("restartPolicy").textOr("") === "Always",
    runAsUser: security.at("runAsUser").integerOr(null, 0, UID_MAX),
    resources,
  };
}

function readMount(mount: Reader): VolumeMount {
  const mountPath = mount.at("mountPath").text();
  if (!mountPath.startsWith("/") || /[\n\0]/.test(mountPath)) {
    throw mount.at("mountPath").wrong("an absolute path");
  }
  const subPath = mount.at("subPath").textOr("");
  if (subPath.startsWith("/") || subPath.split("/").includes("..")) {
    throw mount.at("subPath").wrong("a path within the volume");
  }
  return {
    volume: mount.at("name").text(),
    mountPath: mountPath.length > 1 ? mountPath.replace(/\/+$/, "") : mountPath,
    subPath,
    readOnly: mount.at("readOnly").flag(false),
  };
}

function readHook(hook: Reader): LifecycleHook | null {
  if (!hook.present) return null;
  const command = hook.at("exec").at("command").texts();
  const sleepSeconds = hook.at("sleep").at("seconds").integerOr(0, 0, 86_400);
  if (command.length === 0 && sleepSeconds === 0) throw hook.wrong("exec or sleep");
  return { command, sleepSeconds };
}

function checkUnique(spec: Reader, model: PodModel): void {
  const seen = new Set<string>();
  for (const kind of ["initContainers", "containers"] as const) {
    model[kind].forEach(({ name }, index) => {
      if (seen.has(name)) {
        throw spec.at(kind).items()[index]?.at("name").wrong("a name of its own in the pod");
      }
      seen.add(name);
    });
  }
}

function checkMounts(spec: Reader, model: PodModel): void {
  for (const kind of ["initContainers", "containers"] as const) {
    model[kind].forEach(({ mounts }, index) => {
      mounts.forEach(({ volume }, at) => {
        if (model.volumes.has(volume)) return;
        const names = [...model.volumes.keys()].join(", ") || "none";
        const field = spec.at(kind).items()[index]?.at("volumeMounts").items()[at]?.at("name");
        throw field?.wrong(`the name of a volume of this pod (${names})`);
      });
    });
  }
}
