/** The door of the room: injection of proxies into pods, and the redirect inside them. */

export { injectPod, ownerOf } from "./inject.ts";
export type { Injection, InjectNamespace, Owner } from "./inject.ts";
export { checkPod } from "./object.ts";
export { injectWorkload, servicePatch } from "./workload.ts";
export type { InjectedObject, NamespaceLookup, ObjectReport } from "./workload.ts";
export { controlServices } from "./options.ts";
export type { ControlService, InjectOptions } from "./options.ts";
export { DEFAULT_PROXY_CONFIG } from "./proxy-config.ts";
export type { ProxyConfig } from "./proxy-config.ts";
export { INIT_CONTAINER, PROXY_CONTAINER } from "./containers.ts";
export { applyPatch } from "./json-patch.ts";
export type { JsonPatchOperation } from "./json-patch.ts";
export { applyRedirect } from "./redirect-apply.ts";
export type { AppliedRules } from "./redirect-apply.ts";
export { findFirewall, restoreRules, versionSix } from "./firewall.ts";
export type { Firewall, FirewallPrograms, IpVersion, RunCommand } from "./firewall.ts";
export { redirectRules } from "./redirect.ts";
export type { ProxyExemption, RedirectOptions } from "./redirect.ts";
export { injectOptionsOf, injectSettings } from "./settings.ts";
export { annotateWorkload, askingAnnotations, uninjectWorkload } from "./annotate.ts";
