/** Real processes on loopback: `malla identity` and `malla controller` certify and answer `malla proxy`. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/host/clock.ts";
import { createTokenIssuer, generateTokenKeys } from "../../lib/identity/local-token.ts";
import { authorityPem, makeAuthorities } from "../../lib/pki/issuer.ts";
import { freePorts, Mode, until } from "../support/malla.ts";

const P = "LINKERD2_PROXY_";
const NAMES = "serviceaccount.identity.malla.cluster.local";

let folder = "";
let trustAnchors = "";
let ports: number[] = [];
let modes: Mode[] = [];
let identity: Mode;
let controller: Mode;

function start(args: readonly string[], env: Readonly<Record<string, string>>): Mode {
  const mode = new Mode(args, env);
  modes.push(mode);
  return mode;
}

function port(index: number): number {
  return ports[index] ?? 0;
}

function startIdentity(): Mode {
  return start(["identity"], {
    MALLA_IDENTITY_LISTEN_ADDR: `127.0.0.1:${port(0)}`,
    MALLA_ADMIN_LISTEN_ADDR: `127.0.0.1:${port(1)}`,
    MALLA_IDENTITY_ISSUER_DIR: join(folder, "issuer"),
    MALLA_IDENTITY_TRUST_ANCHORS: trustAnchors,
    MALLA_IDENTITY_TOKEN_KEY_FILE: join(folder, "token.pub"),
  });
}

function startController(): Mode {
  return start(["controller", "--source", `files:${join(folder, "state")}`], {
    MALLA_DESTINATION_LISTEN_ADDR: `127.0.0.1:${port(2)}`,
    MALLA_POLICY_LISTEN_ADDR: `127.0.0.1:${port(3)}`,
    MALLA_ADMIN_LISTEN_ADDR: `127.0.0.1:${port(4)}`,
    MALLA_IDENTITY_ADDR: `127.0.0.1:${port(0)}`,
    MALLA_IDENTITY_TOKEN_FILE: join(folder, "controller.token"),
    MALLA_IDENTITY_TRUST_ANCHORS: trustAnchors,
  });
}

function proxyEnv(changes: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    [`${P}LOG`]: "warn,linkerd=debug,[{headers}]=off",
    [`${P}DESTINATION_SVC_ADDR`]: `localhost.:${port(2)}`,
    [`${P}DESTINATION_SVC_NAME`]: `malla-controller.malla.${NAMES}`,
    [`${P}DESTINATION_CONTEXT`]: '{"ns":"n", "nodeName":"node", "pod":"web-1"}',
    [`${P}DESTINATION_PROFILE_NETWORKS`]: "10.0.0.0/8",
    [`${P}POLICY_SVC_ADDR`]: `localhost.:${port(3)}`,
    [`${P}POLICY_SVC_NAME`]: `malla-controller.malla.${NAMES}`,
    [`${P}POLICY_WORKLOAD`]: '{"ns":"n", "pod":"web-1"}',
    [`${P}POLICY_CLUSTER_NETWORKS`]: "10.0.0.0/8",
    [`${P}IDENTITY_SVC_ADDR`]: `localhost.:${port(0)}`,
    [`${P}IDENTITY_SVC_NAME`]: `malla-identity.malla.${NAMES}`,
    [`${P}IDENTITY_DIR`]: join(folder, "nothing-here"),
    [`${P}IDENTITY_TOKEN_FILE`]: join(folder, "web.token"),
    [`${P}IDENTITY_TRUST_ANCHORS`]: trustAnchors,
    [`${P}IDENTITY_LOCAL_NAME`]: `web.n.${NAMES}`,
    [`${P}INBOUND_PORTS`]: "8080",
    [`${P}INBOUND_IPS`]: "127.0.0.1",
    [`${P}INBOUND_LISTEN_ADDR`]: `127.0.0.1:${port(5)}`,
    [`${P}OUTBOUND_LISTEN_ADDRS`]: `127.0.0.1:${port(6)}`,
    [`${P}ADMIN_LISTEN_ADDR`]: `127.0.0.1:${port(7)}`,
    [`${P}SHUTDOWN_GRACE_PERIOD`]: "1s",
    ...changes,
  };
}

async function status(path: string, admin = port(7)): Promise<number> {
  try {
    return (await fetch(`http://127.0.0.1:${admin}${path}`)).status;
  } catch {
    // Nothing listens yet.
    return 0;
  }
}

async function text(path: string, admin = port(7)): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${admin}${path}`)).text();
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "malla-control-"));
  ports = await freePorts(8);
  const nowMs = Date.now();
  const made = await makeAuthorities({ mesh: "malla.test", nowMs, lifetimeMs: 3_600_000 });
  trustAnchors = made.trustAnchors;
  const { certificate, key } = authorityPem(made.issuer);
  for (const name of ["issuer", "state"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "issuer", "tls.crt"), certificate);
  writeFileSync(join(folder, "issuer", "tls.key"), key);
  const keys = await generateTokenKeys();
  writeFileSync(join(folder, "token.pub"), keys.publicPem);
  const tokens = await createTokenIssuer(keys.privatePem, systemClock);
  const grants = [["malla", "malla-controller", "controller"], ["n", "web", "web"]] as const;
  for (const [namespace, serviceAccount, file] of grants) {
    const grant = { namespace, serviceAccount, pod: file, lifetimeMs: 3_600_000 };
    writeFileSync(join(folder, `${file}.token`), await tokens.issue(grant));
  }
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "n" },
    spec: {
      serviceAccountName: "web",
      containers: [{ name: "web", ports: [{ containerPort: 8080 }] }],
    },
    status: { podIP: "10.42.0.2", conditions: [{ type: "Ready", status: "True" }] },
  };
  writeFileSync(join(folder, "state", "pod.json"), JSON.stringify(pod));
  identity = startIdentity();
  controller = startController();
  await until(async () => {
    expect(controller.process.exitCode, controller.output).toBeNull();
    return await status("/ready", port(4)) === 200;
  });
});

afterEach(async () => {
  const others = modes.filter((mode) => mode !== identity && mode !== controller);
  await Promise.all(others.map((mode) => mode.stop("SIGKILL")));
  modes = [identity, controller];
});

afterAll(async () => {
  await Promise.all(modes.map((mode) => mode.stop("SIGKILL")));
  rmSync(folder, { recursive: true, force: true });
});

describe("a proxy", () => {
  test("is certified, watches its ports' policies, shows metrics and drains", async () => {
    const proxy = start(["proxy"], proxyEnv());
    await until(async () => {
      expect(proxy.process.exitCode, proxy.output).toBeNull();
      return await status("/ready") === 200;
    });
    expect(proxy.output).toContain(`identity=web.n.${NAMES}`);
    await until(async () => /malla_control_watches [2-9]/.test(await text("/metrics", port(4))));

    const metrics = await text("/metrics");
    for (const service of ["request", "response"]) {
      expect(metrics).toMatch(
        new RegExp(`^control_${service}_total\\{addr="[^"]+".*\\} [1-9]`, "m"),
      );
    }
    expect(metrics).toContain('control_identity_cert_refreshes_total{result="success"} 1\n');
    const check = Bun.spawnSync(["promtool", "check", "metrics"], {
      stdin: new TextEncoder().encode(metrics),
    });
    // The contract's own name; a lint is all that there is to say.
    expect(check.stderr.toString().trim()).toBe(
      "control_response_latency_ms metric names should not contain abbreviated units",
    );
    expect(check.exitCode).toBe(3);

    const shown = JSON.parse(await text("/env.json"));
    expect(shown[`${P}IDENTITY_LOCAL_NAME`]).toBe(`web.n.${NAMES}`);
    expect(shown[`${P}IDENTITY_TRUST_ANCHORS`]).toBeUndefined();
    expect(shown["PATH"]).toBeUndefined();

    expect(await proxy.stop("SIGTERM")).toBe(0);
    expect(proxy.output).toContain("draining");
    await until(async () => /malla_control_watches 0/.test(await text("/metrics", port(4))));
  });

  /** A port that answers no SYN: nobody accepts, and the queue of those who wait is full. */
  const DEAF = `import socket, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(0)
waiting = socket.create_connection(server.getsockname())
print(server.getsockname()[1], flush=True)
time.sleep(1000)`;

  test("ends at once while a connection is being made that nobody answers", async () => {
    const deaf = Bun.spawn(["python3", "-c", DEAF], { stdout: "pipe" });
    try {
      const reader = deaf.stdout.getReader();
      const port = new TextDecoder().decode((await reader.read()).value).trim();
      const address = { [`${P}IDENTITY_SVC_ADDR`]: `localhost.:${port}` };
      const proxy = start(["proxy"], proxyEnv(address));
      await proxy.says("cannot get a certificate");
      expect(await proxy.stop("SIGTERM")).toBe(0);
    } finally {
      deaf.kill("SIGKILL");
    }
  }, 20_000);

  test("waits for an identity service that is down: live, not ready; then it recovers", async () => {
    await identity.stop();
    const proxy = start(["proxy"], proxyEnv());
    await proxy.says("cannot get a certificate");
    expect([await status("/live"), await status("/ready")]).toEqual([200, 503]);
    await expect(fetch(`http://127.0.0.1:${port(6)}/`)).rejects.toThrow();
    identity = startIdentity();
    await until(async () => await status("/ready") === 200);
    expect(await proxy.stop("SIGINT")).toBe(0);
  });

  test("ends at once by a signal while it still waits", async () => {
    writeFileSync(join(folder, "empty.token"), "");
    const env = proxyEnv({ [`${P}IDENTITY_TOKEN_FILE`]: join(folder, "empty.token") });
    const proxy = start(["proxy"], env);
    await proxy.says("the file is empty");
    expect(await proxy.stop("SIGTERM")).toBe(0);
  });

  test("ends at once by a second signal, whatever is still open", async () => {
    const proxy = start(["proxy"], proxyEnv({ [`${P}SHUTDOWN_GRACE_PERIOD`]: "1h" }));
    await until(async () => await status("/ready") === 200);
    const client = await Bun.connect({
      hostname: "127.0.0.1",
      port: port(5),
      socket: { data() {} },
    });
    try {
      // The beginning of a ClientHello: the proxy waits for the rest.
      client.write(new Uint8Array([0x16, 0x03, 0x01, 0x02]));
      // An answer that was asked for later: by then the connection was accepted.
      expect(await status("/live")).toBe(200);
      proxy.process.kill("SIGTERM");
      await proxy.says("connections=1");
      expect(proxy.process.exitCode).toBeNull();
      expect(await proxy.stop("SIGTERM")).toBe(143);
    } finally {
      client.end();
    }
  });

  test("is refused a certificate for somebody else's identity", async () => {
    const env = proxyEnv({ [`${P}IDENTITY_LOCAL_NAME`]: `db.n.${NAMES}` });
    const proxy = start(["proxy"], env);
    await proxy.says("failed_precondition");
    expect(await status("/ready")).toBe(503);
  });

  test("says what is wrong with its settings and exits 64", async () => {
    const env = proxyEnv({ [`${P}OUTBOUND_CONNECT_TIMEOUT`]: "1000", [`${P}POLICY_WORKLOAD`]: "" });
    const proxy = start(["proxy"], env);
    expect(await proxy.exited()).toBe(64);
    expect(proxy.output).toContain(`Cannot use "1000" for ${P}OUTBOUND_CONNECT_TIMEOUT`);
    expect(proxy.output).toContain("a duration with its unit");
    expect(proxy.output).toContain(`${P}POLICY_WORKLOAD`);
  });

  test("exits when a port of its own is taken, and names it", async () => {
    const env = proxyEnv({ [`${P}ADMIN_LISTEN_ADDR`]: `127.0.0.1:${port(4)}` });
    const proxy = start(["proxy"], env);
    expect(await proxy.exited()).toBe(1);
    expect(proxy.output).toContain(`port ${port(4)}`);
  });

  test("shuts down by its admin port where that is enabled", async () => {
    const proxy = start(["proxy"], proxyEnv({ [`${P}SHUTDOWN_ENDPOINT_ENABLED`]: "true" }));
    await until(async () => await status("/ready") === 200);
    const url = `http://127.0.0.1:${port(7)}`;
    const level = await fetch(`${url}/proxy-log-level`, { method: "PUT", body: "warn" });
    expect(await level.text()).toBe("warn\n");
    expect((await fetch(`${url}/shutdown`, { method: "POST" })).status).toBe(200);
    expect(await proxy.exited()).toBe(0);
  });
});
