/** The kinds of resource that one may ask for, and the words that people use for them. */

import { nearest } from "../base/nearest.ts";

/** What figures can be asked of. */
export type ResourceKind =
  | "deployment"
  | "statefulset"
  | "daemonset"
  | "job"
  | "replicaset"
  | "pod"
  | "service"
  | "namespace";

const WORDS: Readonly<Record<string, ResourceKind>> = {
  deploy: "deployment",
  deployment: "deployment",
  deployments: "deployment",
  sts: "statefulset",
  statefulset: "statefulset",
  statefulsets: "statefulset",
  ds: "daemonset",
  daemonset: "daemonset",
  daemonsets: "daemonset",
  job: "job",
  jobs: "job",
  rs: "replicaset",
  replicaset: "replicaset",
  replicasets: "replicaset",
  po: "pod",
  pod: "pod",
  pods: "pod",
  svc: "service",
  service: "service",
  services: "service",
  ns: "namespace",
  namespace: "namespace",
  namespaces: "namespace",
};

/** The words of the help: one per kind. */
export const RESOURCE_WORDS = ["deploy", "sts", "ds", "job", "rs", "pod", "svc", "ns"] as const;

/** The kind that a word means; undefined for a word that is none. */
export function resourceKind(word: string): ResourceKind | undefined {
  const lower = word.toLowerCase();
  return Object.hasOwn(WORDS, lower) ? WORDS[lower] : undefined;
}

/** What to tell who used a word that is no resource, or none of the possible ones. */
export function unknownResource(word: string, possible: readonly string[]): string {
  const meant = resourceKind(word) === undefined ? nearest(word, possible) : undefined;
  return `Unknown resource "${word}": expected one of ${possible.join(", ")}` +
    (meant === undefined ? "" : `; did you mean "${meant}"?`);
}
