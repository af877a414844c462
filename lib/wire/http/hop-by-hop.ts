// hot
/** Which fields of a head end at this hop: what concerns only this connection or claims to be ours. */

import { sameIgnoreCase } from "../../base/bytes.ts";
import { RANGES_PER_HEADER } from "./field-lines.ts";
import { FieldName } from "./field-name.ts";
import { type Head, MeshFields } from "./head.ts";
import { elementEnd, elementStart, trimEnd } from "./list.ts";

/** Whether field `i` ends here. `upgrade`: the connection is going to change its protocol. */
export function isDropped(head: Head, i: number, upgrade: boolean): boolean {
  switch (head.name(i)) {
    case FieldName.MESH:
      return head.meshFields !== MeshFields.KEEP || isNamedByConnection(head, i);
    case FieldName.CANONICAL_DST:
      return head.meshFields === MeshFields.DROP || isNamedByConnection(head, i);
    case FieldName.GRPC_TIMEOUT:
      return head.replacesTimeout || isNamedByConnection(head, i);
    case FieldName.UPGRADE:
      return !upgrade;
    case FieldName.CONNECTION:
    case FieldName.KEEP_ALIVE:
    case FieldName.PROXY_CONNECTION:
      return true;
    // What frames or addresses the message is never dropped: a client that lists those in Connection
    // wants the next hop to read another message than we did.
    case FieldName.HOST:
    case FieldName.CONTENT_LENGTH:
    case FieldName.TRANSFER_ENCODING:
      return false;
    default:
      return isNamedByConnection(head, i);
  }
}

/** Whether some Connection field lists the name of field `i`. */
function isNamedByConnection(head: Head, i: number): boolean {
  if (!head.connectionNames) return false;
  const { bytes, ranges } = head;
  const start = ranges[i * RANGES_PER_HEADER]!;
  const end = ranges[i * RANGES_PER_HEADER + 1]!;
  for (let j = 0; j < head.count; j++) {
    if (head.name(j) !== FieldName.CONNECTION) continue;
    const stop = ranges[j * RANGES_PER_HEADER + 3]!;
    let at = ranges[j * RANGES_PER_HEADER + 2]!;
    while (at < stop) {
      const comma = elementEnd(bytes, at, stop);
      const first = elementStart(bytes, at, comma);
      if (sameIgnoreCase(bytes, start, end, first, trimEnd(bytes, first, comma))) return true;
      at = comma + 1;
    }
  }
  return false;
}
