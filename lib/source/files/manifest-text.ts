/** Manifests written back: objects in, YAML with one document for each out. */

import { Document, Scalar, visit } from "yaml";

/**
 * The objects as YAML documents. Written for readers of YAML 1.1 as well, which kubectl is: texts that
 * one of the versions would take for something else (`yes`, `0755`, `0o755`, `12:30`) get quotes.
 */
export function formatManifests(objects: readonly unknown[]): string {
  return objects.map((object) => {
    const document = new Document(object, { version: "1.1", aliasDuplicateObjects: false });
    visit(document, {
      Scalar(_key, node) {
        // The writer knows what version 1.1 takes for a number; version 1.2 knows a few more.
        if (typeof node.value === "string" && /^[-+.\d][^\n]*$/.test(node.value)) {
          node.type = Scalar.QUOTE_DOUBLE;
        }
      },
    });
    // Without the declaration: some readers know only one version and refuse any other.
    return document.toString({ lineWidth: 0, directives: false });
  }).join("---\n");
}
