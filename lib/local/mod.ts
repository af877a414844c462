/**
 * The laptop mesh's room: start a mesh, add a process to it. Its inner node is `node.ts`, which only the
 * process inside of the mesh loads.
 */

export type { NodeSpec } from "./node-spec.ts";
export { parsePublication, type Publication } from "./publish.ts";
export { findMesh } from "./running-mesh.ts";
export { type RemoteProcess, runInMesh, type RunOptions, type RunOutput } from "./run.ts";
export { checkManifests, type MeshOptions, type RunningMesh, startMesh } from "./up.ts";
