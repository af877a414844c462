/**
 * The Container Network Interface as a plugin speaks it: what it is asked by variables and standard
 * input, and what it answers on standard output. Pure; versions 0.3.1 to 1.1.0 of the specification.
 */

/** The versions that are spoken, oldest first. */
export const CNI_VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** The error codes that are used: those of the specification, and from 100 on our own. */
export const CNI_CODES = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  cannotDecode: 6,
  invalidConfiguration: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  noRedirect: 100,
} as const;

/** One of them. */
export type CniCode = (typeof CNI_CODES)[keyof typeof CNI_CODES];

/** A failure as the runtime is told of it. */
export class CniError extends Error {
  readonly code: CniCode;

  /** The message is for an operator, who reads it among the pod's events. */
  constructor(code: CniCode, message: string) {
    super(message);
    this.name = "CniError";
    this.code = code;
  }
}

/** What runtimes ask for. */
export type CniCommand = "ADD" | "DEL" | "CHECK" | "STATUS" | "GC";

const COMMANDS: readonly string[] = ["ADD", "DEL", "CHECK", "STATUS", "GC"] satisfies CniCommand[];

/** The configuration on standard input, as far as it is read. */
export interface CniConfiguration {
  readonly cniVersion: string;
  /** What the plugins before this one have done; passed on as it is. */
  readonly prevResult?: Readonly<Record<string, unknown>>;
  /** Our own: the path of what says how to reach the cluster. */
  readonly kubeconfig: string;
  /** Our own: namespaces whose pods are left alone. */
  readonly excludeNamespaces: readonly string[];
}

/** One call. */
export interface CniRequest {
  readonly command: CniCommand;
  /** The file of the container's network namespace; empty where there is none. */
  readonly namespaceFile: string;
  /** `CNI_ARGS`, such as `K8S_POD_NAME`. */
  readonly args: ReadonlyMap<string, string>;
  readonly configuration: CniConfiguration;
}

/** Reads a call other than VERSION. Throws a `CniError`. */
export function readRequest(
  env: Readonly<Record<string, string | undefined>>,
  input: string,
): CniRequest {
  const command = env["CNI_COMMAND"] ?? "";
  if (!isCommand(command)) {
    const known = ["VERSION", ...COMMANDS].join(", ");
    throw new CniError(
      CNI_CODES.invalidEnvironment,
      `CNI_COMMAND is "${command}": expected one of ${known}`,
    );
  }
  const namespaceFile = env["CNI_NETNS"] ?? "";
  if ((command === "ADD" || command === "CHECK") && namespaceFile === "") {
    throw new CniError(
      CNI_CODES.invalidEnvironment,
      `CNI_NETNS is empty: expected the pod's network namespace with ${command}`,
    );
  }
  return {
    command,
    namespaceFile,
    args: argumentsIn(env["CNI_ARGS"] ?? ""),
    configuration: configurationIn(input),
  };
}

/** The answer to VERSION. */
export function versionAnswer(): string {
  const newest = CNI_VERSIONS.at(-1);
  return JSON.stringify({ cniVersion: newest, supportedVersions: CNI_VERSIONS });
}

/** The answer to ADD: what the plugins before have done, in the version that was asked in. */
export function resultAnswer({ prevResult, cniVersion }: CniConfiguration): string {
  return JSON.stringify({ ...prevResult, cniVersion });
}

/** The answer when it failed. */
export function errorAnswer({ code, message }: CniError, cniVersion: string): string {
  return JSON.stringify({ cniVersion, code, msg: message });
}

/** The version that an input names, else the newest: failures are told in it. */
export function versionOf(input: string): string {
  const newest = CNI_VERSIONS.at(-1) ?? "";
  try {
    const { cniVersion } = (JSON.parse(input) ?? {}) as { readonly cniVersion?: unknown };
    return isKnownVersion(cniVersion) ? cniVersion : newest;
  } catch {
    return newest; // What is wrong with the input is being told.
  }
}

/** Whether plugins can be chained, and ours among them, in a configuration of this version. */
export function isKnownVersion(version: unknown): version is string {
  return CNI_VERSIONS.some((known) => known === version);
}

function isCommand(text: string): text is CniCommand {
  return COMMANDS.includes(text);
}

function configurationIn(input: string): CniConfiguration {
  let fields: unknown;
  try {
    fields = JSON.parse(input);
  } catch {
    throw new CniError(CNI_CODES.cannotDecode, "Cannot read standard input: expected JSON");
  }
  if (!isRecord(fields)) {
    throw new CniError(CNI_CODES.cannotDecode, "Cannot read standard input: expected an object");
  }
  const { cniVersion, prevResult, kubeconfig, excludeNamespaces = [] } = fields;
  if (!isKnownVersion(cniVersion)) {
    throw new CniError(
      CNI_CODES.incompatibleVersion,
      `Cannot speak CNI version ${JSON.stringify(cniVersion)}: expected one of ` +
        CNI_VERSIONS.join(", "),
    );
  }
  if (typeof kubeconfig !== "string" || kubeconfig === "") {
    throw new CniError(CNI_CODES.invalidConfiguration, "kubeconfig is missing: expected a path");
  }
  const isNames = Array.isArray(excludeNamespaces) &&
    excludeNamespaces.every((name) => typeof name === "string");
  if (!isNames) {
    throw new CniError(
      CNI_CODES.invalidConfiguration,
      "excludeNamespaces is wrong: expected a list of namespaces",
    );
  }
  if (prevResult !== undefined && !isRecord(prevResult)) {
    throw new CniError(
      CNI_CODES.invalidConfiguration,
      "prevResult is wrong: expected the result of the plugin before this one",
    );
  }
  return {
    cniVersion,
    kubeconfig,
    excludeNamespaces,
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

/** Reads `A=1;B=2`; what has no equals sign is none of ours. */
function argumentsIn(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(";").flatMap((word): [string, string][] => {
    const at = word.indexOf("=");
    return at <= 0 ? [] : [[word.slice(0, at), word.slice(at + 1)]];
  });
  return new Map(pairs);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
