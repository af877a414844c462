/** The control plane's room: an index of the cluster's objects, and what proxies are told from it. */

export { Control, type ControlSizes } from "./discovery.ts";
export { INDEXED_KINDS } from "./index.ts";
export { DEFAULT_OPAQUE_PORTS, parsePorts, type PortRange } from "./ports.ts";
export { type ControlSettings, INBOUND_POLICIES, type InboundPolicy } from "./settings.ts";
