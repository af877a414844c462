/**
 * What an installation left in its cluster (or in the manifests that were applied): its values, its
 * certificates and the anchor's key. An upgrade begins with that.
 */

import { Fault } from "../base/fault.ts";
import {
  isMap,
  isValue,
  type ValueLayer,
  type ValueTree,
  type Yaml,
  type YamlMap,
} from "../config/mod.ts";
import { parseYaml } from "../host/yaml.ts";
import type { AnchorMaterial } from "./identity-material.ts";
import { ANCHOR_SECRET } from "./installation.ts";
import { CONFIG_KEY, CONFIG_MAP, TRUST_ROOTS_KEY } from "./names.ts";
import { INSTALL_VALUES } from "./values.ts";

/** An installation as it was found. */
export interface StoredInstallation {
  /** The version that made it. */
  readonly version: string;
  /** Helm made it, and wants to change it itself. */
  readonly isHelms: boolean;
  readonly layer: ValueLayer;
  /** Values that this version does not know any more. */
  readonly unknown: readonly string[];
  readonly anchor?: AnchorMaterial;
}

/** Finds an object of the installation's namespace; undefined when there is none. */
export type FindObject = (
  kind: "ConfigMap" | "Secret",
  name: string,
) => Promise<YamlMap | undefined>;

/** Reads an installation; undefined when there is none. Throws a `Fault` for one that cannot be read. */
export async function readStored(find: FindObject): Promise<StoredInstallation | undefined> {
  const config = await find("ConfigMap", CONFIG_MAP);
  if (config === undefined) return undefined;
  const text = textAt(config, ["data", CONFIG_KEY]);
  const parsed = text === undefined ? undefined : parse(text);
  if (parsed === undefined) {
    throw new Fault(
      "failed_precondition",
      `Cannot read the ConfigMap "${CONFIG_MAP}": expected YAML under the key "${CONFIG_KEY}"`,
    );
  }
  const unknown: string[] = [];
  const values = known(INSTALL_VALUES, parsed, [], unknown);
  const version = textAt(config, ["metadata", "labels", "app.kubernetes.io/version"]) ?? "";
  const managedBy = textAt(config, ["metadata", "labels", "app.kubernetes.io/managed-by"]);
  const anchor = await storedAnchor(find);
  return {
    version,
    isHelms: managedBy === "Helm",
    unknown,
    layer: {
      name: `the ConfigMap ${CONFIG_MAP}`,
      tree: withOwnImage(withCertificates(values, await storedCertificates(find, values)), version),
    },
    ...anchor === undefined ? {} : { anchor },
  };
}

/** Whoever did not choose a version gets the one that installs. */
function withOwnImage(values: YamlMap, version: string): YamlMap {
  const { image } = values;
  if (!isMap(image) || image["version"] !== version) return values;
  const { version: _version, ...rest } = image;
  return { ...values, image: rest };
}

async function storedAnchor(find: FindObject): Promise<AnchorMaterial | undefined> {
  const secret = await find("Secret", ANCHOR_SECRET);
  const certificate = secretText(secret, "tls.crt");
  const key = secretText(secret, "tls.key");
  return certificate === undefined || key === undefined ? undefined : { certificate, key };
}

interface StoredCertificates {
  readonly trustAnchors?: string;
  readonly certificate?: string;
  readonly key?: string;
}

async function storedCertificates(find: FindObject, values: YamlMap): Promise<StoredCertificates> {
  const identity = isMap(values["identity"]) ? values["identity"] : {};
  const issuer = isMap(identity["issuer"]) ? identity["issuer"] : {};
  const found: { trustAnchors?: string; certificate?: string; key?: string } = {};
  if (identity["externalCA"] !== true) {
    const name = identity["trustRootsConfigMap"];
    const roots = typeof name === "string" ? await find("ConfigMap", name) : undefined;
    const text = roots === undefined ? undefined : textAt(roots, ["data", TRUST_ROOTS_KEY]);
    if (text !== undefined) found.trustAnchors = text;
  }
  if (issuer["scheme"] !== "kubernetes.io/tls" && typeof issuer["secretName"] === "string") {
    const secret = await find("Secret", issuer["secretName"]);
    const certificate = secretText(secret, "crt.pem");
    const key = secretText(secret, "key.pem");
    if (certificate !== undefined) found.certificate = certificate;
    if (key !== undefined) found.key = key;
  }
  return found;
}

/** What is in use counts, not what was written down when it was installed. */
function withCertificates(values: YamlMap, stored: StoredCertificates): YamlMap {
  const identity = isMap(values["identity"]) ? values["identity"] : {};
  const issuer = isMap(identity["issuer"]) ? identity["issuer"] : {};
  const { trustAnchors, certificate, key } = stored;
  return {
    ...values,
    ...trustAnchors === undefined ? {} : { identityTrustAnchorsPEM: trustAnchors },
    ...certificate === undefined || key === undefined ? {} : {
      identity: {
        ...identity,
        issuer: { ...issuer, tls: { crtPEM: certificate, keyPEM: key } },
      },
    },
  };
}

/** The values that this version knows; the others are named. */
function known(
  tree: ValueTree,
  values: YamlMap,
  above: readonly string[],
  unknown: string[],
): YamlMap {
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]): [string, Yaml][] => {
      const node = tree[key];
      if (node === undefined) {
        // Helm adds it for charts of charts.
        if (key !== "global") unknown.push([...above, key].join("."));
        return [];
      }
      if (isValue(node) || !isMap(value)) return [[key, value]];
      return [[key, known(node, value, [...above, key], unknown)]];
    }),
  );
}

function parse(text: string): YamlMap | undefined {
  try {
    const value = parseYaml(text) as Yaml;
    return isMap(value) ? value : undefined;
  } catch {
    return undefined; // Named by the caller, with what was expected.
  }
}

function textAt(object: YamlMap, path: readonly string[]): string | undefined {
  let value: Yaml | undefined = object;
  for (const step of path) value = isMap(value) ? value[step] : undefined;
  return typeof value === "string" ? value : undefined;
}

function secretText(secret: YamlMap | undefined, key: string): string | undefined {
  if (secret === undefined) return undefined;
  const encoded = textAt(secret, ["data", key]);
  if (encoded === undefined) return textAt(secret, ["stringData", key]);
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(encoded));
  } catch {
    return undefined; // No Base64: as good as none.
  }
}
