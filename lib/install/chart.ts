/**
 * The Helm charts: the same templates and the same values as `malla install` and `malla install-cni`,
 * written as files. `bun run chart` puts them into `deploy`; a test compares.
 */

import { VERSION } from "../base/version.ts";
import { isValue, type Value, type ValueTree, type Yaml, type YamlMap } from "../config/mod.ts";
import { formatManifests } from "../source/files/manifest-text.ts";
import { CNI_TEMPLATE_FILES } from "./cni.ts";
import { CNI_VALUES } from "./cni-values.ts";
import { CUSTOM_RESOURCES } from "./custom-resources.ts";
import { helmDocument, helmRequirement } from "./helm.ts";
import { TEMPLATE_FILES } from "./objects.ts";
import { neededKubernetes } from "./preflight.ts";
import type { ObjectTemplate } from "./objects/common.ts";
import { type Requirement, REQUIREMENTS } from "./requirements.ts";
import { HA_VALUES, INSTALL_VALUES } from "./values.ts";

/** What `malla install` refuses as well: a version without native sidecars, unless it does without them. */
const NATIVE_SIDECARS = `{{- if and .Values.proxy.nativeSidecar (semverCompare "<${
  neededKubernetes(true)
}.0-0" .Capabilities.KubeVersion.Version) }}{{ fail "Kubernetes must be ${
  neededKubernetes(true)
} or later for native sidecars: upgrade the cluster, or set proxy.nativeSidecar=false" }}{{- end }}
`;

const NOTES = `Malla is installed in the namespace {{ .Release.Namespace }}.

  malla check
  kubectl annotate namespace NAME malla.dev/inject=enabled

The second makes every pod that is created in the namespace from now on a part of the mesh.
`;

const CNI_NOTES = `Malla's CNI plugin is on the nodes as soon as its pods are ready.

  kubectl -n {{ .Release.Namespace }} rollout status daemonset/malla-cni

Install the control plane with cniEnabled=true, and pods are meshed without NET_ADMIN.
`;

/** What one chart is made of. */
export interface Chart {
  readonly name: string;
  readonly description: string;
  /** How `malla` takes the same values. */
  readonly verb: string;
  readonly values: ValueTree;
  /** More files, by their paths. */
  readonly files: Readonly<Record<string, string>>;
  readonly requirements: readonly Requirement[];
  readonly templates: Readonly<Record<string, readonly ObjectTemplate[]>>;
}

/** The control plane's. */
export const CONTROL_PLANE_CHART: Chart = {
  name: "malla",
  description: "A service mesh in one TypeScript executable",
  verb: "malla install",
  values: INSTALL_VALUES,
  files: {
    "values-ha.yaml": `# Values for several replicas: helm install -f values-ha.yaml …\n${
      yaml(HA_VALUES)
    }`,
    "templates/NOTES.txt": NOTES,
    "templates/kubernetes.yaml": NATIVE_SIDECARS,
    // Helm makes these where they are missing, and leaves them alone after that.
    ...Object.fromEntries(
      [...CUSTOM_RESOURCES].map(([name, definition]) => [`crds/${name}.yaml`, yaml(definition)]),
    ),
  },
  requirements: REQUIREMENTS,
  templates: TEMPLATE_FILES,
};

/** The CNI plugin's. */
export const CNI_CHART: Chart = {
  name: "malla-cni",
  description: "The CNI plugin of Malla, which lets meshed pods do without NET_ADMIN",
  verb: "malla install-cni",
  values: CNI_VALUES,
  files: { "templates/NOTES.txt": CNI_NOTES },
  requirements: [],
  templates: CNI_TEMPLATE_FILES,
};

/** All files of a chart, by their paths in it. */
export function chartFiles(chart: Chart): ReadonlyMap<string, string> {
  const files = new Map<string, string>([
    ["Chart.yaml", chartYaml(chart)],
    ["values.yaml", valuesYaml(chart)],
    ["values.schema.json", `${JSON.stringify(schemaOf(chart.values, true), null, 2)}\n`],
    ...Object.entries(chart.files),
  ]);
  if (chart.requirements.length > 0) {
    files.set(
      "templates/requirements.yaml",
      chart.requirements.map(({ condition, message }) => helmRequirement(condition, message))
        .join(""),
    );
  }
  for (const [name, objects] of Object.entries(chart.templates)) {
    files.set(`templates/${name}`, objects.map(helmDocument).join("---\n"));
  }
  return files;
}

function chartYaml({ name, description }: Chart): string {
  return yaml({
    apiVersion: "v2",
    name,
    description,
    type: "application",
    version: VERSION,
    appVersion: VERSION,
    kubeVersion: `>=${neededKubernetes(false)}.0-0`,
  });
}

/** The defaults with what each value means. */
function valuesYaml({ verb, values }: Chart): string {
  const head =
    `# The values of an installation, with their defaults. \`${verb}\` takes the same by\n` +
    "# --values and --set.\n";
  return `${head}\n${treeLines(values, "").join("\n")}\n`;
}

function treeLines(tree: ValueTree, pad: string): string[] {
  return Object.entries(tree).flatMap(([key, node]) => {
    if (!isValue(node)) return [`${pad}${key}:`, ...treeLines(node, `${pad}  `)];
    return [...commentLines(node, pad), ...valueLines(key, node.default, pad)];
  });
}

function commentLines({ help, type }: Value, pad: string): string[] {
  const words = `${help}${type === undefined ? "" : ` (${type.expected})`}`.split(" ");
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= LINE_CHARS) {
      lines.push(`${pad}# ${word}`);
    } else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

const LINE_CHARS = 99;

function valueLines(key: string, value: Yaml, pad: string): string[] {
  if (typeof value !== "object" || value === null) {
    return [`${pad}${key}: ${JSON.stringify(value)}`];
  }
  const lines = yaml(value).trimEnd().split("\n");
  if (lines.length === 1 && /^(\[\]|\{\})$/.test(lines[0] ?? "")) {
    return [`${pad}${key}: ${lines[0]}`];
  }
  return [`${pad}${key}:`, ...lines.map((line) => `${pad}  ${line}`)];
}

/** JSON Schema, so that Helm refuses what `malla install` would. */
function schemaOf(tree: ValueTree, isRoot = false): YamlMap {
  const properties = Object.entries(tree).map(([key, node]): [string, Yaml] => [
    key,
    isValue(node) ? valueSchema(node) : schemaOf(node),
  ]);
  // Charts that hold this one may have values for all of them.
  const global: [string, Yaml][] = isRoot ? [["global", { type: "object" }]] : [];
  return {
    ...(isRoot ? { $schema: "http://json-schema.org/draft-07/schema#" } : {}),
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries([...properties, ...global]),
  };
}

function valueSchema({ kind, type, help, default: preset }: Value): YamlMap {
  const description = help;
  switch (kind) {
    case "text": {
      const words = type?.words;
      if (words === undefined) {
        return { description, type: "string", ...(preset === "" ? {} : { minLength: 1 }) };
      }
      return { description, enum: preset === "" ? ["", ...words] : [...words] };
    }
    case "integer":
      return { description, type: "integer" };
    case "boolean":
      return { description, type: "boolean" };
    case "map":
      return { description, type: "object" };
    case "list":
      return { description, type: "array" };
  }
}

function yaml(value: Yaml): string {
  return formatManifests([value]);
}
