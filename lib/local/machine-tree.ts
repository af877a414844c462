/** The machine's files as mount plans look at them. */

import { entriesOf, kindAt, linkTarget } from "../host/directory.ts";
import type { HostTree } from "./mounts.ts";

/** Looks at the file system of this process. A folder that cannot be read counts as empty. */
export const machineTree: HostTree = {
  kind: kindAt,
  list(path) {
    try {
      return entriesOf(path).map(({ name }) => name);
    } catch {
      // No right to look: then its entries cannot be shown again either.
      return [];
    }
  },
  target: linkTarget,
};
