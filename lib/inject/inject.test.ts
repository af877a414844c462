/** Injection against golden files, the decision tables, and the messages for wrong annotations. */

import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import jsonpatch from "fast-json-patch";
import { uninjectWorkload } from "./annotate.ts";
import { injectPod, ownerOf } from "./inject.ts";
import { applyPatch, type JsonPatchOperation } from "./json-patch.ts";
import type { Pod } from "./object.ts";
import { controlServices, type InjectOptions } from "./options.ts";
import { parseRedirect } from "./pod-redirect.ts";
import { DEFAULT_PROXY_CONFIG } from "./proxy-config.ts";
import { injectWorkload } from "./workload.ts";

const FIXTURES = new URL("../../test/fixtures/inject/", import.meta.url).pathname;

const OPTIONS: InjectOptions = {
  version: "1.2.3",
  controlPlaneNamespace: "malla",
  clusterDomain: "cluster.local",
  trustDomain: "cluster.local",
  trustAnchors: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  ...controlServices("malla", "cluster.local", "cluster.local"),
  clusterNetworks: "10.0.0.0/8",
  ipv6: false,
  injectByDefault: true,
  obeyLinkerd: true,
  proxy: DEFAULT_PROXY_CONFIG,
};

const SHOP = {
  name: "shop",
  annotations: {
    "config.linkerd.io/opaque-ports": "3306",
    "config.linkerd.io/proxy-log-level": "warn",
    "config.linkerd.io/proxy-additional-env": '[{"name":"FROM_NAMESPACE","value":"yes"}]',
    "example.com/other": "stays",
  },
};

function pod(annotations: Record<string, string> = {}, spec: Partial<Pod["spec"]> = {}): Pod {
  return {
    metadata: { name: "p", annotations },
    spec: { containers: [{ name: "app" }], ...spec },
  };
}

function place(annotations: Record<string, string> = {}) {
  return { name: "shop", annotations };
}

/** The arguments and environment of the containers that injection adds to a pod. */
function injected(annotations: Record<string, string>, options: InjectOptions = OPTIONS) {
  const object = applyPatch<unknown>(
    pod(annotations),
    injectPod(pod(annotations), place(), options).patch,
  ) as { spec: { initContainers: { args: string[]; env?: { name: string; value: string }[] }[] } };
  const [init, proxy] = object.spec.initContainers;
  const env = Object.fromEntries((proxy?.env ?? []).map(({ name, value }) => [name, value]));
  return { args: init?.args ?? [], env, proxy };
}

describe("golden manifests", () => {
  test.each(["deployment", "pod-plain-sidecar", "cronjob", "traced"])("%s", (name) => {
    const input = Bun.YAML.parse(readFileSync(`${FIXTURES}${name}.yaml`, "utf8"));
    const namespaces = (wanted = "default") =>
      wanted === "shop" ? SHOP : { name: wanted, annotations: {} };
    const { object } = injectWorkload(input, namespaces, OPTIONS);
    const golden = `${FIXTURES}${name}.golden.json`;
    if (process.env["UPDATE_GOLDEN"]) {
      writeFileSync(golden, `${JSON.stringify(object, null, 2)}\n`);
    }
    expect(object).toEqual(JSON.parse(readFileSync(golden, "utf8")));
  });

  test("a second injection skips what the first one made", () => {
    const input = Bun.YAML.parse(readFileSync(`${FIXTURES}deployment.yaml`, "utf8"));
    const first = injectWorkload(input, () => SHOP, OPTIONS);
    const second = injectWorkload(first.object, () => SHOP, OPTIONS);
    expect(second.object).toEqual(first.object);
    expect(second.reports[0]?.reason).toBe("it already has a container linkerd-init");
  });
});

test("the patch means the same to an independent implementation", () => {
  const subject = pod({ "config.linkerd.io/proxy-enable-native-sidecar": "false" }, {
    volumes: [{ name: "v" }],
  });
  const { patch } = injectPod(subject, SHOP, OPTIONS);
  const theirs = jsonpatch.applyPatch(structuredClone(subject), structuredClone(patch) as never);
  expect(theirs.newDocument).toEqual(applyPatch(subject, patch));
});

test("the same pod always gets the same patch, and is not changed itself", () => {
  const subject = pod();
  const before = structuredClone(subject);
  const first = injectPod(subject, SHOP, OPTIONS).patch;
  expect(injectPod(subject, SHOP, OPTIONS).patch).toEqual(first as JsonPatchOperation[]);
  expect(subject).toEqual(before);
});

describe("who decides", () => {
  const asked = { ...OPTIONS, injectByDefault: false };
  const rows: [string, Record<string, string>, Record<string, string>, InjectOptions, boolean][] = [
    ["nothing said, by default", {}, {}, OPTIONS, true],
    ["nothing said, not by default", {}, {}, asked, false],
    ["the pod asks", { "malla.dev/inject": "enabled" }, {}, asked, true],
    ["the pod asks in Linkerd's words", { "linkerd.io/inject": "enabled" }, {}, asked, true],
    ["those words are not obeyed", { "linkerd.io/inject": "enabled" }, {}, {
      ...asked,
      obeyLinkerd: false,
    }, false],
    ["the namespace asks", {}, { "malla.dev/inject": "enabled" }, asked, true],
    [
      "the pod is against",
      { "linkerd.io/inject": "disabled" },
      {
        "malla.dev/inject": "enabled",
      },
      asked,
      false,
    ],
    [
      "our word wins over Linkerd's",
      {
        "linkerd.io/inject": "disabled",
        "malla.dev/inject": "enabled",
      },
      {},
      asked,
      true,
    ],
  ];
  test.each(rows)("%s", (_title, ofPod, ofNamespace, options, expected) => {
    const { patch, skipped } = injectPod(pod(ofPod), place(ofNamespace), options);
    expect(skipped === undefined).toBe(expected);
    expect(patch.length > 0).toBe(expected);
  });

  test("a pod in the host's network is skipped", () => {
    const { skipped } = injectPod(pod({}, { hostNetwork: true }), place(), OPTIONS);
    expect(skipped).toBe("hostNetwork is on: there is no pod network");
  });

  test.each([
    ["linkerd-proxy", "it already has a container linkerd-proxy"],
    ["istio-proxy", "it already has a container istio-proxy, of the mesh Istio"],
  ])("a pod with %s is skipped, although it asked", (name, reason) => {
    const subject = pod({ "malla.dev/inject": "enabled" }, { containers: [{ name }] });
    expect(injectPod(subject, place(), OPTIONS)).toMatchObject({ skipped: reason, asked: true });
  });

  const foreign: [string, Record<string, string>, Record<string, string>, string | undefined][] = [
    ["a namespace of Istio's", {}, { "istio-injection": "enabled" }, "istio-injection: enabled on"],
    ["a revision of Istio's", {}, { "istio.io/rev": "canary" }, "istio.io/rev: canary on the name"],
    ["Istio without sidecars", {}, { "istio.io/dataplane-mode": "ambient" }, "a proxy of Istio"],
    ["a pod of Istio's", { "sidecar.istio.io/inject": "true" }, {}, "on the pod p asks for"],
    [
      "a pod that refuses Istio",
      { "sidecar.istio.io/inject": "false" },
      { "istio-injection": "enabled" },
      undefined,
    ],
    ["a namespace without Istio", {}, { "istio-injection": "disabled" }, undefined],
    ["Kuma", {}, { "kuma.io/sidecar-injection": "enabled" }, "a proxy of Kuma"],
    ["Consul", { "consul.hashicorp.com/connect-inject": "true" }, {}, "a proxy of Consul"],
  ];
  test.each(foreign)("%s", (_title, ofPod, labels, reason) => {
    const subject = pod({ "malla.dev/inject": "enabled" });
    const metadata = { ...subject.metadata, labels: ofPod };
    const { skipped } = injectPod({ ...subject, metadata }, { ...place(), labels }, OPTIONS);
    if (reason === undefined) expect(skipped).toBe(undefined);
    else expect(skipped).toContain(reason);
  });

  test("what stays outside of the mesh, and what clashes with the proxy, is told", () => {
    const { warnings } = injectPod(
      pod({}, {
        containers: [
          { name: "dns", ports: [{ containerPort: 53, protocol: "UDP" }] },
          { name: "admin", ports: [{ containerPort: 4191 }] },
          { name: "sly", securityContext: { runAsUser: 2102 } },
        ],
      }),
      place(),
      OPTIONS,
    );
    expect(warnings).toEqual([
      "UDP port 53 of container dns stays outside the mesh: only TCP is carried",
      "port 4191 is the proxy's own: whoever listens there second does not start",
      "container sly runs as user 2102, the proxy's: what it sends stays outside the mesh",
    ]);
  });

  test.each([
    ["enable-external-profiles", "names outside of the cluster have no profile"],
    ["proxy-metrics-hostname-labels", "metrics have no label of the host"],
    ["enable-gateway", "what other clusters send is refused"],
  ])("%s is told to have no effect", (name, meaning) => {
    const told = (value: string) =>
      injectPod(pod({ [`config.linkerd.io/${name}`]: value }), place(), OPTIONS).warnings;
    expect(told("false")).toEqual([]);
    expect(told("true")).toEqual([`${name} has no effect yet: ${meaning}`]);
  });

  test("any other word is an error", () => {
    expect(() => injectPod(pod({ "linkerd.io/inject": "yes" }), place(), OPTIONS)).toThrow(
      'Cannot use annotation linkerd.io/inject of pod p: expected one of enabled, disabled, ingress, got "yes"',
    );
  });
});

describe("annotations", () => {
  test("the mark takes the place of the uid", () => {
    const { args, env } = injected({}, { ...OPTIONS, mark: 77 });
    expect(args).toContain("--proxy-mark=77");
    expect(args.join(" ")).not.toContain("--proxy-uid");
    expect(env["MALLA_SOCKET_MARK"]).toBe("77");
  });

  test("ports, policy and timeouts reach init and proxy", () => {
    const { args, env } = injected({
      "config.linkerd.io/inbound-port": "5143",
      "config.linkerd.io/skip-outbound-ports": "25, 3000-3010",
      "config.linkerd.io/default-inbound-policy": "deny",
      "config.linkerd.io/proxy-outbound-connect-timeout": "7s",
      "config.linkerd.io/opaque-ports": "80",
      "config.malla.dev/proxy-inbound-concurrency-limit": "10000",
    });
    expect(args).toContain("--incoming-proxy-port=5143");
    expect(args).toContain("--outbound-ports-to-ignore=25,3000-3010");
    expect(env["LINKERD2_PROXY_INBOUND_LISTEN_ADDR"]).toBe("0.0.0.0:5143");
    expect(env["LINKERD2_PROXY_INBOUND_DEFAULT_POLICY"]).toBe("deny");
    expect(env["LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT"]).toBe("7s");
    expect(env["LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION"]).toBe("80");
    expect(env["MALLA_INBOUND_CONCURRENCY_LIMIT"]).toBe("10000");
  });

  test("the pod's word wins over the namespace's, variables are merged by name", () => {
    const env = (list: Record<string, string>) => ({
      "config.linkerd.io/proxy-additional-env": JSON.stringify(
        Object.entries(list).map(([name, value]) => ({ name, value })),
      ),
    });
    const { patch } = injectPod(
      pod({ ...env({ A: "pod" }), "config.linkerd.io/proxy-log-level": "debug" }),
      place({ ...env({ A: "ns", B: "ns" }), "config.linkerd.io/proxy-log-level": "error" }),
      OPTIONS,
    );
    const text = JSON.stringify(patch);
    expect(text).toContain('{"name":"A","value":"pod"}');
    expect(text).toContain('{"name":"B","value":"ns"}');
    expect(text).toContain('{"name":"LINKERD2_PROXY_LOG","value":"debug"}');
  });

  test("a variable from elsewhere is passed on whole, and takes the place of our own", () => {
    const list = [
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
      { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "a", optional: true } } },
      { name: "LINKERD2_PROXY_LOG", valueFrom: { configMapKeyRef: { name: "logs", key: "b" } } },
      { name: "EMPTY" },
    ];
    const { proxy } = injected({
      "config.linkerd.io/proxy-additional-env": JSON.stringify(list),
    });
    expect(proxy?.env?.slice(-list.length) as unknown).toEqual(list);
    expect(proxy?.env?.filter(({ name }) => name === "LINKERD2_PROXY_LOG")).toHaveLength(1);
  });

  test("an attribute of traces wins over the label of the same service", () => {
    const collector = { name: "LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR", value: "collector:4317" };
    const attributes = (labels: Record<string, string>, annotations: Record<string, string>) => {
      const subject = pod({
        "config.linkerd.io/proxy-additional-env": JSON.stringify([collector]),
        ...annotations,
      });
      const metadata = { ...subject.metadata, labels };
      const { patch } = injectPod({ ...subject, metadata }, place(), OPTIONS);
      return /"LINKERD2_PROXY_TRACE_EXTRA_ATTRIBUTES","value":"([^"]*)"/.exec(
        JSON.stringify(patch),
      )?.[1]?.split("\\n").at(-1);
    };
    const name = { "app.kubernetes.io/name": "web" };
    expect(attributes({}, {})).toBe("k8s.pod.uid=$(_pod_uid)");
    expect(attributes(name, {})).toBe("service.name=web");
    expect(attributes(name, { "resource.opentelemetry.io/service.name": "shop" })).toBe(
      "service.name=shop",
    );
    expect(JSON.stringify(injectPod(pod(), place(), OPTIONS).patch)).not.toContain("_TRACE_");
  });

  test("image and version", () => {
    const { proxy } = injected({
      "config.linkerd.io/proxy-image": "registry:5000/malla",
      "config.linkerd.io/proxy-version": "v9",
    });
    expect(proxy).toHaveProperty("image", "registry:5000/malla:v9");
  });

  test("Malla's own spelling wins, and the pod says in the contract's what it was given", () => {
    const subject = pod({
      "config.malla.dev/opaque-ports": "web",
      "config.linkerd.io/opaque-ports": "1",
    }, { containers: [{ name: "app", ports: [{ name: "web", containerPort: 8080 }] }] });
    const object = applyPatch(subject, injectPod(subject, place(), OPTIONS).patch);
    expect(object.metadata?.annotations?.["config.linkerd.io/opaque-ports"]).toBe("web");
    expect(JSON.stringify(object)).toContain('DISABLE_PROTOCOL_DETECTION","value":"8080"');
  });

  test("a gateway and an ingress are told to the proxy", () => {
    const { env } = injected({
      "config.linkerd.io/enable-gateway": "true",
      "malla.dev/inject": "ingress",
    });
    expect(env["LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES"]).toBe("svc.cluster.local.");
    expect(env["LINKERD2_PROXY_INGRESS_MODE"]).toBe("true");
  });

  test("a debug container needs an image, and comes last", () => {
    const debug = { "config.linkerd.io/enable-debug-sidecar": "true" };
    expect(() => injectPod(pod(debug), place(), OPTIONS)).toThrow(
      "Cannot add a debug container to pod p: no image is set",
    );
    const subject = pod({
      ...debug,
      "config.linkerd.io/debug-image": "tools:1",
      "config.linkerd.io/debug-image-version": "2",
    });
    const { spec } = applyPatch(subject, injectPod(subject, place(), OPTIONS).patch);
    expect(spec.containers.at(-1)).toMatchObject({ name: "linkerd-debug", image: "tools:2" });
  });

  const wrong: [string, string, string][] = [
    ["proxy-uid", "0", "a whole number from 1 to 4294967294"],
    ["inbound-port", "70000", "a port from 1 to 65535"],
    ["skip-inbound-ports", "10-5", "a list separated by commas, each a port or a range such as 80"],
    ["skip-subnets", "10.0.0.0/33", "a list separated by commas, each a network such as"],
    ["proxy-cpu-limit", "many", "a quantity such as 100m, 2 or 250Mi"],
    ["proxy-log-format", "xml", "one of plain, json"],
    ["default-inbound-policy", "open", "one of all-unauthenticated, all-authenticated"],
    ["proxy-additional-env", "{}", "a JSON list of variables"],
    ["proxy-additional-env", '[{"value":"x"}]', "a JSON list of variables, each with a name"],
    ["proxy-additional-env", '[{"name":"A","value":1}]', "a JSON list of variables"],
    ["proxy-additional-env", '[{"name":"A","valuefrom":{}}]', "a JSON list of variables"],
    ["proxy-additional-env", '[{"name":"A","valueFrom":{}}]', "a JSON list of variables"],
    [
      "proxy-additional-env",
      '[{"name":"A","value":"x","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}]',
      "a JSON list of variables",
    ],
    ["proxy-await", "true", "one of enabled, disabled"],
    ["proxy-enable-native-sidecar", "maybe", "true or false"],
    ["enable-debug-sidecar", "on", "true or false"],
    ["debug-image-pull-policy", "Sometimes", "one of Always, IfNotPresent, Never"],
    ["enable-gateway", "", "true or false"],
    ["proxy-outbound-connect-timeout", "100", "a duration with unit"],
    ["close-wait-timeout", "1d", "a duration in whole seconds, minutes or hours"],
    ...["0", "10001", "1.5", "auto", ""].map((value): [string, string, string] => [
      "proxy-inbound-concurrency-limit",
      value,
      "off, adaptive, or a whole number from 1 to 10000",
    ]),
  ];
  test.each(wrong)("%s: %s is refused", (name, value, expected) => {
    const subject = pod({ [`config.linkerd.io/${name}`]: value });
    const message =
      `Cannot use annotation config.linkerd.io/${name} of pod p: expected ${expected}`;
    expect(() => injectPod(subject, place(), OPTIONS)).toThrow(message);
  });
});

test("the owner of a Deployment's pod is the Deployment", () => {
  const reference = { kind: "ReplicaSet", name: "web-5f6d", controller: true };
  const metadata = { labels: { "pod-template-hash": "5f6d" }, ownerReferences: [reference] };
  expect(ownerOf({ ...pod(), metadata })).toEqual({ kind: "Deployment", name: "web" });
  const alone = { ownerReferences: [{ kind: "ReplicaSet", name: "lone" }] };
  expect(ownerOf({ ...pod(), metadata: alone })).toEqual({ kind: "ReplicaSet", name: "lone" });
});

describe("manifests", () => {
  const any = (name = "default") => ({ name, annotations: {} });

  test("a Service takes over its namespace's opaque ports", () => {
    const service = { kind: "Service", metadata: { name: "db", namespace: "shop" }, spec: {} };
    const { object, reports } = injectWorkload(service, () => SHOP, OPTIONS);
    expect(object).toEqual({
      ...service,
      metadata: { ...service.metadata, annotations: { "config.linkerd.io/opaque-ports": "3306" } },
    });
    expect(reports[0]?.outcome).toBe("injected");
    const own = { "config.linkerd.io/opaque-ports": "" };
    const stated = { ...service, metadata: { ...service.metadata, annotations: own } };
    expect(injectWorkload(stated, () => SHOP, OPTIONS).object).toEqual(stated);
  });

  test("a list is injected item by item", () => {
    const items = [pod(), { kind: "ConfigMap", metadata: { name: "c" } }]
      .map((item) => ({ kind: "Pod", ...item }));
    const { reports } = injectWorkload({ kind: "List", items }, any, OPTIONS);
    expect(reports.map(({ object, outcome }) => `${object} ${outcome}`)).toEqual([
      "pod/p injected",
      "configmap/c unchanged",
    ]);
  });

  const broken: [unknown, string][] = [
    [{ kind: "Deployment", metadata: { name: "d" }, spec: {} }, "deployment/d: Cannot read spec"],
    [{ kind: "Pod", metadata: { name: "x" }, spec: { containers: {} } }, "expected a list"],
    [
      { kind: "Pod", metadata: { name: "x", annotations: { a: true } }, spec: {} },
      'metadata.annotations["a"]: expected a string (put it in quotes), got true',
    ],
    ["text", "expected a Kubernetes object with a kind"],
  ];
  test.each(broken)("%p is refused", (object, message) => {
    expect(() => injectWorkload(object, any, OPTIONS)).toThrow(message);
  });
});

describe("with a CNI plugin", () => {
  const CNI: InjectOptions = { ...OPTIONS, cni: true };

  function cniPod(annotations: Record<string, string> = {}, options: InjectOptions = CNI) {
    const patch = injectPod(pod(annotations), place(), options).patch;
    return applyPatch<unknown>(pod(annotations), patch) as {
      metadata: { annotations: Record<string, string> };
      spec: {
        initContainers: {
          name: string;
          args: string[];
          securityContext: Record<string, unknown>;
        }[];
        volumes: { name: string }[];
      };
    };
  }

  test("a pod has what looks for the redirect in the place of what installs it", () => {
    const { metadata, spec } = cniPod({ "config.linkerd.io/skip-outbound-ports": "25" });
    const [validator] = spec.initContainers;
    expect(spec.initContainers.map(({ name }) => name)).toEqual([
      ...["linkerd-network-validator", "linkerd-proxy"],
    ]);
    expect(validator?.args).toEqual([
      ...["network-validator", "--listen-addr=0.0.0.0:4140"],
      ...["--connect-addr=1.1.1.1:20001", "--timeout=10s"],
    ]);
    expect(parseRedirect(metadata.annotations["malla.dev/redirect"] ?? "")).toMatchObject({
      outboundPort: 4140,
      outboundSkip: [{ first: 25, last: 25 }],
      uid: 2102,
    });
    expect(spec.volumes.map(({ name }) => name)).not.toContain("linkerd-proxy-init-xtables-lock");
    expect(JSON.stringify(spec)).not.toMatch(/NET_ADMIN|NET_RAW|"privileged":true/);
    for (const { securityContext } of spec.initContainers) {
      expect(securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
    }
  });

  test("the validator connects where connections are redirected, and not as the proxy", () => {
    const argsOf = (annotations: Record<string, string>, options = CNI) =>
      cniPod(annotations, options).spec.initContainers[0]?.args.slice(1, 3);
    expect(argsOf({}, { ...CNI, ipv6: true })).toEqual([
      ...["--listen-addr=[::]:4140", "--connect-addr=1.1.1.1:20001,[fd00::1]:20001"],
    ]);
    expect(argsOf({ "config.linkerd.io/skip-subnets": "fd00::/8" }, { ...CNI, ipv6: true })?.[1])
      .toBe("--connect-addr=1.1.1.1:20001");
    expect(argsOf({ "config.linkerd.io/skip-outbound-ports": "20001" })?.[1])
      .toBe("--connect-addr=1.1.1.1:20002");
    const { spec } = cniPod({ "config.linkerd.io/skip-outbound-ports": "1-65535" });
    expect(spec.initContainers.map(({ name }) => name)).toEqual(["linkerd-proxy"]);
    const idOf = (uid: string) =>
      cniPod({ "config.linkerd.io/proxy-uid": uid }).spec.initContainers[0]?.securityContext;
    expect(idOf("2000")).toMatchObject({ runAsUser: 65_534, runAsGroup: 65_534 });
    expect(idOf("65534")).toMatchObject({ runAsUser: 65_533, runAsGroup: 65_533 });
  });

  test("an ordinary sidecar's validator is the last init container", () => {
    const spec = {
      containers: [{ name: "app" }],
      initContainers: [{ name: "first" }],
    };
    const options = { ...CNI, proxy: { ...DEFAULT_PROXY_CONFIG, nativeSidecar: false } };
    const { patch } = injectPod(pod({}, spec), place(), options);
    const object = applyPatch(pod({}, spec), patch);
    expect(object.spec.initContainers?.map(({ name }) => name)).toEqual([
      ...["first", "linkerd-network-validator"],
    ]);
  });

  test("is taken out of manifests again", () => {
    const input = { kind: "Pod", apiVersion: "v1", ...pod() };
    const namespaces = (name = "default") => ({ name, annotations: {} });
    const { object } = injectWorkload(input, namespaces, CNI);
    expect(JSON.stringify(object)).toContain("linkerd-network-validator");
    const clean = uninjectWorkload(object, namespaces).object;
    expect(JSON.stringify(clean)).not.toMatch(/linkerd|malla/);
  });
});
