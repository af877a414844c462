/** `malla install` and `malla upgrade`: the objects of the control plane, for `kubectl apply -f -`. */

import {
  ConfigFault,
  isMap,
  oneOf,
  readValues,
  type ValueLayer,
  type Yaml,
  type YamlMap,
} from "../config/mod.ts";
import { systemClock } from "../host/clock.ts";
import { readText } from "../host/files.ts";
import type { Terminal } from "../host/terminal.ts";
import {
  identityValues,
  type Installation,
  installationManifests,
  planInstallation,
} from "../install/installation.ts";
import {
  CUSTOM_RESOURCES,
  definitionPath,
  GATEWAY_API_COMMAND,
} from "../install/custom-resources.ts";
import { type KubeManifest, namespaceObjects } from "../install/objects.ts";
import {
  clusterObjects,
  hasLinkerd,
  kubernetesObstacle,
  LINKERD_NAMESPACE,
  namespaceObstacle,
  neededKubernetes,
  takeOverValues,
  unservedAuthorizations,
} from "../install/preflight.ts";
import { type FindObject, readStored, type StoredInstallation } from "../install/stored.ts";
import { HA_VALUES, INSTALL_VALUES, type InstallValues } from "../install/values.ts";
import { isRunning, proxiedPods } from "../install/installed.ts";
import { rotationProblems } from "../install/rotation.ts";
import { sha256Hex } from "../host/digest.ts";
import { Fault } from "../base/fault.ts";
import type { KubeClient, KubeObject } from "../source/kube/client.ts";
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
    const { client, taken } = await lookBefore(flags, namespace, terminal);
    const all = [
      ...flags.ha === true ? [HA_LAYER] : [],
      ...taken === undefined ? [] : [{ name: "--take-over-linkerd", tree: taken }],
      ...layers,
    ];
    const nowMs = systemClock.nowMs();
    const installation = await planInstallation({ verb: "install", namespace, layers: all, nowMs });
    if (client !== undefined) await refuseOld(client, installation, "install");
    if (flags.identityValues === true) {
      terminal.write(formatManifests([identityValues(installation)]));
    } else print(await objectsOf(installation, flags, client, terminal), flags, terminal);
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
    const client = flags.fromManifests === undefined ? await openClient(flags) : undefined;
    const stored = await storedInstallation(flags, namespace, client);
    for (const path of stored.unknown) {
      terminal.writeError(`note: the value ${path} is not known any more: left out\n`);
    }
    const chosen = [...flags.ha === true ? [HA_LAYER] : [], ...given];
    const wish = {
      verb: "upgrade",
      namespace,
      layers: [stored.layer, ...handedOver(stored.layer, given), ...chosen],
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
    const installation = await planInstallation(wish);
    if (client !== undefined && flags.force !== true) {
      await refuseOld(client, installation, "upgrade");
      await refuseRift(client, stored, installation);
    }
    print(await objectsOf(installation, flags, client, terminal), flags, terminal);
    return 0;
  });
}

/** Certificates that were ours and that somebody else writes from now on are no values any more. */
function handedOver(stored: ValueLayer, given: readonly ValueLayer[]): readonly ValueLayer[] {
  const [before, after] = [[stored], [stored, ...given]]
    .map((layers) => readValues("upgrade", INSTALL_VALUES, layers).identity);
  const none = { crtPEM: "", keyPEM: "" };
  const isIssuer = before?.issuer.scheme !== after?.issuer.scheme;
  const isAnchors = before?.externalCA === false && after?.externalCA === true;
  return [{
    name: "what others write",
    tree: {
      ...isIssuer ? { identity: { issuer: { tls: none } } } : {},
      ...isAnchors ? { identityTrustAnchorsPEM: "" } : {},
    },
  }];
}

/** Certificates that part of the pods would not believe. */
async function refuseRift(
  client: KubeClient,
  stored: StoredInstallation,
  { values, namespace }: Installation,
): Promise<void> {
  const former = readValues("upgrade", INSTALL_VALUES, [stored.layer]);
  const side = ({ identityTrustAnchorsPEM, identity }: InstallValues) => ({
    trustAnchors: identityTrustAnchorsPEM,
    issuerCertificate: identity.issuer.tls.crtPEM,
  });
  const [before, after] = [side(former), side(values)];
  const isSame = before.trustAnchors === after.trustAnchors &&
    before.issuerCertificate === after.issuerCertificate;
  if (isSame) return;
  const running = (await proxiedPods(client, namespace)).filter(isRunning);
  const pods = running.map(({ metadata }) => ({
    name: `${metadata.namespace}/${metadata.name}`,
    anchorsSha256: metadata.annotations?.["linkerd.io/trust-root-sha256"] ?? "",
  }));
  const problems = rotationProblems(before, after, pods, sha256Hex, systemClock.nowMs());
  if (problems.length === 0) return;
  throw new Fault(
    "failed_precondition",
    `Cannot upgrade: the mesh would fall apart:\n${problems.join("\n")}\n` +
      "docs/rotate.md tells the steps; --force does it all the same",
  );
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

/** What an installation consists of, or what must be known before that. */
async function objectsOf(
  installation: Installation,
  { crds }: InstallFlags,
  client: KubeClient | undefined,
  terminal: Terminal,
): Promise<readonly KubeManifest[]> {
  if (crds !== true) return installationManifests(installation);
  const { values, namespace } = installation;
  return [...namespaceObjects(values, namespace), ...await missingDefinitions(client, terminal)];
}

/** The custom resources that the cluster does not have from us; those of others stay what they are. */
async function missingDefinitions(
  client: KubeClient | undefined,
  terminal: Terminal,
): Promise<readonly KubeManifest[]> {
  const missing: KubeManifest[] = [];
  for (const definition of CUSTOM_RESOURCES.values()) {
    const { name, labels } = definition.metadata;
    const found = await client?.get(definitionPath(name));
    if (found === undefined || hasLabels(found, labels)) missing.push(definition);
    else terminal.writeError(`note: ${name} is there and somebody else's: it is left alone\n`);
  }
  terminal.writeError(
    `note: the Gateway API comes from its own project, and Malla serves no route of it yet:\n` +
      `${GATEWAY_API_COMMAND}\n`,
  );
  return missing;
}

function hasLabels({ metadata }: KubeObject, labels: Yaml | undefined): boolean {
  return isMap(labels) &&
    Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value);
}

function print(
  objects: readonly KubeManifest[],
  { output }: InstallFlags,
  terminal: Terminal,
): void {
  terminal.write(
    output === "yaml"
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
): Promise<{ readonly client?: KubeClient; readonly taken?: YamlMap }> {
  if (flags.identityValues === true) return {};
  if (flags.ignoreCluster === true) {
    if (flags.takeOverLinkerd !== true) return {};
    throw new ConfigFault("install", [
      "--take-over-linkerd and --ignore-cluster contradict each other: Linkerd's values are read " +
      "from the cluster",
    ]);
  }
  const client = await openClient(flags);
  await refuseSilent(client);
  await refuseUnserved(client, flags);
  await refuseEnding(client, namespace);
  // Definitions may come at any time.
  if (flags.force !== true && flags.crds !== true) await refuseInstalled(client, namespace);
  if (flags.takeOverLinkerd === true) {
    const values = await takeOverValues(client, namespace);
    if (values !== undefined) return { client, taken: values };
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
  return { client };
}

/** Whoever wants manifests only need not have a cluster. */
async function refuseSilent(client: KubeClient): Promise<void> {
  try {
    await client.ask("/version");
  } catch (cause) {
    if (cause instanceof Fault && cause.code !== "unavailable") return;
    throw new Fault(
      "unavailable",
      "Cannot look at the cluster (kubectl cluster-info shows where the kubeconfig leads, " +
        "--ignore-cluster prints the objects without a look)",
      { cause },
    );
  }
}

async function refuseEnding(client: KubeClient, namespace: string): Promise<void> {
  const obstacle = await namespaceObstacle(client, namespace);
  if (obstacle === undefined) return;
  const { message, hint } = obstacle;
  throw new Fault("failed_precondition", `Cannot install: ${message}; ${hint}`);
}

async function refuseOld(
  client: KubeClient,
  { values }: Installation,
  verb: string,
): Promise<void> {
  const answer = await client.ask("/version") as { readonly gitVersion?: unknown } | undefined;
  // Whoever hides its version is judged by what it does.
  if (typeof answer?.gitVersion !== "string") return;
  const isNative = values.proxy.nativeSidecar;
  const obstacle = kubernetesObstacle(answer.gitVersion, isNative);
  if (obstacle === undefined) return;
  throw new Fault(
    "failed_precondition",
    `Cannot ${verb}: Kubernetes must be ${neededKubernetes(isNative)} or later, ` +
      `${obstacle.message}; ${obstacle.hint}`,
  );
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
  client: KubeClient | undefined,
): Promise<StoredInstallation> {
  const find = client === undefined
    ? await manifestObjects(flags.fromManifests ?? "", namespace)
    : clusterObjects(client, namespace);
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
