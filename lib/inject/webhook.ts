/**
 * The mutating webhook: takes an AdmissionReview, answers with the patch. A pod with a wrong annotation
 * is refused with what is wrong, or admitted without a proxy where that is the policy. Where we cannot
 * decide (the cluster gives no answer) the failure policy of the webhook's configuration does. Owns
 * hono's use here.
 */

import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeError, Fault } from "../base/fault.ts";
import { ADMISSION_BYTES_MAX } from "../base/limits.ts";
import { injectPod } from "./inject.ts";
import type { JsonPatchOperation } from "./json-patch.ts";
import { checkPod, isObject, type OwnerReference } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import type { FindSurroundings, Surroundings } from "./surroundings.ts";
import { servicePatch } from "./workload.ts";

/** What became of one review, for logs, metrics and events. */
export interface Admission {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly outcome: "injected" | "skipped" | "refused" | "failed";
  readonly reason?: string;
  /** Somebody asked for a proxy. */
  readonly asked: boolean;
  /** Nothing is to be made, the answer alone is wanted. */
  readonly dryRun: boolean;
  /** What controls the pod. */
  readonly owner?: OwnerReference;
}

/** What to do with a pod whose annotations are wrong. */
export type OnInvalid = "refuse" | "admit";

/** What the webhook needs. */
export interface WebhookOptions {
  readonly inject: InjectOptions;
  readonly surroundings: FindSurroundings;
  readonly onInvalid: OnInvalid;
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
  readonly dryRun: boolean;
  readonly object: unknown;
}

/** The decision on an object. */
interface Decision {
  readonly patch: readonly JsonPatchOperation[];
  readonly warnings: readonly string[];
  readonly admission: Admission;
}

type Place = Omit<Admission, "outcome">;

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
    const decision = await decide(review, options);
    options.decided(decision.admission);
    if (decision.admission.outcome === "failed") {
      // Anything but an answer lets the API server do what the failure policy says.
      return context.text(`${decision.admission.reason}\n`, 503);
    }
    return context.json({
      apiVersion: review.apiVersion,
      kind: "AdmissionReview",
      response: responseOf(review, decision),
    });
  });
  return app;
}

function responseOf({ uid }: Review, { patch, warnings, admission }: Decision) {
  if (admission.outcome === "refused") {
    return { uid, allowed: false, status: { code: 400, message: admission.reason } };
  }
  return {
    uid,
    allowed: true,
    ...(patch.length === 0 ? {} : { patchType: "JSONPatch", patch: encodePatch(patch) }),
    ...(warnings.length === 0 ? {} : { warnings: warnings.map(cutWarning) }),
  };
}

async function decide(review: Review, options: WebhookOptions): Promise<Decision> {
  const place = placeOf(review);
  let surroundings: Surroundings;
  try {
    surroundings = await options.surroundings(review.namespace);
  } catch (cause) {
    return { patch: [], warnings: [], admission: failed(place, cause) };
  }
  try {
    return mutation(review, place, surroundings, options.inject);
  } catch (cause) {
    if (!(cause instanceof Fault) || cause.code !== "invalid_argument") {
      return { patch: [], warnings: [], admission: failed(place, cause) };
    }
    const reason = describeError(cause);
    if (options.onInvalid === "refuse") {
      return { patch: [], warnings: [], admission: { ...place, outcome: "refused", reason } };
    }
    const admission = { ...place, asked: true, outcome: "skipped", reason } as const;
    return { patch: [], warnings: [`not injected by Malla: ${reason}`], admission };
  }
}

/** What is done to the object. Throws `invalid_argument` for an object that is wrong. */
function mutation(
  { kind, object }: Review,
  place: Place,
  { namespace, obeyLinkerd }: Surroundings,
  inject: InjectOptions,
): Decision {
  if (kind === "Service") {
    const patch = servicePatch(object, namespace);
    const outcome = patch.length === 0 ? "skipped" : "injected";
    return { patch, warnings: [], admission: { ...place, outcome } };
  }
  if (kind !== "Pod") return skipped(place, `a ${kind} is not injected`);
  checkPod(object, "");
  const injection = injectPod(object, namespace, { ...inject, obeyLinkerd });
  const { patch, skipped: reason, asked, warnings } = injection;
  if (reason !== undefined) return skipped({ ...place, asked }, reason);
  return { patch, warnings, admission: { ...place, asked, outcome: "injected" } };
}

function placeOf({ kind, namespace, name, dryRun, object }: Review): Place {
  const place = { resource: kind.toLowerCase(), namespace, name, asked: false, dryRun };
  const metadata = isObject(object) ? object["metadata"] : undefined;
  const references = isObject(metadata) ? metadata["ownerReferences"] : undefined;
  const owner = Array.isArray(references)
    ? references.find((reference: unknown) => isObject(reference) && reference["controller"])
    : undefined;
  return owner === undefined ? place : { ...place, owner };
}

function failed(place: Place, cause: unknown): Admission {
  return { ...place, outcome: "failed", reason: describeError(cause) };
}

function skipped(place: Place, reason: string): Decision {
  return { patch: [], warnings: [], admission: { ...place, outcome: "skipped", reason } };
}

function readReview(body: unknown): Review | undefined {
  if (!isObject(body) || body["kind"] !== "AdmissionReview") return undefined;
  const { apiVersion, request } = body;
  if (apiVersion !== "admission.k8s.io/v1" || !isObject(request)) return undefined;
  const { uid, kind, namespace, object, dryRun } = request;
  if (typeof uid !== "string" || !isObject(kind) || typeof kind["kind"] !== "string") {
    return undefined;
  }
  return {
    apiVersion,
    uid,
    kind: kind["kind"],
    namespace: typeof namespace === "string" ? namespace : "",
    name: nameOf(object),
    dryRun: dryRun === true,
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
