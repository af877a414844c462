/**
 * The proxy's connections to the control plane: one channel to each service, with TLS unless the service
 * has no name (it is on loopback then), with our certificate as soon as there is one.
 */

import { Channel, type ChannelTls } from "../contract/channel.ts";
import { createCertifier, createDiscovery } from "../contract/client.ts";
import type { HostPort } from "../config/mod.ts";
import type { Clock } from "../host/clock.ts";
import type { ResolveHost } from "../host/dns.ts";
import type { Net, TlsMaterial } from "../host/net.ts";
import type { Certifier } from "../mesh/certifier.ts";
import type { Discovery } from "../mesh/discovery.ts";
import type { Credentials } from "./environment.ts";
import type { ProxySettings } from "./settings.ts";

/** What the channels are made from. */
export interface ControlPlaneOptions {
  readonly settings: ProxySettings;
  readonly net: Net;
  readonly clock: Clock;
  readonly resolve: ResolveHost;
  /** Our certificate of this moment; null before the first. */
  readonly credentials: () => Credentials | null;
}

/** The control plane as its proxy sees it. */
export class ControlPlane {
  readonly certifier: Certifier;
  readonly discovery: Discovery;
  readonly #channels: readonly Channel[];

  constructor(options: ControlPlaneOptions) {
    const { settings } = options;
    const identity = channel(options, settings.identityAddress, settings.identityName);
    const destination = channel(options, settings.destinationAddress, settings.destinationName);
    const policy = channel(options, settings.policyAddress, settings.policyName);
    this.#channels = [identity, destination, policy];
    this.certifier = createCertifier(identity);
    this.discovery = createDiscovery({ destination, policy });
  }

  /** The first certificate is there: the services shall see it from now on. */
  certified(): void {
    for (const open of this.#channels) open.renew();
  }

  close(): void {
    for (const open of this.#channels) open.close();
  }
}

/** A channel to a service of the mesh; without a name it is spoken to without TLS. */
export function channel(options: ControlPlaneOptions, address: HostPort, name?: string): Channel {
  const { net, clock, resolve, settings } = options;
  return new Channel({
    net,
    clock,
    resolve: () => resolve(address.host, address.port),
    mark: settings.socketMark,
    ...(name === undefined ? {} : { tls: channelTls(options, name) }),
  });
}

function channelTls(
  { settings, credentials }: ControlPlaneOptions,
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
