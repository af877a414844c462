/**
 * The control plane of the laptop mesh: the same programs as in a cluster, as processes in the mesh's
 * own namespace, with an issuer and a token key that are made at the start and never leave it.
 */

import type { Clock } from "../host/clock.ts";
import { makeFolder, writeFile } from "../host/directory.ts";
import { spawn } from "../host/process.ts";
import { createTokenIssuer, generateTokenKeys, type TokenIssuer } from "../identity/mod.ts";
import { authorityPem, makeAuthorities } from "../pki/issuer.ts";
import { Changes } from "./changes.ts";
import { ContainerRun } from "./container.ts";
import { PAGE_SERVICE } from "./control-objects.ts";
import { CONTROL_PORTS, controlIdentity } from "./injection.ts";
import type { LineStream } from "./log-lines.ts";
import { clusterNetworks, MESH_ADDRESSES, MESH_NAMES, type MeshNetworks } from "./names.ts";
import { askProbe } from "./probe-ask.ts";
import type { Probe } from "./probe-model.ts";

/** What the control plane is given. */
export interface ControlPlaneOptions {
  /** A folder on the mesh's private file system. */
  readonly folder: string;
  /** The folder of objects that controller and dashboard read. */
  readonly objects: string;
  /** The mesh's networks, one for each IP version. */
  readonly networks: readonly MeshNetworks[];
  readonly ownCommand: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly logLevel: string;
  readonly clock: Clock;
  lines(name: string): LineStream;
  complain(text: string): void;
}

/** On a busy machine a start may take some seconds. */
const START_WAIT_MS = 10_000;
const ADMIN_PORTS = { identity: 9990, controller: 9996 } as const;
/** Longer than a laptop stays switched on; the keys live no longer than the mesh. */
const AUTHORITY_LIFETIME_MS = 365 * 86_400_000;
/** The controller renews its certificate with it for as long as the mesh lives. */
const CONTROL_TOKEN_LIFETIME_MS = 365 * 86_400_000;

/** The trust and the processes of a mesh. */
export class ControlPlane {
  readonly trustAnchors: string;
  readonly tokens: TokenIssuer;
  readonly #options: ControlPlaneOptions;
  readonly #changes = new Changes();
  readonly #processes: ContainerRun[] = [];

  /** Makes keys and certificates and writes what the processes read. */
  static async prepare(options: ControlPlaneOptions): Promise<ControlPlane> {
    const { folder, clock } = options;
    const made = await makeAuthorities({
      mesh: `${MESH_NAMES.controlPlane}.${MESH_NAMES.domain}`,
      nowMs: clock.nowMs(),
      lifetimeMs: AUTHORITY_LIFETIME_MS,
    });
    const keys = await generateTokenKeys();
    const tokens = await createTokenIssuer(keys.privatePem, clock);
    const issuer = authorityPem(made.issuer);
    makeFolder(`${folder}/issuer`, 0o700);
    writeFile(`${folder}/issuer/tls.crt`, issuer.certificate, 0o600);
    writeFile(`${folder}/issuer/tls.key`, issuer.key, 0o600);
    writeFile(`${folder}/trust-anchors.pem`, made.trustAnchors);
    writeFile(`${folder}/token-key.pem`, keys.publicPem);
    const token = await tokens.issue({
      namespace: MESH_NAMES.controlPlane,
      serviceAccount: "malla-controller",
      pod: "malla-controller",
      lifetimeMs: CONTROL_TOKEN_LIFETIME_MS,
    });
    writeFile(`${folder}/controller-token`, token, 0o600);
    return new ControlPlane(options, made.trustAnchors, tokens);
  }

  private constructor(options: ControlPlaneOptions, trustAnchors: string, tokens: TokenIssuer) {
    this.#options = options;
    this.trustAnchors = trustAnchors;
    this.tokens = tokens;
  }

  /**
   * Starts the processes; each is started again when it ends. Resolves when they serve, or after a
   * while without that: the proxies wait for them as well.
   */
  async start(): Promise<void> {
    const { folder, objects } = this.#options;
    const { gateway } = MESH_ADDRESSES;
    const anchors = `--trust-anchors-file=${folder}/trust-anchors.pem`;
    this.#run("identity", ADMIN_PORTS.identity, [
      "identity",
      `--listen=${gateway}:${CONTROL_PORTS.identity}`,
      `--admin-listen=127.0.0.1:${ADMIN_PORTS.identity}`,
      `--issuer-dir=${folder}/issuer`,
      `--token-key-file=${folder}/token-key.pem`,
      anchors,
    ]);
    // The controller's first act is to ask for a certificate.
    await this.#ready();
    this.#run("controller", ADMIN_PORTS.controller, [
      "controller",
      `--source=files:${objects}`,
      `--destination-listen=${gateway}:${CONTROL_PORTS.destination}`,
      `--policy-listen=${gateway}:${CONTROL_PORTS.policy}`,
      `--admin-listen=127.0.0.1:${ADMIN_PORTS.controller}`,
      `--cluster-networks=${clusterNetworks(this.#options.networks)}`,
      `--identity-addr=${gateway}:${CONTROL_PORTS.identity}`,
      `--identity-name=${controlIdentity("malla-identity")}`,
      `--token-file=${folder}/controller-token`,
      anchors,
    ]);
    this.#run("viz", null, [
      "viz",
      `--source=files:${objects}`,
      "--api-listen=127.0.0.1:8085",
      `--page-listen=${gateway}:${PAGE_SERVICE.port}`,
    ]);
    await this.#ready();
  }

  async #ready(): Promise<void> {
    const ready = this.#changes.until(() => this.#processes.every((run) => run.ready));
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(START_WAIT_MS, resolve);
    await Promise.race([ready, promise]);
    timer.cancel();
  }

  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#processes.map((run) => run.stop(graceMs)));
  }

  #run(name: string, adminPort: number | null, words: readonly string[]): void {
    const { clock, environment, ownCommand, logLevel } = this.#options;
    const run = new ContainerRun({
      name,
      policy: "Always",
      startup: null,
      readiness: adminPort === null ? null : readyProbe(adminPort),
      liveness: null,
      clock,
      changes: this.#changes,
      launch: () => {
        const lines = [this.#options.lines(`malla/${name}`), this.#options.lines(`malla/${name}`)];
        const [out, err] = lines;
        const child = spawn({
          command: [...ownCommand, ...words, `--log-level=${logLevel}`],
          env: environment,
          cwd: "/",
          session: true,
          stdout: (chunk) => out?.write(chunk),
          stderr: (chunk) => err?.write(chunk),
        });
        void child.exited.then(() => lines.forEach((line) => line.end()));
        return child;
      },
      sweep() {},
      ask: (probe) =>
        askProbe(probe, {
          namespace: null,
          ip: "127.0.0.1",
          ports: [],
          run: () => Promise.resolve("there is no exec probe here"),
        }),
      complain: (text) => this.#options.complain(text),
    });
    this.#processes.push(run);
    run.start();
  }
}

function readyProbe(port: number): Probe {
  return {
    action: { kind: "http", path: "/ready", port, tls: false, host: null, headers: [] },
    initialDelayMs: 0,
    periodMs: 2_000,
    timeoutMs: 1_000,
    successThreshold: 1,
    failureThreshold: 3,
  };
}
