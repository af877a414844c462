/** `malla install`, `upgrade` and `uninstall` against the fake API server. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { FakeApi, type FakeObject } from "../../test/support/fake-api.ts";
import { fakeInstallation, putManifest } from "../../test/support/fake-installation.ts";
import { textTerminal } from "../../test/support/terminal.ts";
import { sha256Hex } from "../host/digest.ts";
import type { Terminal } from "../host/terminal.ts";
import { makeIdentity } from "../install/identity-material.ts";
import type { KubeManifest } from "../install/objects.ts";
import { authorityPem, makeAuthorities, makeIssuer, makeRoot } from "../pki/issuer.ts";
import { runInstall, runUpgrade } from "./install.ts";
import { runUninstall } from "./uninstall.ts";

const SECRETS = "/api/v1/namespaces/malla/secrets";
const MAPS = "/api/v1/namespaces/malla/configmaps";
const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const DAY_MS = 86_400_000;

let api = new FakeApi();
let folder = "";
/** The words that lead to the fake cluster. */
let here: string[] = [];

beforeEach(() => {
  api = new FakeApi();
  api.strict = true;
  folder = mkdtempSync(join(tmpdir(), "malla-install-"));
  here = ["--kubeconfig", file("kubeconfig", api.kubeconfig({ token: "x" }))];
});

afterEach(async () => {
  await api.stop();
  rmSync(folder, { recursive: true });
});

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

interface KubeDocument {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

type Run = (words: readonly string[], terminal: Terminal) => Promise<number>;

async function run(verb: Run, ...words: string[]) {
  const { terminal, out, err } = textTerminal();
  const code = await verb(words, terminal);
  const documents = () =>
    parseAllDocuments(out()).map((document) => document.toJS() as KubeDocument);
  const find = (kind: string, name: string) =>
    documents().find((one) => one.kind === kind && one.metadata.name === name);
  return { code, out: out(), err: err(), documents, find };
}

describe("install", () => {
  test("prints all objects, with an anchor and an issuer of its own", async () => {
    const { code, err, documents, find } = await run(runInstall, ...here);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(documents()[0]?.kind).toBe("Namespace");
    const roots = find("ConfigMap", "malla-identity-trust-roots")?.data?.["ca-bundle.crt"];
    expect(roots).toStartWith("-----BEGIN CERTIFICATE-----");
    expect(find("Secret", "malla-identity-anchor")).toBeDefined();
    expect(atob(find("Secret", "malla-identity-issuer")?.data?.["key.pem"] ?? "")).toContain(
      "PRIVATE KEY",
    );
    const again = await run(runInstall, ...here);
    expect(again.documents().length).toBe(documents().length);
  });

  test("is the same apart from its certificates", async () => {
    const without = (text: string) =>
      text.replaceAll(/-----BEGIN[^]*?-----END [A-Z ]+-----/g, "PEM")
        .replaceAll(/LS0tLS1CRUdJTi[A-Za-z0-9+/=]+/g, "PEM")
        .replaceAll(/"?[0-9a-f]{64}"?/g, "HASH");
    const [first, second] = [await run(runInstall, ...here), await run(runInstall, ...here)];
    expect(without(first.out)).toBe(without(second.out));
    expect(first.out).not.toBe(second.out);
  });

  test("values come from files, flags and --set, the later win", async () => {
    const values = file("values.yaml", "controllerReplicas: 2\nproxy: {logLevel: debug}\n");
    const { find } = await run(
      runInstall,
      ...[...here, "--ha", "-f", values, "--registry", "registry:5000/mesh/"],
      ...["--controller-log-level", "warn", "--native-sidecar=false", "--disable-heartbeat"],
      ...["--set", "proxy.uid=3000,podLabels.team=mesh", "--set-string", "podAnnotations.number=7"],
      ...["--set-file", `podAnnotations.note=${file("note", "hello")}`],
    );
    const deployment = JSON.stringify(find("Deployment", "malla-injector"));
    for (
      const part of [
        '"replicas":2',
        '"image":"registry:5000/mesh/malla:',
        '"--log-level=warn"',
        '"--proxy-log-level=debug"',
        '"--native-sidecar=false"',
        '"--proxy-uid=3000"',
        '"team":"mesh"',
        '"number":"7"',
        '"note":"hello"',
        '"topologySpreadConstraints"',
      ]
    ) expect(deployment).toContain(part);
    expect(JSON.stringify(find("MutatingWebhookConfiguration", "injector.malla.dev"))).toContain(
      '"failurePolicy":"Fail"',
    );
  });

  test("JSON is one list; --crds is what must be known before; --identity-values are a chart's", async () => {
    const json = await run(runInstall, ...here, "-o", "json");
    expect(JSON.parse(json.out)).toMatchObject({ apiVersion: "v1", kind: "List" });
    const crds = await run(runInstall, ...here, "--crds");
    expect(crds.documents().map(({ kind }) => kind)).toEqual([
      "Namespace",
      "CustomResourceDefinition",
    ]);
    expect(crds.err).toMatch(/Gateway API.*\nkubectl apply --server-side -f https:/);
    const made = await run(runInstall, "--identity-values");
    const values = file("identity.yaml", made.out);
    const { find } = await run(runInstall, ...here, "-f", values);
    expect(find("Secret", "malla-identity-issuer")?.data?.["key.pem"]).toBeDefined();
    // Its anchor's key was thrown away.
    expect(find("Secret", "malla-identity-anchor")).toBe(undefined);
  });

  test("certificates that are brought must belong together", async () => {
    const nowMs = Date.now();
    const root = await makeRoot({ name: "ours", nowMs, lifetimeMs: DAY_MS });
    const issuer = await makeIssuer(root, { name: "issuer", nowMs, lifetimeMs: DAY_MS });
    const other = await makeAuthorities({ mesh: "other", nowMs, lifetimeMs: DAY_MS });
    const { certificate, key } = authorityPem(issuer);
    const flags = (anchors: string, crt: string, keyPem: string) => [
      ...["--identity-trust-anchors-file", file("anchors", anchors)],
      ...["--identity-issuer-certificate-file", file("crt", crt)],
      ...["--identity-issuer-key-file", file("key", keyPem)],
    ];
    const ours = authorityPem(root).certificate;
    const good = await run(runInstall, ...here, ...flags(ours, certificate, key));
    expect(good.find("ConfigMap", "malla-identity-trust-roots")?.data?.["ca-bundle.crt"]).toBe(
      ours,
    );
    const foreign = await run(
      runInstall,
      ...[...here, ...flags(other.trustAnchors, certificate, key)],
    );
    expect(foreign).toMatchObject({ code: 64, out: "" });
    expect(foreign.err).toContain('Cannot use the issuer "CN=issuer": it does not chain to');
    const wrongKey = authorityPem(other.issuer).key;
    const mixed = await run(runInstall, ...here, ...flags(ours, certificate, wrongKey));
    expect(mixed.err).toContain("the private key is another one's");
    const half = await run(runInstall, ...here, "--identity-issuer-key-file", file("key", key));
    expect(half.err).toContain("identityTrustAnchorsPEM is empty");
  });

  const wrong: [string[], string][] = [
    [["--set", "proxy.logLevl=x"], 'Unknown value "proxy.logLevl" of --set: did you mean'],
    [["--controller-replicas", "many"], 'Cannot use "many" for controllerReplicas'],
    [["--set", "webhookFailurePolicy=Maybe"], "expected one of Ignore, Fail"],
    [["-f", "/nonexistent"], 'Cannot read "/nonexistent" for --values'],
    [["--set", "nonsense"], "expected NAME=VALUE"],
    [["--identity-external-ca", "--set", "identityTrustAnchorsPEM=x"], "PEM"],
    [["--take-over-linkerd", "--ignore-cluster"], "contradict each other"],
    [["--nonsense"], "unknown option"],
  ];
  test.each(wrong)("%p ends with 64", async (words, message) => {
    const { code, out, err } = await run(runInstall, ...here, ...words);
    expect({ code, out }).toEqual({ code: 64, out: "" });
    expect(err).toContain(message);
  });

  test("an installation that is there is not overwritten", async () => {
    await fakeInstallation(api);
    const { code, err } = await run(runInstall, ...here);
    expect(code).toBe(1);
    expect(err).toContain('is in namespace "malla" already; malla upgrade changes it');
    expect((await run(runInstall, ...here, "--force")).code).toBe(0);
    expect((await run(runInstall, ...here, "--crds")).code).toBe(0);
  });

  test("policies that are not served stop it, unless that is accepted", async () => {
    const server = { metadata: { name: "web", namespace: "shop" }, spec: {} };
    api.put("/apis/policy.linkerd.io/v1beta3/servers", server);
    const { code, out, err } = await run(runInstall, ...here);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("  Server shop/web\n");
    const accepted = await run(runInstall, ...here, "--accept-unserved-policy");
    expect(accepted.code).toBe(0);
    expect(JSON.stringify(accepted.find("Deployment", "malla-controller"))).toContain(
      "--accept-unserved-policy=true",
    );
    expect((await run(runInstall, "--ignore-cluster")).code).toBe(0);
  });

  test("without a cluster it says how to go on", async () => {
    await api.stop();
    const { code, out, err } = await run(runInstall, ...here);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("--ignore-cluster prints the objects without a look");
    expect(err).toContain("Cannot ask http://127.0.0.1");
  });

  test("a Kubernetes that is too old is refused, unless the values allow for it", async () => {
    api.documents.set("/version", { gitVersion: "v1.27.3" });
    const { code, out, err } = await run(runInstall, ...here);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toBe(
      "Cannot install: Kubernetes must be 1.29 or later, it is v1.27.3: proxies cannot be native " +
        "sidecars there; upgrade the cluster, or install with --native-sidecar=false\n",
    );
    expect((await run(runInstall, ...here, "--native-sidecar=false")).code).toBe(0);
    api.documents.set("/version", { gitVersion: "v1.19.0" });
    const older = await run(runInstall, ...here, "--native-sidecar=false");
    expect([older.code, older.err]).toEqual([
      1,
      "Cannot install: Kubernetes must be 1.25 or later, it is v1.19.0; upgrade the cluster to " +
      "1.29 or later\n",
    ]);
  });

  test("a namespace that is being deleted is waited for", async () => {
    const metadata = { name: "malla", deletionTimestamp: "2026-01-01T00:00:00Z" };
    api.put("/api/v1/namespaces", { metadata });
    const { code, out, err } = await run(runInstall, ...here);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain('namespace "malla" is being deleted; kubectl wait --for=delete');
  });

  test("a right that is missing comes with the commands that grant it", async () => {
    api.forbid(
      "/apis/policy.linkerd.io",
      'servers.policy.linkerd.io is forbidden: User "eve" cannot list resource "servers" in API ' +
        'group "policy.linkerd.io" at the cluster scope',
    );
    const { code, out, err } = await run(runInstall, ...here);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain('User "eve" cannot list resource "servers"');
    expect(err).toEndWith(
      "An administrator grants that by\n" +
        "  kubectl create clusterrole malla-list-servers --verb=list " +
        "--resource=servers.policy.linkerd.io\n" +
        "  kubectl create clusterrolebinding malla-list-servers " +
        "--clusterrole=malla-list-servers --user=eve\n",
    );
  });
});

describe("beside Linkerd", () => {
  beforeEach(() => {
    api.put(WEBHOOKS, { metadata: { name: "linkerd-proxy-injector-webhook-config" } });
    const config = {
      metadata: { name: "linkerd-config", namespace: "linkerd" },
      data: { values: "clusterDomain: example.org\nidentityTrustDomain: mesh.example.org\n" },
    };
    api.put("/api/v1/namespaces/linkerd/configmaps", config);
  });

  test("it is told whose words count", async () => {
    const { code, err } = await run(runInstall, ...here);
    expect(code).toBe(0);
    expect(err).toContain("Malla obeys malla.dev/inject and config.malla.dev/… alone");
  });

  test("taking over keeps its namespace, certificates and domains", async () => {
    const { code, documents, find } = await run(runInstall, ...here, "--take-over-linkerd");
    expect(code).toBe(0);
    const kinds = new Set(documents().map(({ kind }) => kind));
    expect(kinds.has("Namespace")).toBe(false);
    expect(documents().filter(({ kind }) => kind === "Secret").map(({ metadata }) => metadata.name))
      .toEqual(["malla-injector-authority"]);
    const identity = JSON.stringify(find("Deployment", "malla-identity"));
    expect(identity).toContain('"secretName":"linkerd-identity-issuer"');
    expect(identity).toContain('"name":"linkerd-identity-trust-roots"');
    expect(identity).toContain('"--control-plane-namespace=linkerd"');
    expect(identity).toContain('"--trust-domain=mesh.example.org"');
    expect(find("Deployment", "malla-identity")?.metadata.namespace).toBe("linkerd");
    expect(JSON.stringify(find("Deployment", "malla-injector"))).toContain(
      "--take-over-linkerd=true",
    );
  });

  test("where it is not, there is nothing to take over", async () => {
    const { code, err } = await run(runInstall, ...here, "--take-over-linkerd", "-L", "elsewhere");
    expect(code).toBe(1);
    expect(err).toContain('there is no ConfigMap linkerd-config in namespace "elsewhere"');
  });
});

describe("upgrade", () => {
  const issuerOf = (documents: KubeDocument[]) =>
    documents.find(({ metadata }) => metadata.name === "malla-identity-issuer")?.data?.["crt.pem"];

  test("keeps values and certificates, and changes what it is told", async () => {
    const installed = await fakeInstallation(api, { controllerLogLevel: "warn" });
    const same = await run(runUpgrade, ...here);
    expect(same.documents()).toEqual(structuredClone(installed) as never);
    const { code, find, documents } = await run(runUpgrade, ...here, "--controller-replicas", "2");
    expect(code).toBe(0);
    expect(issuerOf(documents())).toBe(issuerOf(same.documents()) ?? "");
    const text = JSON.stringify(find("Deployment", "malla-controller"));
    expect(text).toContain('"replicas":2');
    expect(text).toContain('"--log-level=warn"');
  });

  test("renews an issuer that is old or has ended, or when told, under the same anchor", async () => {
    await fakeInstallation(api, {}, Date.now() - 400 * DAY_MS);
    const before = api.object(SECRETS, "malla-identity-issuer") as KubeDocument;
    const { documents, find } = await run(runUpgrade, ...here);
    expect(issuerOf(documents())).not.toBe(before.data?.["crt.pem"] ?? "");
    const roots = api.object(MAPS, "malla-identity-trust-roots") as KubeDocument;
    expect(find("ConfigMap", "malla-identity-trust-roots")?.data).toEqual(roots.data ?? {});
    await fakeInstallation(api);
    const young = issuerOf((await run(runUpgrade, ...here)).documents());
    const rotated = issuerOf((await run(runUpgrade, ...here, "--rotate-issuer")).documents());
    expect(rotated).not.toBe(young ?? "");
    api.remove(SECRETS, "malla-identity-anchor");
    const without = await run(runUpgrade, ...here, "--rotate-issuer");
    expect(without.code).toBe(64);
    expect(without.err).toContain("the anchor's key is not in the cluster");
  });

  test("refuses certificates that running pods would not believe, step by step", async () => {
    const nowMs = Date.now();
    await fakeInstallation(api);
    const roots = () => {
      const object = api.object(MAPS, "malla-identity-trust-roots") as KubeDocument;
      return object.data?.["ca-bundle.crt"] ?? "";
    };
    const pod = (name: string, anchors: string) => {
      const metadata = {
        name,
        namespace: "shop",
        labels: { "linkerd.io/control-plane-ns": "malla" },
        annotations: {
          "linkerd.io/created-by": "malla/injector 1",
          "linkerd.io/trust-root-sha256": sha256Hex(anchors),
        },
      };
      api.put("/api/v1/pods", { metadata });
    };
    const root = await makeRoot({ name: "next", nowMs, lifetimeMs: DAY_MS });
    const issuer = authorityPem(await makeIssuer(root, { name: "i", nowMs, lifetimeMs: DAY_MS }));
    const next = authorityPem(root).certificate;
    const first = roots();
    const upgrade = async (anchors: string, withIssuer: boolean, ...more: string[]) => {
      const done = await run(
        runUpgrade,
        ...[...here, "--identity-trust-anchors-file", file("anchors", anchors)],
        ...withIssuer
          ? [
            ...["--identity-issuer-certificate-file", file("crt", issuer.certificate)],
            ...["--identity-issuer-key-file", file("key", issuer.key)],
          ]
          : [],
        ...more,
      );
      // As kubectl apply would.
      for (const object of done.code === 0 ? done.documents() : []) {
        if (["ConfigMap", "Secret"].includes(object.kind)) putManifest(api, object as KubeManifest);
      }
      return done;
    };
    // Nobody runs yet: whatever belongs together will do.
    expect((await upgrade(next, true, "--ignore-cluster")).code).toBe(0);
    await fakeInstallation(api);
    const present = roots();
    expect(present).not.toBe(first);
    pod("web-1", present);
    const atOnce = await upgrade(next, true);
    expect({ code: atOnce.code, out: atOnce.out }).toEqual({ code: 1, out: "" });
    expect(atOnce.err).toContain("the new trust anchors do not hold the one that the present");
    expect(atOnce.err).toContain("the new issuer is below none of the present trust anchors");
    expect((await upgrade(present + next, false)).code).toBe(0);
    api.put("/api/v1/pods", {
      metadata: {
        name: "gone",
        namespace: "shop",
        labels: { "linkerd.io/control-plane-ns": "malla" },
        annotations: { "linkerd.io/created-by": "malla/injector 1" },
        deletionTimestamp: "2026-01-01T00:00:00Z",
      },
    } as FakeObject);
    const early = await upgrade(present + next, true);
    expect(early.code).toBe(1);
    expect(early.err).not.toContain("gone");
    expect(early.err).toContain("they would not believe it. Restart them first\n  shop/web-1\n");
    pod("web-1", roots());
    expect((await upgrade(present + next, true)).code).toBe(0);
    expect((await upgrade(next, false)).code).toBe(0);
    // And nobody is stopped who knows what he does.
    expect((await upgrade(present, false)).code).toBe(64);
    const { material } = await makeIdentity("other", nowMs);
    const other = [
      ...["--identity-trust-anchors-file", file("anchors", material.trustAnchors)],
      ...["--identity-issuer-certificate-file", file("crt", material.issuerCertificate)],
      ...["--identity-issuer-key-file", file("key", material.issuerKey)],
    ];
    expect((await run(runUpgrade, ...here, ...other)).code).toBe(1);
    expect((await run(runUpgrade, ...here, ...other, "--force")).code).toBe(0);
  });

  test("hands certificates over to whoever writes them from now on", async () => {
    await fakeInstallation(api);
    const name = "identity.issuer.secretName=theirs";
    const given = await run(runUpgrade, ...here, "--identity-external-issuer", "--set", name);
    expect({ code: given.code, err: given.err }).toEqual({ code: 0, err: "" });
    expect(given.find("Secret", "malla-identity-issuer")).toBe(undefined);
    expect(JSON.stringify(given.find("Deployment", "malla-identity"))).toContain(
      '"secretName":"theirs"',
    );
    const roots = await run(runUpgrade, ...here, "--identity-external-ca");
    expect({ code: roots.code, err: roots.err }).toEqual({ code: 0, err: "" });
    expect(roots.find("ConfigMap", "malla-identity-trust-roots")).toBe(undefined);
  });

  test("reads manifests where there is no cluster", async () => {
    const installed = await run(runInstall, "--ignore-cluster", "--set", "controllerReplicas=3");
    const manifests = file("manifests.yaml", installed.out);
    const { out } = await run(runUpgrade, "--from-manifests", manifests);
    expect(out).toBe(installed.out);
  });

  test("what nobody installed, what Helm did, and values of another version", async () => {
    expect((await run(runUpgrade, ...here)).err).toContain("there is no ConfigMap malla-config");
    await fakeInstallation(api);
    const config = api.object(MAPS, "malla-config") as KubeDocument & {
      metadata: { name: string; labels: Record<string, string> };
      data: Record<string, string>;
    };
    const other = structuredClone(config);
    other.data["values"] += "oldFeature: true\n";
    api.put(MAPS, other);
    const noted = await run(runUpgrade, ...here);
    expect([noted.code, noted.err]).toEqual([
      0,
      "note: the value oldFeature is not known any more: left out\n",
    ]);
    other.metadata.labels["app.kubernetes.io/managed-by"] = "Helm";
    api.put(MAPS, other);
    expect((await run(runUpgrade, ...here)).err).toContain("helm upgrade must change it");
    expect((await run(runUninstall, ...here)).err).toContain("helm uninstall must remove it");
    expect((await run(runInstall, ...here)).err).toContain("helm upgrade changes it");
    other.data["values"] = "][";
    api.put(MAPS, other);
    expect((await run(runUpgrade, ...here)).err).toContain("expected YAML under the key");
  });
});

describe("uninstall", () => {
  test("names every object of the installation, and nothing else", async () => {
    const installed = await fakeInstallation(api);
    const foreign = { metadata: { name: "mine", labels: { app: "x" } } };
    api.put(MAPS, foreign);
    const { code, documents } = await run(runUninstall, ...here);
    expect(code).toBe(0);
    const title = ({ kind, metadata }: { kind: string; metadata: { name: string } }) =>
      `${kind} ${metadata.name}`;
    expect(documents().map(title).sort()).toEqual(installed.map(title).sort());
    expect(documents()[0]?.kind).toBe("MutatingWebhookConfiguration");
    expect(documents().at(-1)?.kind).toBe("Namespace");
  });

  test("is refused while pods have proxies, and where nothing is", async () => {
    expect((await run(runUninstall, ...here)).err).toContain("nothing of Malla is in namespace");
    await fakeInstallation(api);
    const pod = {
      metadata: {
        name: "web-1",
        namespace: "shop",
        labels: { "linkerd.io/control-plane-ns": "malla" },
        annotations: { "linkerd.io/created-by": "malla/injector 1" },
      },
    };
    api.put("/api/v1/pods", pod);
    const { code, out, err } = await run(runUninstall, ...here);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("1 pods have proxies of this mesh:\n  shop/web-1\n");
    expect((await run(runUninstall, ...here, "--force")).code).toBe(0);
  });
});
