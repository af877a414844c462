/**
 * The proxy's connections to the control plane: one channel to each service, with TLS unless the service
 * has no name (it is on loopback then), with our certificate as soon as there is one.
 */

import { type CallsObserver, Channel, type ChannelTls } from "../contract/channel.ts";
import { createCertifier, createDiscovery } from "../contract/client.ts";
import type { HostPort } from "../config/mod.ts";
import type { Clock } from "../host/clock.ts";
import type { ResolveHost } from "../host/dns.ts";
import type { Net, TlsMaterial } from "../host/net.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Certifier } from "../mesh/certifier.ts";
import type { Discovery } from "../mesh/discovery.ts";
import type { Registry } from "../telemetry/registry.ts";
import { ControlCalls, controlFamilies } from "./control-metrics.ts";
import type { Credentials } from "./environment.ts";
import type { ProxySettings } from "./settings.ts";

/** What channels are made from. */
export interface ChannelContext {
  readonly settings: ProxySettings;
  readonly net: Net;
  readonly clock: Clock;
  readonly resolve: ResolveHost;
  /** Our certificate of this moment; null before the first. */
  readonly credentials: () => Credentials | null;
}

/** What the channels to the control plane are made from. */
export interface ControlPlaneOptions extends ChannelContext {
  readonly registry: Registry;
}

/** The control plane as its proxy sees it. */
export class ControlPlane {
  readonly certifier: Certifier;
  readonly discovery: Discovery;
  readonly #channels: readonly Channel[];

  constructor(options: ControlPlaneOptions) {
    const { settings } = options;
    const families = controlFamilies(options.registry);
    const open = (address: HostPort, name: string | undefined) =>
      channel(
        options,
        address,
        name,
        new ControlCalls(families, formatAddress({ ip: address.host, port: address.port })),
      );
    const identity = open(settings.identityAddress, settings.identityName);
    const destination = open(settings.destinationAddress, settings.destinationName);
    const policy = open(settings.policyAddress, settings.policyName);
    this.#channels = [identity, destination, policy];
    this.certifier = createCertifier(identity);
    this.discovery = createDiscovery({ destination, policy });
  }

  /** The first certificate is there: the services shall see it from now on. */
  certified(): void {
    for (const one of this.#channels) one.renew();
  }

  close(): void {
    for (const one of this.#channels) one.close();
  }
}

/** A channel to a service of the mesh; without a name it is spoken to without TLS. */
export function channel(
  context: ChannelContext,
  address: HostPort,
  name?: string,
  observer?: CallsObserver,
): Channel {
  const { net, clock, resolve, settings } = context;
  return new Channel({
    net,
    clock,
    resolve: () => resolve(address.host, address.port),
    mark: settings.socketMark,
    ...(name === undefined ? {} : { tls: channelTls(context, name) }),
    ...(observer === undefined ? {} : { observer }),
  });
}

function channelTls(
  { settings, credentials }: ChannelContext,
  serverName: string,
): ChannelTls {
  return {
    serverName,
    material(): TlsMaterial {
      const held = credentials();
      const { trustAnchors } = settings;
      if (held === null) return { certificateChain: "", privateKey: "", trustAnchors };
      return { certificateChain: held.certificateChain, privateKey: held.privateKey, trustAnchors };
    },
  };
}
