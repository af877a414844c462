/** Whether the mesh that runs here is well, as its dashboard tells. */

import { VERSION } from "../base/version.ts";
import type { Health, PodHealth } from "../viz/health.ts";
import { type Category, type Outcome, PASSED } from "./check.ts";

/** A certificate that ends sooner than this should have been renewed long ago. */
const RENEWAL_LATE_MS = 600_000;

/** Asks the dashboard's API. */
export type AskApi = <T>(path: string) => Promise<T>;

/** The checks of a mesh that left its note. */
export function meshChecks(ask: AskApi): Category {
  let health: Health | undefined;
  const known = (judge: (health: Health) => Outcome) => async () => {
    health ??= await ask<Health>("/api/health");
    return judge(health);
  };
  return {
    name: "malla-mesh",
    checks: [
      {
        name: "the dashboard answers",
        isBasis: true,
        async run() {
          const { version } = await ask<{ readonly version: string }>("/api/version");
          if (version === VERSION) return PASSED;
          return {
            status: "warn",
            message: `the mesh runs version ${version}, this program is ${VERSION}`,
            hint: "end the mesh and start it again with this program",
          };
        },
      },
      { name: "identity and controller are ready", run: known(controlPlane) },
      { name: "all proxies are ready", run: known(proxies) },
      { name: "all certificates are valid", run: known(certificates) },
      { name: "all pods are ready", run: known(pods) },
      { name: "the mesh's objects can be read", run: known(objects) },
    ],
  };
}

function controlPlane({ components }: Health): Outcome {
  const failing = components.filter(({ ready }) => !ready);
  return failing.length === 0 ? PASSED : {
    status: "fail",
    message: failing.map(({ name, message }) => `${name}: ${message}`).join("\n"),
    hint:
      'the lines of "malla/identity" and "malla/controller" in the output of malla up say why; ' +
      "--log-level info says more",
  };
}

function proxies({ pods }: Health): Outcome {
  const failing = pods.filter(({ meshed, proxyReady }) => meshed && !proxyReady);
  return failing.length === 0 ? PASSED : {
    status: "fail",
    message: failing.map((pod) => `${nameOf(pod)}: ${pod.message}`).join("\n"),
    hint: "a proxy is ready once it has its certificate; --proxy-logs info shows what it waits for",
  };
}

function certificates({ pods, atMs }: Health): Outcome {
  const ends = pods.flatMap((pod) =>
    pod.certificateExpiresAtMs === null ? [] : [{ pod, leftMs: pod.certificateExpiresAtMs - atMs }]
  );
  const late = ends.filter(({ leftMs }) => leftMs < RENEWAL_LATE_MS);
  if (late.length === 0) return PASSED;
  const isExpired = late.some(({ leftMs }) => leftMs <= 0);
  return {
    status: isExpired ? "fail" : "warn",
    message: late.map(({ pod, leftMs }) => {
      const minutes = Math.round(Math.abs(leftMs) / 60_000);
      return `${nameOf(pod)}: ${leftMs <= 0 ? "ended" : "ends"} ${minutes} min ` +
        (leftMs <= 0 ? "ago" : "from now");
    }).join("\n"),
    hint: "proxies renew by themselves: look whether identity is ready and the clock did not jump",
  };
}

function pods({ pods }: Health): Outcome {
  const failing = pods.filter(({ podReady }) => !podReady);
  return failing.length === 0 ? PASSED : {
    status: "warn",
    message: `not ready: ${failing.map(nameOf).join(", ")}`,
    hint: "the output of malla up shows the containers' lines and their restarts",
  };
}

function objects({ problems }: Health): Outcome {
  return problems.length === 0 ? PASSED : {
    status: "warn",
    message: problems.join("\n"),
    hint: "mend the manifests; the mesh reads them again by itself",
  };
}

function nameOf({ namespace, name }: PodHealth): string {
  return `${namespace}/${name}`;
}
