/** The settings of what is written down of single requests: access log and traces. */

import { oneOf } from "../config/mod.ts";

/** Part of `proxySettings`. */
export const recordSettings = {
  accessLog: {
    env: "LINKERD2_PROXY_ACCESS_LOG",
    flag: "access-log",
    type: oneOf(["apache", "json"]),
    help: "In which form a line is written for each request of this pod's clients; absent: none.",
  },
} as const;
