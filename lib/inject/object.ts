/**
 * The parts of Kubernetes objects that injection reads. Everything else in a manifest passes through
 * untouched. The guards turn foreign JSON into these types, or name the field that is wrong.
 */

import { Fault } from "../base/fault.ts";

/** A map of strings, as annotations and labels are. */
export type StringMap = Readonly<Record<string, string>>;

/** `metadata` of any object. */
export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly annotations?: StringMap;
  readonly labels?: StringMap;
  readonly ownerReferences?: readonly OwnerReference[];
}

/** Who made an object. */
export interface OwnerReference {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly name: string;
  readonly uid?: string;
  readonly controller?: boolean;
}

/** A container's port. */
export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: string;
}

/** A container, as far as injection reads it. */
export interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly ports?: readonly ContainerPort[];
  readonly securityContext?: SecurityContext | null;
}

/** Whom a container runs as. */
export interface SecurityContext {
  readonly runAsUser?: number;
}

/** A pod's spec, as far as injection reads it. */
export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { readonly name: string }[];
  readonly hostNetwork?: boolean;
  readonly securityContext?: SecurityContext | null;
}

/** A pod, or the template of one. */
export interface Pod {
  readonly metadata?: ObjectMeta;
  readonly spec: PodSpec;
}

/** Whether the value is a JSON object (not a list, not null). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks what injection reads of a pod or pod template. `path` names the place in messages. */
export function checkPod(value: unknown, path: string): asserts value is Pod {
  if (!isObject(value)) throw wrong(path || "pod", value, "an object");
  checkMetadata(value["metadata"], `${path}.metadata`);
  const spec = value["spec"];
  if (!isObject(spec)) throw wrong(`${path}.spec`, spec, "an object");
  checkContainers(spec["containers"], `${path}.spec.containers`);
  if (spec["initContainers"] !== undefined && spec["initContainers"] !== null) {
    checkContainers(spec["initContainers"], `${path}.spec.initContainers`);
  }
}

/** Checks `metadata`: absent, or with maps of strings for annotations and labels. */
export function checkMetadata(
  value: unknown,
  path: string,
): asserts value is ObjectMeta | undefined {
  if (value === undefined || value === null) return;
  if (!isObject(value)) throw wrong(path, value, "an object");
  for (const field of ["annotations", "labels"]) {
    const map = value[field];
    if (map === undefined || map === null) continue;
    if (!isObject(map)) throw wrong(`${path}.${field}`, map, "a map of strings");
    for (const [key, text] of Object.entries(map)) {
      // YAML reads an unquoted `true` or `80` as no string; Kubernetes refuses that as well.
      if (typeof text !== "string") {
        throw wrong(`${path}.${field}["${key}"]`, text, "a string (put it in quotes)");
      }
    }
  }
}

function checkContainers(value: unknown, path: string): void {
  if (!Array.isArray(value)) throw wrong(path, value, "a list of containers");
  value.forEach((container: unknown, index) => {
    const at = `${path}[${index}]`;
    if (!isObject(container)) throw wrong(at, container, "an object");
    if (typeof container["name"] !== "string") {
      throw wrong(`${at}.name`, container["name"], "a name");
    }
    const ports = container["ports"];
    if (ports === undefined || ports === null) return;
    if (!Array.isArray(ports)) throw wrong(`${at}.ports`, ports, "a list of ports");
    ports.forEach((port: unknown, portIndex) => {
      const number = isObject(port) ? port["containerPort"] : undefined;
      if (Number.isInteger(number) && Number(number) > 0 && Number(number) <= 65_535) return;
      throw wrong(`${at}.ports[${portIndex}].containerPort`, number, "a port number 1–65535");
    });
  });
}

function wrong(path: string, value: unknown, expected: string): Fault {
  const shown = value === undefined ? "nothing" : JSON.stringify(value);
  return new Fault(
    "invalid_argument",
    `Cannot read ${path.replace(/^\./, "")}: expected ${expected}, got ${shown}`,
  );
}
