/** The kernel's limit for half-closed connections, in the network namespace of this thread. */

import { writeFileSync } from "node:fs";
import { Fault } from "../lib/base/fault.ts";

const CLOSE_WAIT_FILE = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";

/** Sets it. Throws `permission_denied`. */
export function setCloseWait(seconds: number): void {
  try {
    // Not asynchronously: another thread may be in another network.
    writeFileSync(CLOSE_WAIT_FILE, String(seconds));
  } catch (cause) {
    throw new Fault(
      "permission_denied",
      `Cannot write ${CLOSE_WAIT_FILE} for --timeout-close-wait-secs: expected root, and in a ` +
        "container a privileged one",
      { cause },
    );
  }
}
