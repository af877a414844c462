/** The mesh's trust anchors: in the environment, or in a file that a setting names. */

import type { SettingSources } from "./load.ts";
import { ConfigFault } from "./fault.ts";
import { filePath, pemText } from "./type.ts";

/** Where the trust anchors are; one of the two is needed. */
export const trustAnchorSettings = {
  trustAnchors: {
    env: ["MALLA_IDENTITY_TRUST_ANCHORS", "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"],
    type: pemText(),
    help: "The certificates that all identities of the mesh chain to.",
  },
  trustAnchorsFile: {
    env: "MALLA_IDENTITY_TRUST_ANCHORS_FILE",
    flag: "trust-anchors-file",
    type: filePath(),
    help: "A file with the trust anchors, where they are not in the environment.",
  },
} as const;

/** What was given for them. */
export interface TrustAnchorPlace {
  /** PEM. */
  readonly trustAnchors: string | undefined;
  /** A path. */
  readonly trustAnchorsFile: string | undefined;
}

const EXPECTED = "expected the mesh's trust anchors in PEM";

/** The trust anchors in PEM. Throws a `ConfigFault` when there are none. */
export function readTrustAnchors(
  mode: string,
  { trustAnchors, trustAnchorsFile }: TrustAnchorPlace,
  readFile: NonNullable<SettingSources["readFile"]>,
): string {
  if (trustAnchors !== undefined) return trustAnchors;
  if (trustAnchorsFile === undefined) {
    throw new ConfigFault(mode, [
      `Missing setting: give --trust-anchors-file or MALLA_IDENTITY_TRUST_ANCHORS; ${EXPECTED}`,
    ]);
  }
  let text: string;
  try {
    text = readFile(trustAnchorsFile);
  } catch (cause) {
    throw new ConfigFault(mode, [
      `Cannot read "${trustAnchorsFile}" for --trust-anchors-file: ${EXPECTED} (${cause})`,
    ]);
  }
  const parsed = pemText().parse(text);
  if (parsed.ok) return `${parsed.value}\n`;
  throw new ConfigFault(mode, [`Cannot use file "${trustAnchorsFile}": ${EXPECTED}`]);
}
