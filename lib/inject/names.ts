/** What the injector's objects in a cluster are called. The installation makes them. */

/**
 * The MutatingWebhookConfiguration. API servers ask webhooks in the order of these names, and this one
 * must come before Linkerd's: a pod that asks for Malla's proxy beside Linkerd's injector then has it.
 */
export const WEBHOOK_CONFIGURATION = "injector.malla.dev";

/** Deployment, Service, ServiceAccount and Lease of the injector. */
export const INJECTOR = "malla-injector";

/** The Secret with the webhook's own certificate authority. */
export const WEBHOOK_AUTHORITY_SECRET = "malla-injector-authority";

/**
 * Says on the webhook's configuration that somebody else writes caBundle: an injector that was started when
 * that was its own part must not go on with it.
 */
export const CA_BUNDLE_ANNOTATION = "malla.dev/ca-bundle";

/** Its value. */
export const EXTERNAL_CA_BUNDLE = "external";
