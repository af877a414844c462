/**
 * Where the webhook's certificate comes from: files that somebody else renews, or an authority of our
 * own that is kept in the cluster (`webhook-authority.ts`).
 */

import { describeError, Fault } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { joinPath, readText, watchFolder } from "../host/files.ts";
import { authorityPem, issueLeaf } from "../pki/issuer.ts";
import { generateKey } from "../pki/key.ts";
import { toPemChain } from "../pki/pem.ts";
import { isConflict, type KubeClient, type KubeObject } from "../source/kube/client.ts";
import { CA_BUNDLE_ANNOTATION, EXTERNAL_CA_BUNDLE } from "./names.ts";
import { isObject } from "./object.ts";
import {
  authorityFields,
  type AuthorityState,
  nextState,
  readAuthorities,
  trustedBundle,
} from "./webhook-authority.ts";

/** A certificate with its chain, and its key, both PEM. */
export interface WebhookTls {
  readonly cert: string;
  readonly key: string;
}

/** What a source of certificates tells. */
export interface WebhookTlsEvents {
  /** This certificate is to be shown from now on. */
  changed(tls: WebhookTls): void;
  failed(reason: string): void;
}

/** A running source. */
export interface WebhookTlsSource {
  stop(): void;
}

/** The webhook's configuration and the Secret with its authority; both exist from the installation on. */
export interface WebhookPlace {
  readonly namespace: string;
  readonly secret: string;
  readonly configuration: string;
  /** The name in the certificate: `malla-injector.malla.svc`. */
  readonly dnsName: string;
}

/** The kubelet swaps a mounted secret's files one after another; then both are read. */
const SETTLE_MS = 1_000;
/** How often the Secret is looked at: it changes some times a year. */
const LOOK_MS = 10_000;
const LEAF_LIFETIME_MS = 86_400_000;
const RENEWAL = 0.7;

/** Files `tls.crt` and `tls.key` of a folder. Rejects when they cannot be read at the start. */
export async function folderTls(
  folder: string,
  clock: Clock,
  events: WebhookTlsEvents,
): Promise<WebhookTlsSource> {
  events.changed(await readFolder(folder));
  let timer: Timer | undefined;
  const unwatch = watchFolder(folder, () => {
    timer?.cancel();
    timer = clock.after(SETTLE_MS, () => {
      readFolder(folder).then(events.changed, (thrown) => events.failed(describeError(thrown)));
    });
  });
  return {
    stop() {
      timer?.cancel();
      unwatch();
    },
  };
}

async function readFolder(folder: string): Promise<WebhookTls> {
  const read = async (name: string): Promise<string> => {
    const path = joinPath(folder, name);
    try {
      return await readText(path);
    } catch (cause) {
      throw new Fault("failed_precondition", `Cannot read ${path} (--tls-dir)`, { cause });
    }
  };
  return { cert: await read("tls.crt"), key: await read("tls.key") };
}

/** What an authority of our own takes. */
export interface OwnTlsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly place: WebhookPlace;
  /** Whether this replica is the one that writes. */
  readonly leads: () => boolean;
  readonly events: WebhookTlsEvents;
}

/** Certificates of our own authority; the leader keeps that authority and the webhook's caBundle. */
export class OwnTls implements WebhookTlsSource {
  readonly #options: OwnTlsOptions;
  #timer: Timer | undefined;
  #busy = false;
  #stopped = false;
  /** The authority that the certificate in use is from, and when to make the next one. */
  #used = { authority: "", renewMs: 0 };

  constructor(options: OwnTlsOptions) {
    this.#options = options;
  }

  /** Begins to look. */
  start(): void {
    this.#timer = this.#options.clock.every(LOOK_MS, () => this.look());
    this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Looks at the Secret now, for instance because this replica has just begun to lead. */
  look(): void {
    if (this.#busy || this.#stopped) return;
    this.#busy = true;
    this.#step().catch((thrown: unknown) => {
      // Another leader was faster: its state is read the next time.
      if (!isConflict(thrown)) this.#options.events.failed(describeError(thrown));
    }).finally(() => this.#busy = false);
  }

  async #step(): Promise<void> {
    const { client, place, leads, events } = this.#options;
    const path = `/api/v1/namespaces/${place.namespace}/secrets/${place.secret}`;
    const secret = await client.get(path);
    if (secret === undefined) {
      const { secret: name, namespace } = place;
      throw new Fault("not_found", `Cannot find the Secret "${name}" in namespace "${namespace}"`);
    }
    const { state, problems } = await readAuthorities(fieldsOf(secret));
    for (const problem of problems) events.failed(`Secret "${place.secret}": ${problem}`);
    const kept = leads() ? await this.#keep(state, secret, path) : state;
    await this.#certify(kept);
  }

  /** The leader's part: the Secret's next state, and what API servers believe. */
  async #keep(state: AuthorityState, secret: KubeObject, path: string): Promise<AuthorityState> {
    const { client, clock } = this.#options;
    const configuration = await this.#configuration();
    const announced = announcedBundles(configuration);
    const next = await nextState(state, announced.at(0) ?? "", clock.nowMs());
    if (next !== undefined) {
      await client.replace(path, { ...secret, data: encoded(authorityFields(next)) });
    }
    await this.#announce(configuration, announced, trustedBundle(next ?? state));
    return next ?? state;
  }

  async #configuration(): Promise<KubeObject> {
    const { client, place } = this.#options;
    const configuration = await client.get(configurationPath(place));
    if (configuration !== undefined) return configuration;
    throw new Fault(
      "not_found",
      `Cannot find the MutatingWebhookConfiguration "${place.configuration}"`,
    );
  }

  async #announce(
    { metadata }: KubeObject,
    announced: readonly string[],
    bundle: string,
  ): Promise<void> {
    if (metadata.annotations?.[CA_BUNDLE_ANNOTATION] === EXTERNAL_CA_BUNDLE) return;
    const steps = announced.flatMap((text, index) =>
      text === bundle ? [] : [{
        op: "add" as const,
        path: `/webhooks/${index}/clientConfig/caBundle`,
        value: encodeText(bundle),
      }]
    );
    if (steps.length === 0) return;
    await this.#options.client.patch(configurationPath(this.#options.place), [
      // Refused when somebody, such as an upgrade, has changed it since.
      { op: "add", path: "/metadata/resourceVersion", value: metadata.resourceVersion },
      ...steps,
    ]);
  }

  /** Makes this replica's certificate, when the authority is another one or it is time. */
  async #certify({ current }: AuthorityState): Promise<void> {
    if (current === undefined) return;
    const { clock, place, events } = this.#options;
    const nowMs = clock.nowMs();
    const authority = authorityPem(current).certificate;
    if (authority === this.#used.authority && nowMs < this.#used.renewMs) return;
    const { publicDer, privatePem } = await generateKey();
    const { dnsName } = place;
    const leaf = await issueLeaf(current, {
      publicDer,
      dnsName,
      nowMs,
      lifetimeMs: LEAF_LIFETIME_MS,
    });
    if (this.#stopped) return;
    this.#used = { authority, renewMs: nowMs + (leaf.notAfterMs - nowMs) * RENEWAL };
    events.changed({ cert: toPemChain("CERTIFICATE", [leaf.der]), key: privatePem });
  }
}

function configurationPath({ configuration }: WebhookPlace): string {
  return "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + configuration;
}

/** The caBundle of each webhook of a configuration, as text; empty where there is none. */
function announcedBundles({ webhooks }: KubeObject): readonly string[] {
  if (!Array.isArray(webhooks)) return [];
  return webhooks.map((webhook: unknown) => {
    const config = isObject(webhook) ? webhook["clientConfig"] : undefined;
    const bundle = isObject(config) ? config["caBundle"] : undefined;
    return typeof bundle === "string" ? decodeText(bundle) : "";
  });
}

function fieldsOf({ data }: KubeObject): Readonly<Record<string, string>> {
  const entries = isObject(data) ? Object.entries(data) : [];
  return Object.fromEntries(entries.map(([key, text]) => [key, decodeText(String(text))]));
}

function encoded(fields: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields).map(([key, text]) => [key, encodeText(text)]));
}

function encodeText(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

/** Text that is no Base64 is as good as none: whoever reads it then tells what is missing. */
function decodeText(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(base64));
  } catch {
    return "";
  }
}
