/** The laptop mesh's room: start a mesh, be its inner node, add a process to it. */

export { runNode } from "./node.ts";
export type { NodeSpec, PublishedPort } from "./node-spec.ts";
export { parsePublish } from "./publish-flag.ts";
export { checkManifests, type MeshOptions, type RunningMesh, startMesh } from "./up.ts";
