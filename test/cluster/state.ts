/**
 * What a cluster's folder says of it: `spec.json`, written by whoever starts it, and `state.json`,
 * written by its keeper while it runs.
 */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { processStamp } from "../../lib/host/namespace.ts";
import { CACHE } from "../support/cache.ts";
import { type ClusterPlan, CLUSTERS_MAX, type ClusterShape, planCluster } from "./plan.ts";

/** What a cluster is to be. */
export interface ClusterSpec extends ClusterShape {
  readonly name: string;
  readonly number: number;
  readonly programs: {
    readonly kubernetes: string;
    /** Archives of the images that the cluster itself needs. */
    readonly images: readonly string[];
  };
}

/** What a running cluster is. */
export interface ClusterState {
  /** The keeper's stamp: stands for that process and no later one of the same id. */
  readonly keeper: string;
  /** The port on 127.0.0.1 that leads to the API server. */
  readonly apiPort: number;
  /** The first process of each node, as this machine sees it. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** Reads a cluster's specification and what follows from it. */
export function readSpec(folder: string): { plan: ClusterPlan; programs: ClusterSpec["programs"] } {
  const spec = JSON.parse(readFileSync(`${folder}/spec.json`, "utf8")) as ClusterSpec;
  return { plan: planCluster(spec.name, spec.number, spec), programs: spec.programs };
}

/** Writes a specification into the cluster's folder. */
export function writeSpec(folder: string, spec: ClusterSpec): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(`${folder}/spec.json`, JSON.stringify(spec));
}

/** The state of a cluster that runs; null when none of that folder does. */
export function readState(folder: string): ClusterState | null {
  const file = `${folder}/state.json`;
  if (!existsSync(file)) return null;
  const state = JSON.parse(readFileSync(file, "utf8")) as ClusterState;
  return processStamp(Number(state.keeper.split(" ")[0])) === state.keeper ? state : null;
}

/** Writes the state, whole or not at all. */
export function writeState(folder: string, state: ClusterState): void {
  writeFileSync(`${folder}/state.draft`, JSON.stringify(state));
  renameSync(`${folder}/state.draft`, `${folder}/state.json`);
}

/** The names of all clusters that left a folder, running or not. */
export function clusterNames(): string[] {
  const folder = `${CACHE}/clusters`;
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(`${folder}/${entry.name}/spec.json`))
    .map(({ name }) => name);
}

/** The lowest number that no cluster of this machine has. Call it with the lock held. */
export function freeNumber(): number {
  const taken = clusterNames().map((name) => readSpec(`${CACHE}/clusters/${name}`).plan.number);
  for (let number = 0; number < CLUSTERS_MAX; number++) {
    if (!taken.includes(number)) return number;
  }
  throw new Error(`Cannot start another cluster: ${CLUSTERS_MAX} are there`);
}
