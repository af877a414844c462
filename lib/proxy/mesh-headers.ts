// hot
/** What proxies of the mesh say to each other in headers, and applications to their own. */

import { asciiBytes, equalsIgnoreCase, parseDecimal } from "../base/bytes.ts";
import {
  type FieldLines,
  FieldName,
  RANGES_PER_HEADER,
  type RequestHead,
  type ResponseHead,
} from "../wire/http/mod.ts";

const PROXY_CONNECTION = asciiBytes("l5d-proxy-connection");
const UNSENT = asciiBytes("malla-unsent");
/** Of a request that is a retry; no application sees it. */
const RETRY = asciiBytes("l5d-malla-retry");
/** Of a request: which identity its application demands of whoever answers. */
const REQUIRED_ID = asciiBytes("l5d-require-id");
const ADDED_NAME = "l5d-malla-retries";
/** Of a response: what share of retries has been added behind, in hundredths. */
const ADDED = asciiBytes(ADDED_NAME);
const ADDED_PERCENT_MAX = 9_999;
const RETRY_LINE = asciiBytes("l5d-malla-retry: 1\r\n");

/** Whether a peer's proxy asks for another replica: it cannot reach its application. */
export function closesPeer(head: ResponseHead): boolean {
  return head.hasMeshHeaders && head.find(PROXY_CONNECTION) >= 0;
}

/** Whether it says that the application has seen nothing of the request. */
export function isUnsent(head: ResponseHead): boolean {
  return head.find(UNSENT) >= 0;
}

/** Whether a peer's proxy sends the request again; to be asked only of peers. */
export function isRetry(head: RequestHead): boolean {
  if (!head.hasMeshHeaders) return false;
  const { bytes, ranges } = head;
  for (let i = head.firstRegular; i < head.count; i++) {
    if (head.name(i) !== FieldName.MESH) continue;
    const at = i * RANGES_PER_HEADER;
    if (equalsIgnoreCase(bytes, ranges[at]!, ranges[at + 1]!, RETRY)) return true;
  }
  return false;
}

/** The identity that the application demands of the endpoint; null: any. To be asked of outbound requests. */
export function requiredIdentity(head: RequestHead): string | null {
  if (!head.hasMeshHeaders) return null;
  const i = head.find(REQUIRED_ID);
  return i < 0 ? null : head.headerText(i).toLowerCase();
}

/** What share of retries whoever answers has added, as he says; 0: none. The field ends here. */
export function takeAddedRetries(head: ResponseHead): number {
  const i = head.find(ADDED);
  if (i < 0) return 0;
  head.endHere(i);
  const at = i * RANGES_PER_HEADER;
  const percent = parseDecimal(head.bytes, head.ranges[at + 2]!, head.ranges[at + 3]!);
  return percent < 0 ? 0 : percent / 100;
}

/** Adds the field that says how large it is: at least a hundredth, since there is one. */
export function addAddedRetries(share: number, fields: FieldLines): void {
  const percent = Math.min(ADDED_PERCENT_MAX, Math.ceil(share * 100));
  const line = asciiBytes(`${ADDED_NAME}: ${percent}\r\n`);
  fields.append(line, 0, ADDED.length, line.length - 2, FieldName.MESH);
}

/** Adds the field that says so. */
export function addRetry(fields: FieldLines): void {
  fields.append(RETRY_LINE, 0, RETRY.length, RETRY_LINE.length - 2, FieldName.MESH);
}
