/** Volumes of a pod, as far as a laptop can give them. */

import { FieldFault, type Reader } from "./reader.ts";

/** A key of a ConfigMap or Secret and the file that it becomes. */
export interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode: number | null;
}

/** One source of files. */
export type FileSource =
  | {
    readonly kind: "configMap" | "secret";
    readonly name: string;
    readonly optional: boolean;
    /** Null: every key, under its own name. */
    readonly items: readonly KeyToPath[] | null;
  }
  | {
    readonly kind: "token";
    readonly audience: string;
    readonly expirationSeconds: number;
    readonly path: string;
  }
  | {
    readonly kind: "downward";
    readonly items: readonly {
      readonly path: string;
      readonly fieldPath: string | null;
      readonly resource: { readonly container: string; readonly resource: string } | null;
    }[];
  };

/** One volume. */
export type Volume =
  | { readonly kind: "empty"; readonly name: string }
  | { readonly kind: "host"; readonly name: string; readonly path: string; readonly make: boolean }
  | {
    readonly kind: "files";
    readonly name: string;
    readonly mode: number;
    readonly sources: readonly FileSource[];
  };

const MODE_DEFAULT = 0o644;

/** Reads an entry of `volumes`. Throws a `FieldFault` for kinds that need a cluster. */
export function readVolume(volume: Reader): Volume {
  const name = volume.at("name").text();
  if (volume.at("emptyDir").present) return { kind: "empty", name };
  const host = volume.at("hostPath");
  if (host.present) {
    const make = ["DirectoryOrCreate"].includes(host.at("type").textOr(""));
    return { kind: "host", name, path: host.at("path").text(), make };
  }
  const projected = volume.at("projected");
  if (projected.present) {
    const mode = modeOf(projected.at("defaultMode")) ?? MODE_DEFAULT;
    return { kind: "files", name, mode, sources: projected.at("sources").items().map(readSource) };
  }
  const kinds = ["configMap", "secret", "downwardAPI"];
  const kind = kinds.find((candidate) => volume.at(candidate).present);
  if (kind === undefined) throw unsupported(volume);
  const mode = modeOf(volume.at(kind).at("defaultMode")) ?? MODE_DEFAULT;
  return { kind: "files", name, mode, sources: [readSource(volume)] };
}

function readSource(source: Reader): FileSource {
  const map = source.at("configMap");
  if (map.present) return { kind: "configMap", ...readKeys(map, "name") };
  const secret = source.at("secret");
  if (secret.present) {
    return {
      kind: "secret",
      ...readKeys(secret, secret.at("name").present ? "name" : "secretName"),
    };
  }
  const token = source.at("serviceAccountToken");
  if (token.present) {
    return {
      kind: "token",
      audience: token.at("audience").textOr(""),
      expirationSeconds: token.at("expirationSeconds").integerOr(3_600, 600, 2 ** 32),
      path: filePath(token.at("path")),
    };
  }
  const downward = source.at("downwardAPI");
  if (!downward.present) {
    throw new FieldFault(
      source.path,
      "expected configMap, secret, serviceAccountToken or downwardAPI",
    );
  }
  return {
    kind: "downward",
    items: downward.at("items").items().map((item) => {
      const resource = item.at("resourceFieldRef");
      return {
        path: filePath(item.at("path")),
        fieldPath: item.at("fieldRef").at("fieldPath").textOr(null),
        resource: resource.present
          ? {
            container: resource.at("containerName").text(),
            resource: resource.at("resource").text(),
          }
          : null,
      };
    }),
  };
}

function readKeys(source: Reader, nameField: string) {
  return {
    name: source.at(nameField).text(),
    optional: source.at("optional").flag(false),
    items: source.at("items").present
      ? source.at("items").items().map((item) => ({
        key: item.at("key").text(),
        path: filePath(item.at("path")),
        mode: modeOf(item.at("mode")),
      }))
      : null,
  };
}

function filePath(path: Reader): string {
  const text = path.text();
  if (text.startsWith("/") || text.split("/").includes("..")) {
    throw path.wrong("a path within the volume");
  }
  return text;
}

function modeOf(mode: Reader): number | null {
  return mode.integerOr(null, 0, 0o777);
}

function unsupported(volume: Reader): FieldFault {
  const kind = volume.members().map((member) => String(member.path.at(-1)))
    .find((key) => key !== "name") ?? "nothing";
  return new FieldFault(
    volume.path,
    `a laptop has no volume of kind ${kind}; expected emptyDir, hostPath, configMap, secret, ` +
      "projected or downwardAPI",
  );
}
