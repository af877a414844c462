/** Whether API servers believe the injector, and whether it adds proxies. */

import { WEBHOOK_TLS_SECRET } from "../../install/names.ts";
import { chains } from "../../pki/verify.ts";
import { WEBHOOK_AUTHORITY_SECRET } from "../../inject/names.ts";
import { PROXY_CONTAINER } from "../../inject/mod.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { storedValues, upgradeCommand } from "./check-existence.ts";
import { certificatesIn, decoded } from "./check-identity.ts";
import { type ClusterView, fieldOf, listOf } from "./view.ts";

/** `malla-webhooks-and-apisvc-tls`. `trialNamespace` is where a pod is tried. */
export function webhookChecks(
  view: ClusterView,
  nowMs: number,
  trialNamespace: string,
): Category {
  return {
    name: "malla-webhooks-and-apisvc-tls",
    checks: [configured(view), believed(view, nowMs), adds(view, trialNamespace)],
  };
}

function configured(view: ClusterView): Check {
  return {
    name: "the injector's webhook is configured",
    isBasis: true,
    async run() {
      if (await view.webhook() !== undefined) return PASSED;
      return {
        status: "fail",
        message: "there is no MutatingWebhookConfiguration injector.malla.dev: no pod gets a proxy",
        hint: await upgradeCommand(view),
      };
    },
  };
}

function believed(view: ClusterView, nowMs: number): Check {
  return {
    name: "API servers know the authority of the injector's certificate",
    retries: true,
    async run(): Promise<Outcome> {
      const bundle = decoded(
        fieldOf(await view.webhook(), "webhooks", 0, "clientConfig", "caBundle"),
      );
      const certificates = certificatesIn(bundle ?? "");
      const logs = `kubectl -n ${view.namespace} logs deployment/malla-injector`;
      if (certificates.length === 0) {
        return {
          status: "fail",
          message: "caBundle is empty: the injector's leader writes it",
          hint: logs,
        };
      }
      if (certificates.every(({ notAfterMs }) => notAfterMs <= nowMs)) {
        return { status: "fail", message: "caBundle holds ended certificates only", hint: logs };
      }
      const values = await storedValues(view);
      if (values?.injector.externalSecret === true) {
        const shown = decoded(
          fieldOf(await view.object("Secret", WEBHOOK_TLS_SECRET), "data", "tls.crt"),
        );
        if (shown !== undefined && chains(shown, bundle ?? "", nowMs)) return PASSED;
        return {
          status: "fail",
          message: shown === undefined
            ? `there is no Secret ${WEBHOOK_TLS_SECRET} with the injector's certificate`
            : `caBundle does not hold the authority of the certificate in the Secret ${WEBHOOK_TLS_SECRET}`,
          hint:
            `kubectl -n ${view.namespace} create secret tls ${WEBHOOK_TLS_SECRET} writes the one, ` +
            `${await upgradeCommand(view)} the other; with cert-manager both are its own`,
        };
      }
      const secret = await view.object("Secret", WEBHOOK_AUTHORITY_SECRET);
      const own = decoded(fieldOf(secret, "data", "ca.crt"))?.trim() ?? "";
      if (own !== "" && bundle?.includes(own) === true) return PASSED;
      return {
        status: "fail",
        message: `caBundle does not hold the certificate in the Secret ${WEBHOOK_AUTHORITY_SECRET}`,
        hint: logs,
      };
    },
  };
}

/** Nothing is made: the pod is created as a trial, and looked at. */
function adds(view: ClusterView, namespace: string): Check {
  return {
    name: "a pod that asks for a proxy gets one",
    retries: true,
    async run(): Promise<Outcome> {
      const pod = await view.client.create(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: "malla-check",
          namespace,
          annotations: { "malla.dev/inject": "enabled" },
        },
        spec: { containers: [{ name: "app", image: "malla.dev/nothing:1" }] },
      });
      const names = [
        ...listOf(pod, "spec", "initContainers"),
        ...listOf(pod, "spec", "containers"),
      ].map((container) => fieldOf(container, "name"));
      if (names.includes(PROXY_CONTAINER)) return PASSED;
      return {
        status: "fail",
        message: `a trial pod in namespace "${namespace}" was admitted without a proxy`,
        hint: `kubectl -n ${view.namespace} logs deployment/malla-injector; ` +
          "kubectl get events -A --field-selector source=malla-injector",
      };
    },
  };
}
