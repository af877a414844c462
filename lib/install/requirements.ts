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
    ...overLimits(values),
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

/** API servers refuse pods that are to be given more than they may use. */
function overLimits({ proxy, identity, controller, injector, viz }: InstallValues): string[] {
  const { cpu, memory } = proxy.resources;
  const pairs: [string, unknown, unknown][] = [
    ["proxy.resources.cpu", cpu.request, cpu.limit],
    ["proxy.resources.memory", memory.request, memory.limit],
  ];
  for (const [name, part] of Object.entries({ identity, controller, injector, viz })) {
    const { requests, limits } = part.resources as {
      readonly requests?: Readonly<Record<string, unknown>>;
      readonly limits?: Readonly<Record<string, unknown>>;
    };
    for (const [what, limit] of Object.entries(limits ?? {})) {
      pairs.push([`${name}.resources ${what}`, requests?.[what], limit]);
    }
  }
  return pairs.flatMap(([name, request, limit]) => {
    const [wanted, allowed] = [amountOf(request), amountOf(limit)];
    return wanted === undefined || allowed === undefined || wanted <= allowed
      ? []
      : [`${name}: the request ${request} is more than the limit ${limit}`];
  });
}

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A quantity such as `100m`; undefined for none, and for what the API server has to judge. */
function amountOf(quantity: unknown): number | undefined {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(String(quantity ?? "")) ?? [];
  const factor = unit === "" ? 1 : UNITS[unit];
  return number === undefined || factor === undefined ? undefined : Number(number) * factor;
}
