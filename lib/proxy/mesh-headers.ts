// hot
/** What proxies of the mesh say to each other in headers of responses. */

import { asciiBytes } from "../base/bytes.ts";
import type { ResponseHead } from "../wire/http/mod.ts";

const PROXY_CONNECTION = asciiBytes("l5d-proxy-connection");
const UNSENT = asciiBytes("malla-unsent");

/** Whether a peer's proxy asks for another replica: it cannot reach its application. */
export function closesPeer(head: ResponseHead): boolean {
  return head.hasMeshHeaders && head.find(PROXY_CONNECTION) >= 0;
}

/** Whether it says that the application has seen nothing of the request. */
export function isUnsent(head: ResponseHead): boolean {
  return head.find(UNSENT) >= 0;
}
