/** Whether every part of the control plane may still do what its roles say: roles and bindings are changed by people. */

import type { Component } from "../../install/names.ts";
import { installObjects } from "../../install/objects.ts";
import { describeRight, grantedRights, type Right } from "../../install/rights.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { storedValues, upgradeCommand } from "./check-existence.ts";
import { type ClusterView, fieldOf, someOf } from "./view.ts";

const REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/** `malla-rights`, of these parts. */
export function rightsChecks(view: ClusterView, parts: readonly Component[]): Category {
  return { name: "malla-rights", checks: parts.map((part) => mayWork(view, part)) };
}

function mayWork(view: ClusterView, part: Component): Check {
  return {
    name: `${part} may do what it needs`,
    async run(): Promise<Outcome> {
      const values = await storedValues(view);
      if (values === undefined) return PASSED;
      const rights = grantedRights(installObjects(values, view.namespace), part);
      const answers = await Promise.all(
        rights.map(async (right) => ({ right, may: await mayAccount(view, part, right) })),
      );
      const missing = answers.filter(({ may }) => !may).map(({ right }) => describeRight(right));
      if (missing.length === 0) return PASSED;
      return {
        status: "fail",
        message: `it may not: ${someOf(missing)}`,
        hint: await upgradeCommand(view),
      };
    },
  };
}

async function mayAccount(view: ClusterView, part: Component, right: Right): Promise<boolean> {
  const { name, namespace, ...what } = right;
  const resourceAttributes = {
    ...what,
    ...name === "" ? {} : { name },
    ...namespace === "" ? {} : { namespace },
  };
  const account = `system:serviceaccount:${view.namespace}`;
  const answer = await view.client.review(REVIEWS, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    spec: {
      user: `${account}:${part}`,
      groups: ["system:serviceaccounts", `system:serviceaccounts:${view.namespace}`],
      resourceAttributes,
    },
  });
  return fieldOf(answer, "status", "allowed") === true;
}
