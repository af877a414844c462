/** The laptop mesh's room: start a mesh, be its inner node, add a process to it. */

export { runNode } from "./node.ts";
export type { NodeSpec } from "./node-spec.ts";
export { parsePublication, type Publication } from "./publish.ts";
export { checkManifests, type MeshOptions, type RunningMesh, startMesh } from "./up.ts";
