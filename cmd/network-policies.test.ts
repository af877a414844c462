/**
 * What the control plane's network policies open is what somebody asks for, and nothing more. Who asks is
 * read where it is said: in the environment of proxies, in the webhook's configuration, in the parts'
 * flags and probes, and from what the command line asks of the API server.
 */

import { expect, test } from "bun:test";
import { Fault } from "../lib/base/fault.ts";
import { askViz } from "../lib/cli/cluster/viz-api.ts";
import { controlServices } from "../lib/inject/mod.ts";
import { installObjects, type KubeManifest } from "../lib/install/objects.ts";
import { KubeClient } from "../lib/source/kube/client.ts";
import { valuesOf } from "../test/support/install.ts";

interface Container {
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
}

interface Probe {
  readonly httpGet: { readonly port: string };
}

interface Part {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly container: Container;
}

interface ServiceSpec {
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly targetPort: string;
  }[];
}

interface PolicySpec {
  readonly podSelector: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly ingress: readonly {
    readonly from?: unknown;
    readonly ports: readonly { readonly port: string }[];
  }[];
}

/** What is asked from inside of the pod: `kubectl port-forward` enters its network. */
const FROM_INSIDE = ["malla-viz page"];

const OBJECTS = installObjects(valuesOf("default"), "malla");
const PARTS: readonly Part[] = ofKind("Deployment").map(({ metadata: { name }, spec }) => {
  const { template } = spec as unknown as {
    template: {
      metadata: { labels: Record<string, string> };
      spec: { containers: [Container] };
    };
  };
  return { name, labels: template.metadata.labels, container: template.spec.containers[0] };
});

test("a network policy opens what somebody asks for, and nothing more", async () => {
  const asked = new Set([
    ...probes(),
    ...askedOfControlPlane(),
    ...webhooks(),
    ...askedByParts(),
    await askedThroughApiServer(),
  ]);
  expect(opened()).toEqual([...asked].sort());
});

test("a port that nobody asks for is told why it is there", () => {
  const listening = PARTS.flatMap(({ name, container }) =>
    container.ports.map((port) => `${name} ${port.name}`)
  );
  expect(listening.filter((one) => !opened().includes(one))).toEqual(FROM_INSIDE);
});

/** Ports that the policies open to everybody; each part must have a policy that selects it. */
function opened(): readonly string[] {
  return PARTS.flatMap(({ name, labels }) => {
    const policies = ofKind("NetworkPolicy").map(({ spec }) => spec as unknown as PolicySpec)
      .filter(({ podSelector }) => selects(podSelector.matchLabels, labels));
    expect(policies).toHaveLength(1);
    const rules = policies.flatMap(({ ingress }) => ingress);
    // Nodes and proxies are among those who ask: a rule for some pods would shut them out.
    expect(rules.filter(({ from }) => from !== undefined)).toEqual([]);
    return rules.flatMap(({ ports }) => ports.map(({ port }) => `${name} ${port}`));
  }).sort();
}

/** Kubelets ask for the probes. */
function probes(): readonly string[] {
  return PARTS.flatMap(({ name, container }) =>
    [container.livenessProbe, container.readinessProbe].map(({ httpGet }) =>
      `${name} ${httpGet.port}`
    )
  );
}

/** Proxies and parts ask for certificates, discovery and policies. */
function askedOfControlPlane(): readonly string[] {
  const { identity, destination, policy } = controlServices("malla", "cluster.local", "x");
  return [identity, destination, policy].map(({ address }) => behind(...placeOf(address)));
}

/** API servers ask webhooks. */
function webhooks(): readonly string[] {
  return ofKind("MutatingWebhookConfiguration").flatMap((one) => {
    const { webhooks } = one as unknown as {
      webhooks: { clientConfig: { service: { name: string; port: number } } }[];
    };
    return webhooks.map(({ clientConfig: { service } }) => behind(service.name, service.port));
  });
}

/** Parts ask each other, at the names in their flags. */
function askedByParts(): readonly string[] {
  const words = PARTS.flatMap(({ container }) => container.args);
  const addresses = words.flatMap((word) => /=(\S+\.svc\.\S+\.:\d+)$/.exec(word)?.[1] ?? []);
  expect(addresses).not.toEqual([]);
  return addresses.map((address) => behind(...placeOf(address)));
}

/** The command line asks the dashboard by the API server, which opens a connection to its pod. */
async function askedThroughApiServer(): Promise<string> {
  const asked: string[] = [];
  const client = new KubeClient({
    server: "none",
    target: (path) => {
      asked.push(path);
      return Promise.reject(new Fault("unavailable", "there is no server"));
    },
  });
  await askViz(client, "malla")("/api/version").catch(() => undefined);
  const [, service = "", port = ""] = /\/services\/([^:/]+):([^/]+)\/proxy\//.exec(asked.join()) ??
    [];
  return behind(service, port);
}

function placeOf(address: string): [string, number] {
  const [, service = "", port = ""] = /^([^.]+)\..*:(\d+)$/.exec(address) ?? [];
  return [service, Number(port)];
}

/** The part and the port of its container that a Service's port leads to. */
function behind(service: string, port: number | string): string {
  const found = ofKind("Service").find(({ metadata }) => metadata.name === service);
  const { selector, ports } = found?.["spec"] as unknown as ServiceSpec;
  const { targetPort } = ports.find((one) => one.port === port || one.name === port) ?? {};
  const part = PARTS.find(({ labels }) => selects(selector, labels));
  return `${part?.name} ${targetPort}`;
}

function selects(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

function ofKind(kind: string): readonly KubeManifest[] {
  return OBJECTS.filter((one) => one.kind === kind);
}
