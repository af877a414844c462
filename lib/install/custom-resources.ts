/**
 * The custom resources that an installation brings: those of the contract that are served. They are apart
 * from the other objects, because with a definition all its objects go: `malla install --crds` makes them,
 * and nothing removes them.
 */

import type { YamlMap } from "../config/mod.ts";
import type { KubeManifest } from "./objects.ts";

const text = (description: string): YamlMap => ({ type: "string", description });
const whole = (description: string, minimum: number): YamlMap => {
  return { type: "integer", minimum, description };
};
const many = (items: YamlMap, description: string): YamlMap => {
  return { type: "array", items, description };
};
const fields = (
  properties: YamlMap,
  description: string,
  required?: readonly string[],
): YamlMap => ({
  type: "object",
  description,
  properties,
  ...required === undefined ? {} : { required: [...required] },
});
/** A condition may hold conditions, which a schema of Kubernetes cannot say: the controller reads it. */
const condition = (description: string): YamlMap => {
  return { type: "object", description, "x-kubernetes-preserve-unknown-fields": true };
};

const RESPONSE_CLASS = fields(
  {
    condition: condition("status (min, max), all, any, not"),
    isFailure: { type: "boolean", description: "Whether such responses count as failures." },
  },
  "How some of the responses count.",
  ["condition"],
);

const ROUTE = fields(
  {
    name: text("What metrics call it."),
    condition: condition("method, pathRegex (the whole path), all, any, not"),
    isRetryable: {
      type: "boolean",
      description: "Whether failed requests are asked for again, within the budget.",
    },
    timeout: text("How long callers wait for a response with all its tries, such as 300ms."),
    responseClasses: many(RESPONSE_CLASS, "The first that fits counts; else 5xx are failures."),
  },
  "Requests of one kind.",
  ["name", "condition"],
);

const RETRY_BUDGET = fields(
  {
    retryRatio: {
      type: "number",
      minimum: 0,
      description: "How many retries for each request, such as 0.2.",
    },
    minRetriesPerSecond: whole("Retries a second that are there for nothing.", 0),
    ttl: text("How long a request counts, 1s to 60s."),
  },
  "How many retries there may be.",
);

const OVERRIDE = fields(
  {
    authority: text("The name and port of a Service that takes a part of the requests."),
    weight: {
      "x-kubernetes-int-or-string": true,
      anyOf: [{ type: "integer" }, { type: "string" }],
      description: "Its part of the sum of all weights, such as 500m.",
    },
  },
  "One of the Services that requests are split over.",
  ["authority", "weight"],
);

const SERVICE_PROFILE: KubeManifest = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: {
    name: "serviceprofiles.linkerd.io",
    labels: { "app.kubernetes.io/part-of": "malla" },
  },
  spec: {
    group: "linkerd.io",
    scope: "Namespaced",
    names: {
      kind: "ServiceProfile",
      plural: "serviceprofiles",
      singular: "serviceprofile",
      shortNames: ["sp"],
    },
    versions: [{
      name: "v1alpha2",
      served: true,
      storage: true,
      schema: {
        openAPIV3Schema: fields({
          spec: fields({
            routes: many(ROUTE, "The first whose condition a request meets is its route."),
            retryBudget: RETRY_BUDGET,
            dstOverrides: many(OVERRIDE, "Where requests go in place of the Service."),
            opaquePorts: many(
              { type: "string" },
              "Ports and ranges of ports whose connections are carried without looking into them.",
            ),
          }, "What a Service's callers do."),
        }, "Routes, retries, timeouts and a traffic split of the Service whose full name it has."),
      },
    }],
  },
};

/** Where the API has the definition of this name. */
export function definitionPath(name: string): string {
  return `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
}

/**
 * The command that brings the Gateway API's definitions. They are that project's: an installation uses them
 * where they are, and says this to who asks for them.
 */
export const GATEWAY_API_COMMAND = "kubectl apply --server-side -f " +
  "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.4.1/standard-install.yaml";

/** All definitions, by their plural names. */
export const CUSTOM_RESOURCES: ReadonlyMap<string, KubeManifest> = new Map([
  ["serviceprofiles", SERVICE_PROFILE],
]);
