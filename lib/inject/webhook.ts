/**
 * The mutating webhook: takes an AdmissionReview, answers with the patch. It never stands in the way: a
 * pod that cannot be injected is admitted as it is, and whoever made it reads why. Owns hono's use here.
 */

import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeError } from "../base/fault.ts";
import { ADMISSION_BYTES_MAX } from "../base/limits.ts";
import { injectPod } from "./inject.ts";
import type { JsonPatchOperation } from "./json-patch.ts";
import type { FindNamespace } from "./namespaces.ts";
import { checkPod, isObject } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import { servicePatch } from "./workload.ts";

/** What became of one review, for logs and metrics. */
export interface Admission {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly outcome: "injected" | "skipped" | "failed";
  readonly reason?: string;
}

/** What the webhook needs. */
export interface WebhookOptions {
  readonly inject: InjectOptions;
  readonly namespace: FindNamespace;
  readonly decided: (admission: Admission) => void;
}

/** The API server cuts longer warnings off, and drops all of them when there are too many. */
const WARNING_CHARS_MAX = 250;

/** A review, as far as it is read. */
interface Review {
  readonly apiVersion: string;
  readonly uid: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: unknown;
}

/** The decision on an object. */
interface Decision {
  readonly patch: readonly JsonPatchOperation[];
  readonly warnings: readonly string[];
  readonly admission: Admission;
}

/** The web application: `POST /` takes reviews. */
export function webhookApp(options: WebhookOptions): Hono {
  const app = new Hono();
  app.post("/", bodyLimit({ maxSize: ADMISSION_BYTES_MAX }), async (context) => {
    const review = readReview(await context.req.json().catch(() => undefined));
    if (review === undefined) {
      return context.text(
        "expected an AdmissionReview of admission.k8s.io/v1 with a request\n",
        400,
      );
    }
    const { patch, warnings, admission } = await decide(review, options);
    options.decided(admission);
    return context.json({
      apiVersion: review.apiVersion,
      kind: "AdmissionReview",
      response: {
        uid: review.uid,
        allowed: true,
        ...(patch.length === 0 ? {} : { patchType: "JSONPatch", patch: encodePatch(patch) }),
        ...(warnings.length === 0 ? {} : { warnings: warnings.map(cutWarning) }),
      },
    });
  });
  return app;
}

async function decide(review: Review, options: WebhookOptions): Promise<Decision> {
  const { kind, namespace, name } = review;
  const place = { resource: kind.toLowerCase(), namespace, name };
  try {
    const known = await options.namespace(namespace);
    if (kind === "Service") {
      const patch = servicePatch(review.object, known);
      return { patch, warnings: [], admission: { ...place, outcome: outcomeOf(patch) } };
    }
    if (kind !== "Pod") return skipped(place, `a ${kind} is not injected`);
    checkPod(review.object, "");
    const { patch, skipped: reason, warnings } = injectPod(review.object, known, options.inject);
    if (reason !== undefined) return skipped(place, reason);
    return { patch, warnings, admission: { ...place, outcome: "injected" } };
  } catch (cause) {
    const reason = describeError(cause);
    const warning = `not injected by Malla: ${reason}`;
    return { patch: [], warnings: [warning], admission: { ...place, outcome: "failed", reason } };
  }
}

function skipped(place: Omit<Admission, "outcome">, reason: string): Decision {
  return { patch: [], warnings: [], admission: { ...place, outcome: "skipped", reason } };
}

function outcomeOf(patch: readonly JsonPatchOperation[]): "injected" | "skipped" {
  return patch.length === 0 ? "skipped" : "injected";
}

function readReview(body: unknown): Review | undefined {
  if (!isObject(body) || body["kind"] !== "AdmissionReview") return undefined;
  const { apiVersion, request } = body;
  if (apiVersion !== "admission.k8s.io/v1" || !isObject(request)) return undefined;
  const { uid, kind, namespace, object } = request;
  if (typeof uid !== "string" || !isObject(kind) || typeof kind["kind"] !== "string") {
    return undefined;
  }
  return {
    apiVersion,
    uid,
    kind: kind["kind"],
    namespace: typeof namespace === "string" ? namespace : "",
    name: nameOf(object),
    object,
  };
}

function nameOf(object: unknown): string {
  const metadata = isObject(object) ? object["metadata"] : undefined;
  if (!isObject(metadata)) return "";
  return String(metadata["name"] ?? metadata["generateName"] ?? "");
}

function encodePatch(patch: readonly JsonPatchOperation[]): string {
  return new TextEncoder().encode(JSON.stringify(patch)).toBase64();
}

function cutWarning(text: string): string {
  return text.length <= WARNING_CHARS_MAX ? text : `${text.slice(0, WARNING_CHARS_MAX - 1)}…`;
}
