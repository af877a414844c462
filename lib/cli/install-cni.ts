/** `malla install-cni`: the objects of the CNI plugin, for `kubectl apply -f -` and `kubectl delete -f -`. */

import { oneOf } from "../config/mod.ts";
import type { Terminal } from "../host/terminal.ts";
import { cniManifests, readCniValues } from "../install/cni.ts";
import { CNI_NAMESPACE } from "../install/names.ts";
import { formatManifests } from "../source/files/manifest-text.ts";
import { addClusterOptions } from "./cluster-flags.ts";
import { addValueOptions, CNI_FLAGS, valueLayers } from "./value-flags.ts";
import { createVerb, runVerb, valueOf } from "./verb.ts";

interface InstallCniFlags {
  readonly cniNamespace: string;
  readonly output: "yaml" | "json";
}

/** Runs the verb; resolves to 0 or 64 (wrong values). No cluster is asked, whichever the flags name. */
export function runInstallCni(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = createVerb(
    "install-cni",
    "The objects of the CNI plugin, which lets meshed pods do without NET_ADMIN: " +
      "malla install-cni | kubectl apply -f -, and then malla install --linkerd-cni-enabled",
    terminal,
  )
    .option("--cni-namespace <ns>", "namespace of the plugin", CNI_NAMESPACE)
    .option("-o, --output <format>", "yaml or json", valueOf(oneOf(["yaml", "json"])), "yaml");
  addClusterOptions(addValueOptions(verb, CNI_FLAGS));
  return runVerb(verb, words, terminal, async () => {
    const { cniNamespace, output } = verb.opts<InstallCniFlags>();
    const layers = await valueLayers("install-cni", verb, CNI_FLAGS);
    const objects = cniManifests(readCniValues("install-cni", layers), cniNamespace);
    terminal.write(
      output === "yaml"
        ? formatManifests(objects)
        : `${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, null, 2)}\n`,
    );
    return 0;
  });
}
