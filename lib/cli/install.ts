/** `malla install` and `malla upgrade`: the objects of the control plane, for `kubectl apply -f -`. */

import { ConfigFault, oneOf, type ValueLayer, type YamlMap } from "../config/mod.ts";
import { systemClock } from "../host/clock.ts";
import { readText } from "../host/files.ts";
import type { Terminal } from "../host/terminal.ts";
import {
  identityValues,
  type Installation,
  installationManifests,
  planInstallation,
} from "../install/installation.ts";
import { namespaceObjects } from "../install/objects.ts";
import {
  clusterObjects,
  hasLinkerd,
  LINKERD_NAMESPACE,
  takeOverValues,
  unservedAuthorizations,
} from "../install/preflight.ts";
import { type FindObject, readStored, type StoredInstallation } from "../install/stored.ts";
import { HA_VALUES } from "../install/values.ts";
import { Fault } from "../base/fault.ts";
import type { KubeClient } from "../source/kube/client.ts";
import { parseManifests } from "../source/files/manifest.ts";
import { formatManifests } from "../source/files/manifest-text.ts";
import {
  addClusterOptions,
  type ClusterFlags,
  CONTROL_NAMESPACE,
  openClient,
} from "./cluster-flags.ts";
import { addValueOptions, valueLayers } from "./value-flags.ts";
import { createVerb, runVerb, valueOf, type Verb } from "./verb.ts";

interface InstallFlags extends ClusterFlags {
  readonly crds?: true;
  readonly ha?: true;
  readonly ignoreCluster?: true;
  readonly force?: true;
  readonly takeOverLinkerd?: true;
  readonly identityValues?: true;
  readonly rotateIssuer?: true;
  readonly fromManifests?: string;
  readonly acceptUnservedPolicy?: boolean;
  readonly output: "yaml" | "json";
}

const HA_LAYER: ValueLayer = { name: "--ha", tree: HA_VALUES };

/** Runs `malla install`; resolves to 0, 1 (the cluster is against it) or 64 (wrong values). */
export function runInstall(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = installVerb(
    "install",
    "The objects of a new control plane: malla install | kubectl apply -f -",
    terminal,
  )
    .option("--identity-values", "only a trust anchor and an issuer, as values for the Helm chart")
    .option(
      "--take-over-linkerd",
      "in Linkerd's namespace, with its certificates, and obeying linkerd.io/inject",
    );
  return runVerb(verb, words, terminal, async () => {
    const flags = verb.opts<InstallFlags>();
    const layers = await valueLayers("install", verb);
    const namespace = flags.mallaNamespace ??
      (flags.takeOverLinkerd === true ? LINKERD_NAMESPACE : CONTROL_NAMESPACE);
    const taken = await lookBefore(flags, namespace, terminal);
    const all = [
      ...flags.ha === true ? [HA_LAYER] : [],
      ...taken === undefined ? [] : [{ name: "--take-over-linkerd", tree: taken }],
      ...layers,
    ];
    const nowMs = systemClock.nowMs();
    const installation = await planInstallation({ verb: "install", namespace, layers: all, nowMs });
    if (flags.identityValues === true) {
      terminal.write(formatManifests([identityValues(installation)]));
    } else print(installation, flags, terminal);
    return 0;
  });
}

/** Runs `malla upgrade`; resolves as `runInstall` does. */
export function runUpgrade(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = installVerb(
    "upgrade",
    "The objects of a control plane that is there, for this version and with changed values: " +
      "malla upgrade | kubectl apply -f -",
    terminal,
  )
    .option("--from-manifests <file>", "read what was installed from this file, not from a cluster")
    .option("--rotate-issuer", "make a new issuer although the present one is young");
  return runVerb(verb, words, terminal, async () => {
    const flags = verb.opts<InstallFlags>();
    const namespace = flags.mallaNamespace ?? CONTROL_NAMESPACE;
    const given = await valueLayers("upgrade", verb);
    const stored = await storedInstallation(flags, namespace);
    for (const path of stored.unknown) {
      terminal.writeError(`note: the value ${path} is not known any more: left out\n`);
    }
    const wish = {
      verb: "upgrade",
      namespace,
      layers: [stored.layer, ...flags.ha === true ? [HA_LAYER] : [], ...given],
      nowMs: systemClock.nowMs(),
      renew: flags.rotateIssuer === true,
      ...stored.anchor === undefined ? {} : { anchor: stored.anchor },
    };
    if (flags.rotateIssuer === true && stored.anchor === undefined) {
      throw new ConfigFault("upgrade", [
        "Cannot make an issuer: the anchor's key is not in the cluster; give another issuer with " +
        "--identity-issuer-certificate-file and --identity-issuer-key-file",
      ]);
    }
    print(await planInstallation(wish), flags, terminal);
    return 0;
  });
}

function installVerb(name: string, summary: string, terminal: Terminal): Verb {
  const verb = createVerb(name, summary, terminal)
    .option("--crds", "only what must be known before the rest")
    .option("--ha", "several replicas, spread over nodes")
    .option("--ignore-cluster", "do not look at the cluster before")
    .option("--force", "although the cluster is against it")
    .option("-o, --output <format>", "yaml or json", valueOf(oneOf(["yaml", "json"])), "yaml");
  return addClusterOptions(addValueOptions(verb));
}

function print(installation: Installation, flags: InstallFlags, terminal: Terminal): void {
  const { values, namespace } = installation;
  if (flags.crds === true) {
    terminal.writeError("note: Malla has no custom resources of its own; this is its namespace\n");
  }
  const objects = flags.crds === true
    ? namespaceObjects(values, namespace)
    : installationManifests(installation);
  terminal.write(
    flags.output === "yaml"
      ? formatManifests(objects)
      : `${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, null, 2)}\n`,
  );
}

/**
 * Whether the cluster may be installed into. Throws `failed_precondition` when not, and returns the
 * values of Linkerd where it is to be taken over.
 */
async function lookBefore(
  flags: InstallFlags,
  namespace: string,
  terminal: Terminal,
): Promise<YamlMap | undefined> {
  if (flags.identityValues === true) return undefined;
  if (flags.ignoreCluster === true) {
    if (flags.takeOverLinkerd !== true) return undefined;
    throw new ConfigFault("install", [
      "--take-over-linkerd and --ignore-cluster contradict each other: Linkerd's values are read " +
      "from the cluster",
    ]);
  }
  const client = await openClient(flags);
  await refuseUnserved(client, flags);
  if (flags.force !== true) await refuseInstalled(client, namespace);
  if (flags.takeOverLinkerd === true) {
    const values = await takeOverValues(client, namespace);
    if (values !== undefined) return values;
    throw new Fault(
      "failed_precondition",
      `Cannot take over Linkerd: there is no ConfigMap linkerd-config in namespace "${namespace}"; ` +
        "name its namespace with --malla-namespace",
    );
  }
  if (await hasLinkerd(client)) {
    terminal.writeError(
      "note: Linkerd's injector is in this cluster, so Malla obeys malla.dev/inject and " +
        "config.malla.dev/… alone; --take-over-linkerd changes that\n",
    );
  }
  return undefined;
}

async function refuseUnserved(client: KubeClient, flags: InstallFlags): Promise<void> {
  if (flags.acceptUnservedPolicy) return;
  const titles = await unservedAuthorizations(client);
  if (titles.length === 0) return;
  throw new Fault(
    "failed_precondition",
    `Cannot install: Malla does not serve these objects yet, and they say who may reach whom:\n` +
      titles.map((title) => `  ${title}\n`).join("") +
      "Pods that they select would refuse everybody. Remove them, or accept with " +
      "--accept-unserved-policy that they have no effect",
  );
}

async function refuseInstalled(client: KubeClient, namespace: string): Promise<void> {
  const stored = await readStored(clusterObjects(client, namespace));
  if (stored === undefined) return;
  throw new Fault(
    "failed_precondition",
    `Cannot install: Malla ${stored.version} is in namespace "${namespace}" already; ` +
      (stored.isHelms ? "helm upgrade" : "malla upgrade") + " changes it",
  );
}

async function storedInstallation(
  flags: InstallFlags,
  namespace: string,
): Promise<StoredInstallation> {
  const find = flags.fromManifests === undefined
    ? clusterObjects(await openClient(flags), namespace)
    : await manifestObjects(flags.fromManifests, namespace);
  const stored = await readStored(find);
  if (stored === undefined) {
    const place = flags.fromManifests ?? `namespace "${namespace}"`;
    throw new Fault(
      "failed_precondition",
      `Cannot upgrade: there is no ConfigMap malla-config in ${place}; malla install makes it`,
    );
  }
  if (stored.isHelms && flags.force !== true) {
    throw new Fault(
      "failed_precondition",
      "Cannot upgrade: Helm installed this control plane, so helm upgrade must change it",
    );
  }
  return stored;
}

async function manifestObjects(file: string, namespace: string): Promise<FindObject> {
  const text = await readText(file === "-" ? "/dev/stdin" : file);
  const { manifests, errors } = parseManifests(text, file);
  if (errors.length > 0) throw new Fault("invalid_argument", errors.join("\n"));
  return (kind, name) => {
    const found = manifests.find(({ raw }) => {
      const metadata = raw["metadata"] as { readonly name?: string; readonly namespace?: string };
      return raw["kind"] === kind && metadata.name === name && metadata.namespace === namespace;
    });
    return Promise.resolve(found?.raw as YamlMap | undefined);
  };
}
