/**
 * What happens to the mesh itself while requests are under way: endpoints come and go, applications are
 * started anew, policies and certificates change, the control plane is away, proxies drain.
 */

import type { Prng } from "../../lib/base/prng.ts";
import type { Route } from "../../lib/mesh/policy.ts";
import type { Credentials } from "../../lib/proxy/environment.ts";
import { admits, DirectControl } from "./control.ts";
import { DRAIN_MS, type SimProxy } from "./proxy.ts";
import type { Scenario } from "./scenario.ts";
import { announce, isServed, type Service, withdraw } from "./service.ts";

/** Less than it may take to find a protocol. */
const STALL_MS_MAX = 8_000;
/** Within this time things begin to happen. */
const WITHIN_MS = 3_000;

/** Draws what will happen, and has it happen. */
export function plotUpheavals(
  scenario: Scenario,
  prng: Prng,
  issue: (name: string) => Credentials,
): void {
  const { world } = scenario;
  const count = prng.between(1, 5);
  for (let i = 0; i < count; i++) {
    const call = prng.pick(UPHEAVALS);
    const lastsMs = prng.pick([10, 300, 4_000, 15_000]) * prng.float();
    const upheaval = { scenario, prng, issue, lastsMs };
    world.schedule(WITHIN_MS * prng.float() ** 2, () => call(upheaval));
  }
}

/** One of them. */
interface Upheaval {
  readonly scenario: Scenario;
  readonly prng: Prng;
  readonly issue: (name: string) => Credentials;
  readonly lastsMs: number;
}

const UPHEAVALS: readonly ((upheaval: Upheaval) => void)[] = [
  renewCertificates,
  renewCertificates,
  forgetCertificate,
  moveEndpoint,
  moveEndpoint,
  changePolicy,
  changePolicy,
  loseEndpoints,
  restartServer,
  denyAll,
  loseControlPlane,
  rollPod,
  rollPod,
  drainInbound,
  drainOutbound,
  stallAll,
];

/** Every proxy gets another certificate of its name: nobody may notice. */
function renewCertificates({ scenario, issue }: Upheaval): void {
  scenario.world.note(() => "all certificates are renewed");
  for (const proxy of proxiesOf(scenario)) {
    if (proxy.credentials !== null) proxy.credentials = issue(proxy.credentials.name);
  }
}

/** As before the first one, when an inbound side takes no connections yet. */
function forgetCertificate({ scenario, lastsMs }: Upheaval): void {
  const { outbound, world } = scenario;
  const { credentials } = outbound;
  if (credentials === null) return;
  world.fault("outbound has no certificate", "all", lastsMs);
  outbound.credentials = null;
  world.schedule(lastsMs, () => outbound.credentials = credentials);
}

/** One of several endpoints is withdrawn for a while: nobody may notice. */
function moveEndpoint({ scenario, prng, lastsMs }: Upheaval): void {
  const service = prng.pick(scenario.services);
  const index = prng.below(service.endpoints.length);
  if (!maySpare(service, index)) return;
  withdrawNoted(scenario, service, index);
  scenario.world.schedule(lastsMs, () => {
    if (service.withdrawn.has(index)) announceNoted(scenario, service, index);
  });
}

function loseEndpoints({ scenario, prng, lastsMs }: Upheaval): void {
  const service = prng.pick(scenario.services);
  scenario.world.fault(`${service.speech} has no endpoints`, "all", lastsMs);
  for (const backend of service.announced) backend.none(prng.chance(0.5));
  scenario.world.schedule(lastsMs, () => service.endpoints.forEach((_, i) => announce(service, i)));
}

/** A service's backends have other shares, and are left alone for other reasons: nobody may notice. */
function changePolicy({ scenario, prng }: Upheaval): void {
  const { world, plane, dice } = scenario;
  const { address, speech } = prng.pick(scenario.services);
  const defaultRttMs = prng.pick([30, 31]);
  const measured = (route: Route): Route => {
    if (route.action.kind !== "backends") return route;
    const backends = route.action.backends.map(({ target, ...backend }) => ({
      ...backend,
      weight: prng.pick([1, 3]),
      target: target.kind === "balancer" ? { ...target, defaultRttMs } : target,
    }));
    return { ...route, action: { kind: "backends", backends } };
  };
  plane?.changePolicy(address, ({ accrual: _, http, opaque, ...policy }) => {
    world.note(() => `the policy of ${speech} changes`);
    return { ...policy, http: measured(http), opaque: measured(opaque), ...dice.accrual() };
  });
}

function restartServer({ scenario, prng, lastsMs }: Upheaval): void {
  const service = prng.pick(scenario.services);
  const index = prng.below(service.servers.length);
  const server = service.servers[index];
  if (server === null || server === undefined) return;
  scenario.world.fault(`${service.speech} server ${index} stops`, "all", lastsMs);
  server.stop(prng.chance(0.5));
  service.servers[index] = null;
  scenario.world.schedule(lastsMs, () => service.servers[index] = service.start(index));
}

/**
 * All programs stand still, but their timers do not. Not for so long that nobody waits for the protocol
 * any more: then bytes pass as they are, whatever they say.
 */
function stallAll({ scenario, lastsMs }: Upheaval): void {
  if (scenario.world.stalledMs + lastsMs > STALL_MS_MAX) return;
  scenario.world.fault("everything stands still", "all", 2 * lastsMs + 1_000);
  scenario.world.stall(lastsMs);
}

function denyAll({ scenario, prng, lastsMs }: Upheaval): void {
  const proxy = prng.pick(scenario.inbound);
  const { port } = prng.pick(scenario.services).address;
  if (proxy === null) return;
  const cell = proxy.control.cell(port);
  const { current } = cell;
  if (current.authorizations.length === 0) return;
  scenario.world.fault(`${proxy.name} denies everybody`, "all", lastsMs);
  cell.set(admits(null, current.protocol));
  scenario.world.schedule(lastsMs, () => cell.set(current));
}

function loseControlPlane({ scenario, prng, lastsMs }: Upheaval): void {
  const { outbound, world, plane } = scenario;
  const { control } = outbound;
  if (control instanceof DirectControl) {
    if (control.isForlorn) return;
    world.fault("no target can be looked up", "all", lastsMs);
    control.isForlorn = true;
    world.schedule(lastsMs, () => control.isForlorn = false);
    return;
  }
  if (plane === null || plane.state !== "up") return;
  // Watches come back within twice the time that it was away.
  world.fault("the control plane is away", "all", 3 * lastsMs + 5_000);
  if (prng.chance(0.5)) plane.goDown();
  else plane.state = "silent";
  world.schedule(lastsMs, () => plane.state = "up");
}

/** A pod is replaced as one should: withdrawn first, drained then. Only a race may be noticed. */
function rollPod({ scenario, prng }: Upheaval): void {
  const { world, services } = scenario;
  const index = prng.below(scenario.inbound.length);
  const proxy = scenario.inbound[index];
  if (proxy === null || proxy === undefined || scenario.hasStrangers) return;
  if (!services.every((service) => maySpare(service, index))) return;
  world.fault(`${proxy.name} is going to be replaced`, "idle");
  for (const service of services) withdrawNoted(scenario, service, index);
  world.schedule(500 * prng.float(), () => {
    world.fault(`${proxy.name} drains in time`, "idle", 10_000);
    scenario.drained.add(index);
    startDraining(scenario, proxy);
  });
}

function drainInbound({ scenario, prng }: Upheaval): void {
  const proxy = prng.pick(scenario.inbound);
  if (proxy === null || !prng.chance(0.3)) return;
  scenario.world.fault(`${proxy.name} drains`, "all", Infinity);
  startDraining(scenario, proxy);
}

function drainOutbound({ scenario, prng }: Upheaval): void {
  if (!prng.chance(0.3)) return;
  scenario.world.fault("outbound drains", "all", Infinity);
  startDraining(scenario, scenario.outbound);
}

function startDraining({ world }: Scenario, proxy: SimProxy): void {
  world.note(() => `${proxy.name} begins to drain`);
  void proxy.path.drain();
  world.schedule(DRAIN_MS, () => world.fault(`${proxy.name} cuts off what is left`));
}

/** Whether an endpoint can go while nobody notices. */
function maySpare(service: Service, index: number): boolean {
  return !service.withdrawn.has(index) && isServed(service, (other) => other === index);
}

function withdrawNoted({ world }: Scenario, service: Service, index: number): void {
  world.note(() => `endpoint ${index} of ${service.speech} is withdrawn`);
  withdraw(service, index);
}

function announceNoted({ world }: Scenario, service: Service, index: number): void {
  world.note(() => `endpoint ${index} of ${service.speech} is announced`);
  announce(service, index);
}

function proxiesOf(scenario: Scenario): SimProxy[] {
  return [scenario.outbound, ...scenario.inbound].filter((proxy) => proxy !== null);
}
