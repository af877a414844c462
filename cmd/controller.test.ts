/** `malla controller` as a process: certified by `malla identity`, asked by a client over TLS. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listen } from "../test/support/control.ts";
import { freePorts, Mode, SOURCE } from "../test/support/malla.ts";
import { Channel } from "../lib/contract/channel.ts";
import { createDiscovery } from "../lib/contract/client.ts";
import { createBunNet } from "../lib/host/bun-net.ts";
import { systemClock } from "../lib/host/clock.ts";
import { createTokenIssuer, generateTokenKeys } from "../lib/identity/local-token.ts";
import { parseAddress, type SocketAddress } from "../lib/mesh/address.ts";
import type { EndpointUpdate } from "../lib/mesh/endpoint.ts";
import type { ServerPolicy } from "../lib/mesh/policy.ts";
import { authorityPem, makeAuthorities } from "../lib/pki/issuer.ts";

const CONTROLLER = "malla-controller.malla.serviceaccount.identity.malla.cluster.local";
const DAY_MS = 86_400_000;

let folder = "";
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "malla-controller-"));
});

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await rm(folder, { recursive: true, force: true });
});

function start(args: readonly string[]): Mode {
  const mode = new Mode(args, {}, SOURCE);
  ends.push(() => mode.stop("SIGKILL"));
  return mode;
}

const WEB = `apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { clusterIP: 10.43.0.1, selector: { app: web }, ports: [{ port: 80 }] }
`;

const SERVER = JSON.stringify({
  apiVersion: "policy.linkerd.io/v1beta1",
  kind: "Server",
  metadata: { name: "web", namespace: "shop" },
  spec: { podSelector: { matchLabels: { app: "web" } }, port: 80 },
});

function webPod(name: string, ip: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: "web" } },
    spec: { containers: [{ name: "app" }] },
    status: { podIP: ip, conditions: [{ type: "Ready", status: "True" }] },
  });
}

/** Makes an authority, tokens and manifests; returns the trust anchors. */
async function prepare(): Promise<string> {
  const nowMs = Date.now();
  const { trustAnchors, issuer } = await makeAuthorities({
    mesh: "malla.cluster.local",
    nowMs,
    lifetimeMs: DAY_MS,
  });
  const { certificate, key } = authorityPem(issuer);
  const tokens = await generateTokenKeys();
  const token = await (await createTokenIssuer(tokens.privatePem, systemClock)).issue({
    namespace: "malla",
    serviceAccount: "malla-controller",
    pod: "malla-controller-0",
    lifetimeMs: DAY_MS,
  });
  await mkdir(join(folder, "issuer"));
  await mkdir(join(folder, "state"));
  const files = {
    "issuer/tls.crt": certificate,
    "issuer/tls.key": key,
    "anchors.pem": trustAnchors,
    "token.pub": tokens.publicPem,
    "token": token,
    "state/web.yaml": WEB,
    "state/web-1.json": webPod("web-1", "10.42.0.1"),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return trustAnchors;
}

function controllerArgs(...more: string[]): string[] {
  const listeners = ["--destination-listen", "--policy-listen", "--admin-listen"];
  return [
    "controller",
    ...listeners.flatMap((flag) => [flag, "127.0.0.1:0"]),
    ...["--source", `files:${join(folder, "state")}`],
    ...more,
  ];
}

test(
  "is not ready without a certificate, then serves with its own and follows its source",
  async () => {
    const trustAnchors = await prepare();
    const [identityPort = 0] = await freePorts(1);
    const controller = start(controllerArgs(
      ...["--identity-addr", `127.0.0.1:${identityPort}`],
      ...["--token-file", join(folder, "token")],
      ...["--trust-anchors-file", join(folder, "anchors.pem")],
    ));
    const admin = await controller.says(/admin endpoints address=(\S+)/);
    await controller.says(/(cannot get a certificate)/);
    await controller.says(/(source is read)/);
    const waiting = await fetch(`http://${admin}/ready`);
    expect([waiting.status, await waiting.text()]).toEqual([503, "waiting for a certificate\n"]);
    expect((await fetch(`http://${admin}/live`)).status).toBe(200);

    start([
      "identity",
      ...["--listen", `127.0.0.1:${identityPort}`, "--admin-listen", "127.0.0.1:0"],
      ...["--issuer-dir", join(folder, "issuer"), "--token-key-file", join(folder, "token.pub")],
      ...["--trust-anchors-file", join(folder, "anchors.pem")],
    ]);
    const address = parseAddress(await controller.says(/listening address=(\S+)/));
    await controller.says(/listening address=\S+[^]*listening address=(\S+)/);
    expect((await fetch(`http://${admin}/ready`)).status).toBe(200);

    const heard = followWeb(address, trustAnchors);
    while (heard.values.length < 1) await Bun.sleep(1);
    expect(heard.news()).toMatchObject([{
      kind: "add",
      endpoints: [{ address: { ip: "10.42.0.1" } }],
    }]);
    await writeFile(join(folder, "state/web-2.json"), webPod("web-2", "10.42.0.2"));
    while (heard.values.length < 2) await Bun.sleep(1);
    expect(heard.news()).toMatchObject([{
      kind: "add",
      endpoints: [{ address: { ip: "10.42.0.2" } }],
    }]);
    await rm(join(folder, "state/web-1.json"));
    while (heard.values.length < 3) await Bun.sleep(1);
    expect(heard.news()).toMatchObject([{ kind: "remove", addresses: [{ ip: "10.42.0.1" }] }]);
    expect(heard.faults).toEqual([]);

    const metrics = await (await fetch(`http://${admin}/metrics`)).text();
    expect(metrics).toContain('malla_control_objects{kind="Pod"} 1\n');
    expect(metrics).toContain("malla_control_watches 1\n");
    expect(await controller.stop()).toBe(0);
  },
  20_000,
);

function followWeb(address: SocketAddress, trustAnchors: string) {
  const channel = new Channel({
    net: createBunNet(),
    clock: systemClock,
    resolve: () => Promise.resolve([address]),
    tls: {
      serverName: CONTROLLER,
      material: () => ({ certificateChain: "", privateKey: "", trustAnchors }),
    },
  });
  ends.push(() => channel.close());
  const discovery = createDiscovery({ destination: channel, policy: channel });
  return listen<EndpointUpdate>((sink) =>
    discovery.watchEndpoints(
      { context: "", workload: "" },
      "web.shop.svc.cluster.local:80",
      sink,
    )
  );
}

test("a Server that it does not serve is told, and refuses; unless that is accepted", async () => {
  await prepare();
  await writeFile(join(folder, "state/server.json"), SERVER);
  for (const [flags, policy] of [[[], "deny"], [["--accept-unserved-policy"], "audit"]] as const) {
    const controller = start(controllerArgs(
      ...["--plaintext", "--default-inbound-policy=audit", ...flags],
      ...["--trust-anchors-file", join(folder, "anchors.pem")],
    ));
    const address = await controller.says(/listening address=\S+[^]*listening address=(\S+)/);
    const channel = new Channel({
      net: createBunNet(),
      clock: systemClock,
      resolve: () => Promise.resolve([parseAddress(address)]),
    });
    ends.push(() => channel.close());
    const discovery = createDiscovery({ destination: channel, policy: channel });
    const asker = { context: "", workload: '{"ns":"shop","pod":"web-1"}' };
    const heard = listen<ServerPolicy>((sink) => discovery.watchServerPolicy(asker, 80, sink));
    while (heard.values.length < 1) await Bun.sleep(1);
    expect(heard.values[0]?.resource.name).toBe(policy);
    expect(controller.output.includes('object="Server shop/web"')).toBe(policy === "deny");
    await controller.stop();
  }
}, 20_000);

test(
  "each log line for machines is a JSON object with its level, time, mode and message",
  async () => {
    await prepare();
    await writeFile(join(folder, "state/server.json"), SERVER);
    await writeFile(join(folder, "state/wrong.yaml"), "kind: [\n");
    const controller = start(controllerArgs(
      ...["--plaintext", "--log-format", "json", "--log-level", "debug"],
      ...["--trust-anchors-file", join(folder, "anchors.pem")],
    ));
    await controller.says(/listening[^]*listening/);
    await controller.says('"object":"Server shop/web"');
    expect(await controller.stop()).toBe(0);
    const lines = controller.output.trimEnd().split("\n").map((line) => JSON.parse(line) as object);
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      expect(line).toMatchObject({
        level: expect.any(Number),
        time: expect.any(Number),
        mode: "controller",
        msg: expect.stringMatching(/^\S.*$/),
      });
    }
  },
  20_000,
);

test.each([
  [["--source", "elsewhere"], 64, 'Cannot use "elsewhere" for --source'],
  [["--plaintext", "--policy-listen", "0.0.0.0:0"], 64, "expected loopback addresses only"],
  [[], 64, "expected the mesh's trust anchors in PEM"],
  [["--plaintext", "--source", "files:/nowhere/at/all"], 1, "no such file or folder"],
])("ends by itself where it cannot work: %p", async (more, code, message) => {
  await mkdir(join(folder, "state"));
  const controller = start(controllerArgs(...more));
  expect(await controller.exited()).toBe(code);
  expect(controller.output).toContain(message);
});
