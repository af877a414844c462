/** `malla inject`, `malla injector` and `malla await` as processes: files, pipes, TLS, exit codes. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { makeMaterials, type TestMaterial } from "../support/certificates.ts";
import { freePorts, MALLA, Mode, until } from "../support/malla.ts";

const FIXTURES = new URL("../fixtures/inject/", import.meta.url).pathname;
const ANCHOR = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

let folder = "";
const modes: Mode[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "malla-injector-"));
  mkdirSync(`${folder}/app`);
  for (const name of ["deployment", "cronjob"]) {
    cpSync(`${FIXTURES}${name}.yaml`, `${folder}/app/${name}.yaml`);
  }
  writeFileSync(`${folder}/ca.pem`, ANCHOR);
});

afterEach(async () => {
  await Promise.all(modes.splice(0).map((mode) => mode.stop("SIGKILL")));
  rmSync(folder, { recursive: true, force: true });
});

function inject(args: readonly string[], input = "", mode = "inject") {
  const done = Bun.spawnSync([...MALLA, mode, ...args], {
    stdin: new TextEncoder().encode(input),
    env: { PATH: process.env["PATH"] ?? "" },
  });
  return {
    code: done.exitCode,
    stdout: done.stdout.toString(),
    stderr: done.stderr.toString(),
  };
}

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Mode {
  const mode = new Mode(args, env);
  modes.push(mode);
  return mode;
}

const WEB = `kind: Pod\napiVersion: v1\nmetadata: {name: web}\n` +
  `spec: {containers: [{name: app, image: app}]}\n`;

describe("malla inject", () => {
  test("reads a folder, and tells of each object", () => {
    const { code, stdout, stderr } = inject([
      `${folder}/app`,
      "--manual",
      "--trust-anchors-file",
      `${folder}/ca.pem`,
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain("deployment/web injected");
    expect(stderr).toContain("cronjob/nightly injected");
    const documents = parseAllDocuments(stdout).map((document) => document.toJS().kind);
    expect(documents).toEqual(["CronJob", "Deployment"]);
  });

  test("reads standard input, and what it wrote is skipped the next time", () => {
    const flags = [
      "-",
      "--manual",
      `--trust-anchors-file=${folder}/ca.pem`,
      "--proxy-image",
      "mine:1",
    ];
    const first = inject(
      flags,
      `${WEB}---\nkind: Namespace\napiVersion: v1\nmetadata: {name: n}\n`,
    );
    expect(first.stdout).toContain("image: mine:1");
    expect(first.stderr).toContain("namespace/n unchanged");
    const second = inject(flags, first.stdout);
    expect(second.stdout).toBe(first.stdout);
    expect(second.stderr).toContain("pod/web skipped: it already has a container linkerd-init");
  });

  test("asks for a proxy where the webhook adds it, and takes that back", () => {
    const asked = inject(["-", "--proxy-log-level=debug", "--ingress"], WEB);
    expect(asked.stderr).toBe("pod/web annotated\n");
    expect(parseAllDocuments(asked.stdout)[0]?.toJS().metadata.annotations).toEqual({
      "malla.dev/inject": "ingress",
      "config.malla.dev/proxy-log-level": "debug",
    });
    const back = inject(["-"], asked.stdout, "uninject");
    expect(back).toMatchObject({ code: 0, stderr: "pod/web uninjected\n" });
    expect(back.stdout).toBe(inject(["-"], WEB, "uninject").stdout);
  });

  test("obeys the namespace among the manifests", () => {
    const namespace = "kind: Namespace\napiVersion: v1\n" +
      "metadata: {name: default, annotations: {linkerd.io/inject: disabled}}\n";
    const { stderr } = inject(
      ["-", "--manual", `--trust-anchors-file=${folder}/ca.pem`, "-o", "json"],
      `${namespace}---\n${WEB}`,
    );
    expect(stderr).toContain('pod/web skipped: linkerd.io/inject is "disabled" on the namespace');
  });

  test("writes nothing when something is wrong, and says where", () => {
    const flags = ["-", "--manual", `--trust-anchors-file=${folder}/ca.pem`];
    const broken = inject(flags, `${WEB}---\nkind: Pod\napiVersion: v1\nspec: {}\n`);
    expect(broken).toMatchObject({ code: 1, stdout: "" });
    expect(broken.stderr).toContain("standard input:");
    const annotated = WEB.replace(
      "{name: web}",
      '{name: web, annotations: {config.linkerd.io/proxy-uid: "x"}}',
    );
    const wrong = inject(flags, annotated);
    expect(wrong.stderr).toContain("standard input:1: pod/web: Cannot use annotation");
    expect(inject([`${folder}/none`, ...flags.slice(1)]).stderr).toContain("Cannot read");
  });

  test("ends quietly when its reader has had enough", () => {
    const words = [...MALLA, "inject", "--help"].map((word) => `'${word}'`).join(" ");
    const script = `set -o pipefail; { ${words}; echo "code $?" >&2; } | exec true`;
    const { stderr } = Bun.spawnSync(["bash", "-c", script]);
    // As one that SIGPIPE ended; or it was faster than its reader's end.
    expect(stderr.toString()).toMatch(/^code (?:0|141)\n$/);
  });

  test("wrong flags exit with 64", () => {
    expect(inject(["-", "--manual"], WEB)).toMatchObject({ code: 64, stdout: "" });
    expect(inject(["-", "--proxy-cpu-request", "much"], WEB).stderr).toContain(
      'Cannot use "much" for --proxy-cpu-request: expected a quantity',
    );
    expect(inject([`--trust-anchors-file=${folder}/ca.pem`]).code).toBe(64);
    expect(inject(["-", "--nonsense"]).stderr).toContain("--nonsense");
  });
});

describe("malla injector", () => {
  let material: TestMaterial;
  let ports: number[] = [];

  function writeTls(): void {
    material = makeMaterials(["localhost"]).get("localhost") ?? material;
    mkdirSync(`${folder}/tls`, { recursive: true });
    writeFileSync(`${folder}/tls/tls.crt`, material.certificateChain);
    writeFileSync(`${folder}/tls/tls.key`, material.privateKey);
  }

  async function ask(): Promise<string> {
    const answer = await fetch(`https://localhost:${ports[0]}/`, {
      method: "POST",
      body: JSON.stringify({
        apiVersion: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        request: {
          uid: "1",
          kind: { kind: "Pod" },
          namespace: "shop",
          object: { metadata: { name: "p" }, spec: { containers: [{ name: "app" }] } },
        },
      }),
      tls: { ca: material.trustAnchors },
      keepalive: false,
    });
    return await answer.text();
  }

  test("serves reviews over TLS, changes its certificate, and counts", async () => {
    ports = await freePorts(2);
    writeTls();
    mkdirSync(`${folder}/source`);
    writeFileSync(
      `${folder}/source/ns.yaml`,
      "kind: Namespace\napiVersion: v1\n" +
        "metadata: {name: shop, annotations: {malla.dev/inject: enabled}}\n",
    );
    const mode = start([
      "injector",
      `--source=files:${folder}/source`,
      `--listen=127.0.0.1:${ports[0]}`,
      `--admin-listen=127.0.0.1:${ports[1]}`,
      `--tls-dir=${folder}/tls`,
      `--trust-anchors-file=${folder}/ca.pem`,
    ]);
    await mode.says("serving");
    const admin = `http://127.0.0.1:${ports[1]}`;
    await until(async () => (await fetch(`${admin}/ready`)).ok);
    expect(JSON.parse(await ask()).response.patchType).toBe("JSONPatch");
    writeTls();
    await mode.says("serving with a new certificate");
    // Until the former server is gone the kernel may still pick it.
    await until(async () => {
      try {
        return (await ask()).includes("JSONPatch");
      } catch {
        return false;
      }
    });
    expect(await (await fetch(`${admin}/metrics`)).text()).toMatch(
      /malla_injector_admissions_total\{[^}]*outcome="injected"[^}]*\} [23]/,
    );
    expect(await mode.stop("SIGTERM")).toBe(0);
  });

  test("says what is missing", async () => {
    const mode = start(["injector", `--trust-anchors-file=${folder}/ca.pem`]);
    expect(await mode.exited()).toBe(1);
    expect(mode.output).toContain("KUBERNETES_SERVICE_HOST is not set");
    const blind = start([
      "injector",
      `--trust-anchors-file=${folder}/ca.pem`,
      `--source=files:${folder}/app`,
    ]);
    expect(await blind.exited()).toBe(64);
    expect(blind.output).toContain("Missing setting: --tls-dir");
  });
});

describe("malla await", () => {
  test("waits for a proxy that becomes ready", async () => {
    let asked = 0;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("not yet", { status: ++asked < 3 ? 503 : 200 }),
    });
    const mode = start(["await", `--port=${server.port}`, "--timeout=30s"]);
    expect(await mode.exited()).toBe(0);
    expect(asked).toBe(3);
    await server.stop(true);
  });

  test("gives up in the end", async () => {
    const [port] = await freePorts(1);
    const mode = start(["await", `--port=${port}`, "--timeout=200ms"]);
    expect(await mode.exited()).toBe(1);
    expect(mode.output).toContain("the proxy is not ready in time");
  });
});
