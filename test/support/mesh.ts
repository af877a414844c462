/**
 * A mesh put together by hand in a laboratory: `malla identity` and `malla controller` on the bridge,
 * pods as files, and the contract's environment for any proxy that joins: ours or a stock one.
 */

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { createTokenIssuer, generateTokenKeys, type TokenIssuer } from "../../lib/identity/mod.ts";
import { systemClock } from "../../lib/host/clock.ts";
import { ENGINE_VARIABLES } from "../../lib/inject/environment.ts";
import { createCsr } from "../../lib/pki/csr.ts";
import type { TlsMaterial } from "../../lib/host/net.ts";
import {
  authorityPem,
  issueLeaf,
  type MadeAuthorities,
  makeAuthorities,
} from "../../lib/pki/issuer.ts";
import { generateKey } from "../../lib/pki/key.ts";
import { fromPem, toPemChain } from "../../lib/pki/pem.ts";
import { type Lab, type Node, type Program, type StartOptions, until } from "./lab.ts";

const DAY_MS = 86_400_000;
const NAMESPACE = "malla";
const CONTROL = "10.42.0.1";
/** Marks the proxies' sockets, as on a laptop. */
export const PROXY_MARK = 0x4d41;

/** A pod of the mesh: one container port, and the service account that it runs as. */
export interface PodSpec {
  readonly name: string;
  readonly node: Node;
  readonly port: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Default: true. */
  readonly isReady?: boolean;
}

/** A Service in front of the pods whose label `app` is its name. */
export interface ServiceSpec {
  readonly name: string;
  readonly clusterIP: string;
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly targetPort: number;
  }[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Starts a prepared proxy, on a core of its own if one is named. */
export type Launch = (
  core?: StartOptions["core"],
  env?: Readonly<Record<string, string>>,
) => Program;

/** What may be different in a mesh. */
export interface MeshOptions {
  /** Of the proxies' certificates; absent: the identity service's own default. */
  readonly certificateSeconds?: number;
}

/** A running control plane. */
export class Mesh {
  readonly #lab: Lab;
  readonly #executable: string;
  readonly #tokens: TokenIssuer;
  readonly #authorities: MadeAuthorities;
  readonly #options: MeshOptions;
  readonly #programs: Program[] = [];

  private constructor(
    lab: Lab,
    executable: string,
    tokens: TokenIssuer,
    authorities: MadeAuthorities,
    options: MeshOptions,
  ) {
    this.#lab = lab;
    this.#executable = executable;
    this.#tokens = tokens;
    this.#authorities = authorities;
    this.#options = options;
  }

  /** Starts identity and controller and waits until both are ready. */
  static async start(lab: Lab, executable: string, options: MeshOptions = {}): Promise<Mesh> {
    const keys = await generateTokenKeys();
    const tokens = await createTokenIssuer(keys.privatePem, systemClock);
    const made = await makeAuthorities({
      mesh: "malla.cluster.local",
      nowMs: Date.now(),
      lifetimeMs: DAY_MS,
    });
    const issuer = authorityPem(made.issuer);
    for (const folder of ["issuer", "objects"]) mkdirSync(`${lab.home}/${folder}`);
    writeFileSync(`${lab.home}/issuer/tls.crt`, issuer.certificate);
    writeFileSync(`${lab.home}/issuer/tls.key`, issuer.key);
    writeFileSync(`${lab.home}/tokens.pem`, keys.publicPem);
    writeFileSync(`${lab.home}/anchors.pem`, made.trustAnchors);
    const mesh = new Mesh(lab, executable, tokens, made, options);
    await mesh.#startControlPlane();
    return mesh;
  }

  async #startControlPlane(): Promise<void> {
    const home = this.#lab.home;
    const { certificateSeconds } = this.#options;
    const anchors = ["--trust-anchors-file", `${home}/anchors.pem`];
    const token = `${home}/controller.token`;
    writeFileSync(token, await this.#token("malla-controller", NAMESPACE));
    this.#programs.push(
      this.#lab.start([
        ...[this.#executable, "identity", ...anchors, "--issuer-dir", `${home}/issuer`],
        ...["--token-key-file", `${home}/tokens.pem`, "--log-level", "warn"],
        ...certificateSeconds === undefined ? [] : ["--lifetime", `${certificateSeconds}s`],
      ], { log: "inherit" }),
      this.#lab.start([
        ...[this.#executable, "controller", ...anchors, "--source", `files:${home}/objects`],
        ...["--identity-addr", `${CONTROL}:8080`, "--token-file", token, "--log-level", "warn"],
      ], { log: "inherit" }),
    );
    for (const port of [9990, 9996]) {
      await until(`control plane on ${port} is ready`, async () => {
        const curl = ["curl", "-sf", "-o", "/dev/null", `http://${CONTROL}:${port}/ready`];
        return await this.#lab.start(curl).exited === 0;
      });
    }
  }

  #token(serviceAccount: string, namespace: string): Promise<string> {
    const grant = { serviceAccount, namespace, pod: "", lifetimeMs: DAY_MS };
    return this.#tokens.issue(grant);
  }

  /** Makes an object known to the controller, or changes it. */
  apply(name: string, object: unknown): void {
    // By a rename, since the controller may look at any moment.
    const file = `${this.#lab.home}/${name}.new`;
    writeFileSync(file, JSON.stringify(object));
    renameSync(file, `${this.#lab.home}/objects/${name}.json`);
  }

  /** A Service with an address of its own, in front of the pods with the label `app`. */
  service(name: string, clusterIP: string, port: number, targetPort: number): void {
    this.serviceOf({ name, clusterIP, ports: [{ name: "port", port, targetPort }] });
  }

  /** A Service of several ports. */
  serviceOf({ name, clusterIP, ports, annotations = {} }: ServiceSpec): void {
    this.apply(`service-${name}`, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default", annotations },
      spec: { clusterIP, selector: { app: name }, ports },
    });
  }

  /** A pod with a sidecar, at its node's address; again, when it has changed. */
  pod(pod: PodSpec): void {
    const proxy = {
      name: "linkerd-proxy",
      image: "malla",
      env: [{ name: "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", value: "0.0.0.0:4143" }],
    };
    const application = { name: "app", image: "app", ports: [{ containerPort: pod.port }] };
    this.apply(`pod-${pod.name}`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: pod.name,
        namespace: "default",
        labels: { ...pod.labels, "linkerd.io/control-plane-ns": NAMESPACE },
        annotations: pod.annotations ?? {},
      },
      spec: { serviceAccountName: pod.name, containers: [application, proxy] },
      status: {
        phase: "Running",
        podIP: pod.node.ip,
        podIPs: [{ ip: pod.node.ip }],
        conditions: [{ type: "Ready", status: pod.isReady === false ? "False" : "True" }],
      },
    });
  }

  /**
   * Redirects a node's TCP to its proxy, which starts afterwards: of a connection that is already open
   * the kernel would take the peer's next bytes for a new one and redirect them. What our proxy sends is
   * told by its mark; a stock proxy sets none, so for it whatever goes to a pod or to the control plane is
   * left alone.
   */
  redirect(node: Node, sender: "marked" | "unmarked" = "marked"): void {
    const ports = ["--incoming-proxy-port", "4143", "--outgoing-proxy-port", "4140"];
    const ignore = ["--inbound-ports-to-ignore", "4190,4191"];
    const own = ["--proxy-mark", String(PROXY_MARK)];
    if (sender === "unmarked") own.push("--subnets-to-ignore", "10.42.0.0/16");
    node.run(["ip", "route", "replace", "10.43.0.0/16", "via", CONTROL]);
    node.run([this.#executable, "init", ...ports, ...ignore, ...own]);
  }

  /** The contract's environment for the proxy of a pod. */
  async proxyEnvironment(pod: PodSpec): Promise<Record<string, string>> {
    const token = `${this.#lab.home}/${pod.name}.token`;
    writeFileSync(token, await this.#token(pod.name, "default"));
    return {
      LINKERD2_PROXY_IDENTITY_SVC_ADDR: `${CONTROL}:8080`,
      LINKERD2_PROXY_IDENTITY_SVC_NAME: identity("malla-identity", NAMESPACE),
      LINKERD2_PROXY_DESTINATION_SVC_ADDR: `${CONTROL}:8086`,
      LINKERD2_PROXY_DESTINATION_SVC_NAME: identity("malla-controller", NAMESPACE),
      LINKERD2_PROXY_POLICY_SVC_ADDR: `${CONTROL}:8090`,
      LINKERD2_PROXY_POLICY_SVC_NAME: identity("malla-controller", NAMESPACE),
      LINKERD2_PROXY_POLICY_WORKLOAD: JSON.stringify({ ns: "default", pod: pod.name }),
      LINKERD2_PROXY_DESTINATION_CONTEXT: JSON.stringify({ ns: "default", pod: pod.name }),
      LINKERD2_PROXY_DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8",
      LINKERD2_PROXY_DESTINATION_PROFILE_SUFFIXES: "svc.cluster.local.",
      LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS: "10.0.0.0/8",
      LINKERD2_PROXY_IDENTITY_TOKEN_FILE: token,
      LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: this.#authorities.trustAnchors,
      LINKERD2_PROXY_IDENTITY_LOCAL_NAME: identity(pod.name),
      LINKERD2_PROXY_IDENTITY_DIR: `${this.#lab.home}/${pod.name}.identity`,
      LINKERD2_PROXY_INBOUND_LISTEN_ADDR: "0.0.0.0:4143",
      LINKERD2_PROXY_OUTBOUND_LISTEN_ADDRS: "127.0.0.1:4140",
      LINKERD2_PROXY_CONTROL_LISTEN_ADDR: "0.0.0.0:4190",
      LINKERD2_PROXY_ADMIN_LISTEN_ADDR: "0.0.0.0:4191",
      LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "all-unauthenticated",
      LINKERD2_PROXY_INBOUND_PORTS: String(pod.port),
      LINKERD2_PROXY_INBOUND_IPS: pod.node.ip,
      LINKERD2_PROXY_LOG: "warn",
      MALLA_SOCKET_MARK: String(PROXY_MARK),
      ...ENGINE_VARIABLES,
    };
  }

  /** Starts our proxy for a pod and waits until it is ready. */
  async startProxy(pod: PodSpec, core?: StartOptions["core"]): Promise<Program> {
    return await this.#startJoined(pod, await this.launcher(pod), core);
  }

  /** Starts any proxy of the contract for a pod and waits until it is ready. */
  async startPeer(
    pod: PodSpec,
    program: string,
    core?: StartOptions["core"],
  ): Promise<Program> {
    return await this.#startJoined(pod, await this.launcher(pod, program), core);
  }

  async #startJoined(
    pod: PodSpec,
    launch: Launch,
    core: StartOptions["core"],
  ): Promise<Program> {
    const program = launch(core);
    await this.proxyReady(pod);
    return program;
  }

  /**
   * Prepares everything that a proxy finds when it starts: ours, or with a program's path any one of the
   * contract, for which there are a key and a signing request in its identity folder, as the contract's
   * entry point makes them. The returned call starts it.
   */
  async launcher(pod: PodSpec, peer?: string): Promise<Launch> {
    const folder = `${this.#lab.home}/${pod.name}.identity`;
    const env = await this.proxyEnvironment(pod);
    mkdirSync(folder, { recursive: true });
    if (peer !== undefined) {
      const keys = await generateKey();
      const [pkcs8 = new Uint8Array()] = fromPem("PRIVATE KEY", keys.privatePem);
      writeFileSync(`${folder}/key.p8`, pkcs8);
      const name = env["LINKERD2_PROXY_IDENTITY_LOCAL_NAME"] ?? "";
      writeFileSync(`${folder}/csr.der`, await createCsr(keys, name));
    }
    const command = peer === undefined ? [this.#executable, "proxy"] : [peer];
    return (core, more = {}) => {
      const pinned = core === undefined ? {} : { core };
      return pod.node.start(command, { env: { ...env, ...more }, ...pinned, log: "inherit" });
    };
  }

  /** A key and a certificate for a name, for a client that is no proxy. */
  async certify(name: string): Promise<TlsMaterial> {
    const keys = await generateKey();
    const { issuer, trustAnchors } = this.#authorities;
    const leaf = await issueLeaf(issuer, {
      publicDer: keys.publicDer,
      dnsName: name,
      uri: `spiffe://cluster.local/${name}`,
      nowMs: Date.now(),
      lifetimeMs: DAY_MS,
    });
    const chain = [leaf.der, ...issuer.chain.map((link) => new Uint8Array(link.rawData))];
    return {
      certificateChain: toPemChain("CERTIFICATE", chain),
      privateKey: keys.privatePem,
      trustAnchors,
    };
  }

  /** Waits until the proxy of a pod, whichever it is, says that it is ready. */
  async proxyReady(pod: PodSpec): Promise<void> {
    const curl = ["curl", "-sf", "-o", "/dev/null", `http://${pod.node.ip}:4191/ready`];
    await until(
      `proxy of ${pod.name} is ready`,
      async () => await pod.node.start(curl).exited === 0,
    );
  }

  /** Ends the control plane. */
  async stop(): Promise<void> {
    for (const program of this.#programs) await program.stop("SIGKILL");
  }
}

/** The name of a service account's identity. */
export function identity(account: string, namespace = "default"): string {
  return `${account}.${namespace}.serviceaccount.identity.${NAMESPACE}.cluster.local`;
}
