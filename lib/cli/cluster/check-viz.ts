/** Whether the metrics API answers, and sees what it should. */

import { describeError } from "../../base/fault.ts";
import { type Category, type Outcome, PASSED } from "../check.ts";
import { storedValues } from "./check-existence.ts";
import { askViz } from "./viz-api.ts";
import { type ClusterView, fieldOf, listOf, someOf } from "./view.ts";

/** `malla-viz`; no check where it is not installed. */
export function vizChecks(view: ClusterView): Category {
  const ask = askViz(view.client, view.namespace);
  const whenInstalled = (judge: () => Promise<Outcome>) => async () => {
    const values = await storedValues(view);
    return values?.viz.enabled === true ? await judge() : PASSED;
  };
  return {
    name: "malla-viz",
    checks: [
      {
        name: "the metrics API answers",
        isBasis: true,
        retries: true,
        run: whenInstalled(async () => {
          try {
            await ask("/api/version");
            return PASSED;
          } catch (thrown) {
            return {
              status: "fail",
              message: describeError(thrown),
              hint: `kubectl -n ${view.namespace} logs deployment/malla-viz`,
            };
          }
        }),
      },
      {
        name: "it reaches the control plane and all proxies",
        retries: true,
        run: whenInstalled(async () => {
          const health = await ask<unknown>("/api/health");
          const parts = listOf(health, "components").filter((one) => fieldOf(one, "ready") !== true)
            .map((one) => `${fieldOf(one, "name")}: ${fieldOf(one, "message")}`);
          const pods = listOf(health, "pods").filter((one) =>
            fieldOf(one, "meshed") === true && fieldOf(one, "podReady") === true &&
            fieldOf(one, "proxyReady") !== true
          ).map((one) =>
            `${fieldOf(one, "namespace")}/${fieldOf(one, "name")}: ${fieldOf(one, "message")}`
          );
          if (parts.length > 0) {
            return {
              status: "fail",
              message: someOf(parts),
              hint: "malla check controller (or identity) says what is wrong with it",
            };
          }
          if (pods.length === 0) return PASSED;
          return {
            status: "warn",
            message: someOf(pods),
            hint:
              "a network policy of these pods must let the namespace of the control plane reach " +
              "the proxies' admin port (4191)",
          };
        }),
      },
    ],
  };
}
