/** The dashboard's API in a cluster, asked through the API server: no port has to be forwarded. */

import { Fault } from "../../base/fault.ts";
import { HttpRefusal } from "../../host/http-json.ts";
import type { KubeClient } from "../../source/kube/client.ts";

/** Makes what asks it. What is asked rejects with `unavailable` and what to do. */
export function askViz(
  client: KubeClient,
  namespace: string,
): <T>(path: string) => Promise<T> {
  const service = `/api/v1/namespaces/${namespace}/services/malla-viz:api/proxy`;
  return async <T>(path: string): Promise<T> => {
    let answer: unknown;
    try {
      // The API server passes the host on, and the dashboard refuses names that are not its own.
      answer = await client.ask(`${service}${path}`, { host: "localhost" });
    } catch (cause) {
      if (cause instanceof HttpRefusal && cause.status === 400) {
        throw new Fault("invalid_argument", cause.message, { cause });
      }
      throw new Fault(
        "unavailable",
        `Cannot ask the dashboard in namespace "${namespace}"; malla check says what is missing`,
        { cause },
      );
    }
    if (answer !== undefined) return answer as T;
    throw new Fault(
      "not_found",
      `There is no dashboard in namespace "${namespace}": malla check says what is installed`,
    );
  };
}
