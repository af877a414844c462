/** The control plane's room: an index of the cluster's objects, and what proxies are told from it. */

export { ConfigurationProblems } from "./configuration-problems.ts";
export { Control, type ControlSizes } from "./discovery.ts";
export { INDEXED_KINDS } from "./index.ts";
export { ProblemReport } from "./problem-report.ts";
export type { ControlSettings } from "./settings.ts";
export { UnservedReport } from "./unserved-report.ts";
