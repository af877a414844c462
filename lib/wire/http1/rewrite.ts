// hot
/** Copies a head for the next hop, without what concerns only this connection or claims to be ours. */

import { asciiBytes, type ByteBuffer, equalsIgnoreCase, sameIgnoreCase } from "../../base/bytes.ts";
import { elementEnd, elementStart, isMeshName, trimEnd } from "./fields.ts";
import { type Head, RANGES_PER_HEADER } from "./head.ts";

/** What changes on the way; one object per kind of hop, not per message. */
export interface RewriteOptions {
  /** Drop all `l5d-*` headers. Nobody outside the mesh may set them. */
  readonly dropMeshHeaders: boolean;
  /** Keep `Upgrade` and say `connection: upgrade` where the head asks for an upgrade. */
  readonly keepUpgrade: boolean;
}

/** No header lines to add. */
export const NO_LINES: Uint8Array = new Uint8Array(0);

const CRLF = asciiBytes("\r\n");
const CONNECTION_UPGRADE = asciiBytes("connection: upgrade\r\n");

const CONNECTION = asciiBytes("connection");
const CONTENT_LENGTH = asciiBytes("content-length");
const HOST = asciiBytes("host");
const KEEP_ALIVE = asciiBytes("keep-alive");
const PROXY_CONNECTION = asciiBytes("proxy-connection");
const TRANSFER_ENCODING = asciiBytes("transfer-encoding");
const UPGRADE = asciiBytes("upgrade");

/**
 * Appends the head in `bytes` to `out`: its start line (or `startLine`, with its CRLF), the headers
 * that go on, the pre-encoded `lines` (each with its CRLF), and the blank line.
 */
export function rewriteHead(
  bytes: Uint8Array,
  head: Head,
  options: RewriteOptions,
  lines: Uint8Array,
  out: ByteBuffer,
  startLine: Uint8Array = NO_LINES,
): void {
  const from = startLine.length === 0 ? head.start : head.fieldsStart;
  out.append(startLine, 0, startLine.length);
  const drops = head.hasHopByHop || head.hasUpgrade ||
    (options.dropMeshHeaders && head.hasMeshHeaders);
  if (!drops) {
    if (lines.length === 0) {
      out.append(bytes, from, head.end);
      return;
    }
    out.append(bytes, from, head.end - 2);
  } else {
    const upgrade = options.keepUpgrade && head.upgrades();
    copyKept(bytes, head, options.dropMeshHeaders, upgrade, from, out);
    if (upgrade) out.append(CONNECTION_UPGRADE, 0, CONNECTION_UPGRADE.length);
  }
  out.append(lines, 0, lines.length);
  out.append(CRLF, 0, CRLF.length);
}

/** Copies the kept header lines in as few ranges as there are gaps. */
function copyKept(
  bytes: Uint8Array,
  head: Head,
  dropMesh: boolean,
  upgrade: boolean,
  from: number,
  out: ByteBuffer,
): void {
  const ranges = head.ranges;
  let run = from;
  for (let i = 0; i < head.count; i++) {
    const slot = i * RANGES_PER_HEADER;
    if (!isDropped(bytes, head, slot, dropMesh, upgrade)) continue;
    const line = ranges[slot]!;
    if (line > run) out.append(bytes, run, line);
    run = i + 1 < head.count ? ranges[slot + RANGES_PER_HEADER]! : head.end - 2;
  }
  if (head.end - 2 > run) out.append(bytes, run, head.end - 2);
}

function isDropped(
  bytes: Uint8Array,
  head: Head,
  slot: number,
  dropMesh: boolean,
  upgrade: boolean,
): boolean {
  const start = head.ranges[slot]!;
  const end = head.ranges[slot + 1]!;
  if (dropMesh && isMeshName(bytes, start, end)) return true;
  switch (end - start) {
    case 7:
      if (equalsIgnoreCase(bytes, start, end, UPGRADE)) return !upgrade;
      break;
    case 10:
      if (equalsIgnoreCase(bytes, start, end, CONNECTION)) return true;
      if (equalsIgnoreCase(bytes, start, end, KEEP_ALIVE)) return true;
      break;
    case 16:
      if (equalsIgnoreCase(bytes, start, end, PROXY_CONNECTION)) return true;
      break;
    default:
  }
  return head.connectionNames && isNamedByConnection(bytes, head, start, end);
}

/**
 * Whether some Connection header lists the name. What frames or addresses the message is never
 * dropped: a client that lists those wants the next hop to read another message than we did.
 */
function isNamedByConnection(bytes: Uint8Array, head: Head, start: number, end: number): boolean {
  if (
    equalsIgnoreCase(bytes, start, end, HOST) ||
    equalsIgnoreCase(bytes, start, end, CONTENT_LENGTH) ||
    equalsIgnoreCase(bytes, start, end, TRANSFER_ENCODING)
  ) return false;
  for (let i = head.find(bytes, CONNECTION); i >= 0; i = head.find(bytes, CONNECTION, i + 1)) {
    const stop = head.ranges[i * RANGES_PER_HEADER + 3]!;
    let at = head.ranges[i * RANGES_PER_HEADER + 2]!;
    while (at < stop) {
      const comma = elementEnd(bytes, at, stop);
      const first = elementStart(bytes, at, comma);
      if (sameIgnoreCase(bytes, start, end, first, trimEnd(bytes, first, comma))) return true;
      at = comma + 1;
    }
  }
  return false;
}
