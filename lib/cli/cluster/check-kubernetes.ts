/** Whether the cluster answers, and is one that Malla works in. */

import { describeError, Fault } from "../../base/fault.ts";
import { isMap, type Yaml } from "../../config/mod.ts";
import { GATEWAY_API_COMMAND } from "../../install/custom-resources.ts";
import { kubernetesObstacle, neededKubernetes } from "../../install/preflight.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { storedValues } from "./check-existence.ts";
import type { ClusterView } from "./view.ts";

const GATEWAY_API = "/apis/gateway.networking.k8s.io";

/** `kubernetes-api`, `kubernetes-version` and `gateway-api-crd`. */
export function kubernetesChecks(view: ClusterView): readonly Category[] {
  return [
    { name: "kubernetes-api", checks: [reachable(view)] },
    { name: "kubernetes-version", checks: [version(view)] },
    { name: "gateway-api-crd", checks: [gatewayApi(view)] },
  ];
}

function reachable(view: ClusterView): Check {
  return {
    name: "the API server answers",
    isBasis: "of all",
    async run(): Promise<Outcome> {
      const hint =
        "kubectl cluster-info shows where the kubeconfig leads; --context picks another one";
      try {
        if (await view.version() !== "") return PASSED;
      } catch (thrown) {
        if (thrown instanceof Fault && thrown.code === "permission_denied") throw thrown;
        return { status: "fail", message: describeError(thrown), hint };
      }
      const message = `${view.client.server} does not answer as an API server`;
      return { status: "fail", message, hint };
    },
  };
}

function version(view: ClusterView): Check {
  return {
    name: `Kubernetes is ${neededKubernetes(true)} or later`,
    async run() {
      // An installation may have chosen to do without native sidecars; one that is to come may, too.
      // Whether it can be read is the question of another check.
      const values = await storedValues(view).catch(() => undefined);
      const isNative = values?.proxy.nativeSidecar ?? true;
      const obstacle = kubernetesObstacle(await view.version(), isNative);
      return obstacle === undefined ? PASSED : { status: "fail", ...obstacle };
    },
  };
}

/** Not needed, but of a version that we know when it is there. */
function gatewayApi(view: ClusterView): Check {
  return {
    name: "the Gateway API is absent or v1",
    async run(): Promise<Outcome> {
      const group = await view.client.ask(GATEWAY_API) as Yaml | undefined;
      if (group === undefined || !isMap(group)) return PASSED;
      const versions = Array.isArray(group["versions"]) ? group["versions"] : [];
      const names = versions.map((one) => isMap(one) ? String(one["version"]) : "");
      if (names.includes("v1")) return PASSED;
      return {
        status: "warn",
        message: `the cluster has it as ${names.join(", ")} only`,
        hint: `${GATEWAY_API_COMMAND} brings v1`,
      };
    },
  };
}
