/**
 * The software bill of materials of an image, in SPDX 2.3 as JSON: Malla, the runtime and the npm
 * packages inside of its executable, and the Debian packages beside it.
 */

import { createHash } from "node:crypto";
import type { DebianPackage } from "./debian.ts";

/** A package from npm. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** As the package says it; empty where it does not. */
  readonly license: string;
}

/** What an SBOM is made of. */
export interface SbomInputs {
  readonly version: string;
  readonly commit: string;
  readonly bunVersion: string;
  readonly npm: readonly NpmPackage[];
  readonly debian: readonly DebianPackage[];
}

/** A package in SPDX's words. */
interface SpdxPackage {
  readonly SPDXID: string;
  readonly name: string;
  readonly versionInfo: string;
  readonly downloadLocation: "NOASSERTION";
  readonly filesAnalyzed: false;
  readonly licenseConcluded: "NOASSERTION";
  readonly licenseDeclared: string;
  readonly copyrightText: "NOASSERTION";
  readonly externalRefs?: readonly unknown[];
}

const MALLA = "SPDXRef-malla";
const MODULES = "node_modules/";
/** The folder of a package in the path of one of its files, with the folders that it is nested in. */
const PACKAGE = /(?:node_modules\/(?:@[^/]+\/)?[^/]+\/)*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;
/** A licence as SPDX takes it: identifiers, joined by operators, perhaps in parentheses. */
const LICENSE = /^\(?[\w.+-]+(?: (?:AND|OR|WITH) [\w.+-]+)*\)?$/;

/**
 * The packages whose files are compiled into the executable: the bundler's own list of what it took
 * (`--metafile`), with versions and licences from the lock file. Throws where the two disagree.
 */
export function npmPackages(metafile: string, lock: string): NpmPackage[] {
  const { inputs } = JSON.parse(metafile) as { readonly inputs: Readonly<Record<string, unknown>> };
  const { packages } = JSON.parse(lock) as {
    readonly packages: Readonly<Record<string, { version?: string; license?: string }>>;
  };
  const places = new Set(Object.keys(inputs).flatMap((path) => PACKAGE.exec(path)?.[0] ?? []));
  return [...places].toSorted().map((place) => {
    const { version, license = "" } = packages[place] ?? {};
    if (version === undefined) throw new Error(`Cannot tell the version of ${place}: not locked`);
    return { name: place.slice(place.lastIndexOf(MODULES) + MODULES.length), version, license };
  });
}

/** The document as text. It holds no time: the same inputs give the same bytes. */
export function sbomJson(inputs: SbomInputs): string {
  const parts = [
    spdxPackage("bun", inputs.bunVersion, "MIT", npmUrl("bun", inputs.bunVersion)),
    ...inputs.npm.map(({ name, version, license }) =>
      spdxPackage(name, version, license, npmUrl(name, version))
    ),
    ...inputs.debian.map(({ name, version, architecture }) =>
      spdxPackage(
        name,
        version,
        "",
        `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`,
      )
    ),
  ];
  const relations = parts.map(({ SPDXID }) => ({
    spdxElementId: MALLA,
    relationshipType: "CONTAINS",
    relatedSpdxElement: SPDXID,
  }));
  const digest = createHash("sha256").update(JSON.stringify([inputs.commit, parts])).digest("hex");
  return JSON.stringify(
    {
      spdxVersion: "SPDX-2.3",
      dataLicense: "CC0-1.0",
      SPDXID: "SPDXRef-DOCUMENT",
      name: `malla-${inputs.version}`,
      documentNamespace: `https://malla.dev/spdx/malla-${inputs.version}-${digest.slice(0, 16)}`,
      creationInfo: { created: "1970-01-01T00:00:00Z", creators: ["Tool: malla-image"] },
      documentDescribes: [MALLA],
      packages: [mallaPackage(inputs), ...parts],
      relationships: [
        {
          spdxElementId: "SPDXRef-DOCUMENT",
          relationshipType: "DESCRIBES",
          relatedSpdxElement: MALLA,
        },
        ...relations,
      ],
    },
    null,
    1,
  );
}

function mallaPackage({ version, commit }: SbomInputs): SpdxPackage {
  const versionInfo = commit === "" ? version : `${version}+${commit}`;
  return { ...spdxPackage("malla", versionInfo, "Apache-2.0", undefined), SPDXID: MALLA };
}

function spdxPackage(
  name: string,
  version: string,
  license: string,
  url: string | undefined,
): SpdxPackage {
  // Several versions of one package may be inside; SPDX allows letters, digits, dots and hyphens.
  const id = `${url?.split("/")[0] ?? ""}-${name}-${version}`.replace(/[^A-Za-z0-9.-]+/g, "-");
  return {
    SPDXID: `SPDXRef-${id}`,
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: LICENSE.test(license) ? license : "NOASSERTION",
    copyrightText: "NOASSERTION",
    ...(url === undefined ? {} : {
      externalRefs: [
        {
          referenceCategory: "PACKAGE-MANAGER",
          referenceType: "purl",
          referenceLocator: url,
        },
      ],
    }),
  };
}

function npmUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
}
