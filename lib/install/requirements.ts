/**
 * Values that contradict each other. What conditions can say stops the Helm chart as well; the rest is
 * for `malla install` alone.
 */

import { holds, type Scope } from "./evaluate.ts";
import { v } from "./objects/common.ts";
import { both, type Condition, either, equal, not } from "./template.ts";
import type { InstallValues } from "./values.ts";

/** Something that must hold, and what to say when it does not. */
export interface Requirement {
  readonly condition: Condition;
  readonly message: string;
}

const { identity, injector } = v;
const { issuer } = identity;
const isOwnIssuer = equal(issuer.scheme, "linkerd.io/tls");

/** What must hold of the values of every installation. */
export const REQUIREMENTS: readonly Requirement[] = [
  {
    condition: either(identity.externalCA, v.identityTrustAnchorsPEM),
    message: "identityTrustAnchorsPEM is empty: give the trust anchors (`malla install " +
      "--identity-values` makes them and an issuer), or set identity.externalCA",
  },
  {
    condition: not(both(identity.externalCA, v.identityTrustAnchorsPEM)),
    message: "identityTrustAnchorsPEM and identity.externalCA contradict each other: with the " +
      "latter somebody else writes the trust anchors",
  },
  {
    condition: either(not(isOwnIssuer), both(issuer.tls.crtPEM, issuer.tls.keyPEM)),
    message: "identity.issuer.tls.crtPEM and keyPEM are needed together, unless " +
      "identity.issuer.scheme is kubernetes.io/tls and somebody else writes the issuer's Secret",
  },
  {
    condition: either(isOwnIssuer, not(either(issuer.tls.crtPEM, issuer.tls.keyPEM))),
    message:
      "identity.issuer.tls and the scheme kubernetes.io/tls contradict each other: with the " +
      "latter somebody else writes the issuer's Secret",
  },
  {
    condition: either(not(injector.externalSecret), injector.caBundle, injector.injectCaFrom),
    message:
      "injector.externalSecret needs injector.caBundle or injector.injectCaFrom: API servers " +
      "must know the authority of that certificate",
  },
  {
    condition: either(
      injector.externalSecret,
      not(either(injector.caBundle, injector.injectCaFrom)),
    ),
    message: "injector.caBundle and injector.injectCaFrom have no meaning without " +
      "injector.externalSecret: the injector makes its own certificates",
  },
  {
    condition: not(both(injector.caBundle, injector.injectCaFrom)),
    message: "injector.caBundle and injector.injectCaFrom contradict each other",
  },
];

/** The contradictions of an installation's values; empty when there are none. */
export function contradictions(scope: Scope, values: InstallValues): readonly string[] {
  return [
    ...REQUIREMENTS.filter(({ condition }) => !holds(condition, scope))
      .map(({ message }) => message),
    ...portClashes(values),
  ];
}

function portClashes({ proxy: { ports } }: InstallValues): string[] {
  const owners = new Map<number, string>();
  return Object.entries(ports).flatMap(([name, port]) => {
    const owner = owners.get(port);
    owners.set(port, name);
    return owner === undefined
      ? []
      : [`proxy.ports.${owner} and proxy.ports.${name} are both ${port}: expected different ports`];
  });
}
