/** The plugin's work: which pods it redirects, and what it says when it cannot. */

import { describe, expect, test } from "bun:test";
import { Fault } from "../base/fault.ts";
import { formatRedirect, podRedirect, REDIRECT_ANNOTATION } from "../inject/pod-redirect.ts";
import { DEFAULT_PROXY_CONFIG } from "../inject/proxy-config.ts";
import type { AppliedRules } from "../inject/redirect-apply.ts";
import type { KubeObject } from "../source/kube/client.ts";
import { type PluginWorld, runPlugin } from "./plugin.ts";

const REDIRECT = podRedirect(DEFAULT_PROXY_CONFIG, true);
const ANNOTATIONS = { [REDIRECT_ANNOTATION]: formatRedirect(REDIRECT) };
const RESULT = { ips: [{ address: "10.1.2.3/24" }] };

function pod(
  spec: object = { initContainers: [{ name: "linkerd-proxy" }], containers: [{ name: "app" }] },
  annotations: Record<string, string> = ANNOTATIONS,
): KubeObject {
  return { metadata: { name: "web", namespace: "shop", uid: "u1", annotations }, spec };
}

const APPLIED: AppliedRules = { version: 4, program: "iptables", outcome: "applied", rules: "" };

interface Call {
  readonly command?: string;
  readonly args?: string;
  readonly result?: object | null;
  readonly world?: Partial<PluginWorld>;
  readonly found?: KubeObject | undefined;
}

/** Calls the plugin as a runtime does; tells what it answered and what it did. */
async function call({ command = "ADD", args, result = RESULT, world = {}, ...rest }: Call) {
  const done: string[] = [];
  const env = {
    CNI_COMMAND: command,
    CNI_NETNS: "/netns",
    CNI_ARGS: args ?? "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u1",
  };
  const input = JSON.stringify({
    cniVersion: "1.0.0",
    kubeconfig: "/login",
    excludeNamespaces: ["kube-system"],
    ...(result === null ? {} : { prevResult: result }),
  });
  const outcome = await runPlugin(env, input, {
    findPod(kubeconfig, namespace, name) {
      done.push(`find ${namespace}/${name} by ${kubeconfig}`);
      return Promise.resolve("found" in rest ? rest.found : pod());
    },
    redirect(file, { outboundPort }) {
      done.push(`redirect ${file} to ${outboundPort}`);
      return Promise.resolve([APPLIED]);
    },
    isRedirected: () => Promise.resolve(true),
    ...world,
  });
  const answer = outcome.output === "" ? undefined : JSON.parse(outcome.output);
  return { code: outcome.code, answer, done };
}

describe("ADD", () => {
  test("redirects a meshed pod and passes on what was there", async () => {
    expect(await call({})).toEqual({
      code: 0,
      answer: { ...RESULT, cniVersion: "1.0.0" },
      done: ["find shop/web by /login", "redirect /netns to 4140"],
    });
  });

  const proxy = { name: "linkerd-proxy" };
  const others: [string, Call][] = [
    ["that has no proxy", { found: pod({ containers: [{ name: "app" }] }) }],
    [
      "that installs its redirect itself",
      { found: pod({ initContainers: [{ name: "linkerd-init" }, proxy] }) },
    ],
    ["of which the injector said nothing", { found: pod({ containers: [proxy] }, {}) }],
    ["in its node's network", { found: pod({ hostNetwork: true, containers: [proxy] }) }],
    ["without a spec", { found: pod([]) }],
    [
      "that a file of its node describes",
      {
        found: pod({ containers: [proxy] }, { ...ANNOTATIONS, "kubernetes.io/config.mirror": "" }),
      },
    ],
    ["that is gone", { found: undefined }],
  ];
  test.each(others)("leaves a pod alone %s", async (_title, wish) => {
    const { code, answer, done } = await call(wish);
    expect({ code, answer }).toEqual({ code: 0, answer: { ...RESULT, cniVersion: "1.0.0" } });
    expect(done).toEqual(["find shop/web by /login"]);
  });

  test("asks nobody about containers of others, and of excluded namespaces", async () => {
    for (const args of ["", "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns", "K8S_POD_NAME=x"]) {
      expect(await call({ args })).toMatchObject({ code: 0, done: [] });
    }
  });

  const later: [string, Call, RegExp][] = [
    [
      "the cluster does not answer",
      { world: { findPod: () => Promise.reject(new Fault("unavailable", "it is silent")) } },
      /^Cannot find out whether pod shop\/web is meshed: it is silent$/,
    ],
    [
      "another pod has the name by now",
      { args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u0" },
      /another one by now/,
    ],
    [
      "something happens that nobody thought of",
      { world: { redirect: () => Promise.reject(new Error("odd")) } },
      /^odd$/,
    ],
  ];
  test.each(later)("is to be tried again when %s", async (_title, wish, message) => {
    const { code, answer } = await call(wish);
    expect({ code, told: answer.code }).toEqual({ code: 1, told: 11 });
    expect(answer.msg).toMatch(message);
  });

  const refused: [string, Call, RegExp][] = [
    [
      "the node has no iptables",
      {
        world: {
          redirect: () => Promise.reject(new Fault("failed_precondition", "no iptables here")),
        },
      },
      /^Cannot redirect the connections of pod shop\/web on its node: no iptables here$/,
    ],
    [
      "the annotation is wrong",
      { found: pod({ containers: [proxy] }, { [REDIRECT_ANNOTATION]: "{}" }) },
      /^Pod shop\/web: Cannot read annotation malla\.dev\/redirect: /,
    ],
    [
      "the pod has IPv6 that cannot be redirected",
      {
        result: { ips: [{ address: "fd00::3/64" }] },
        world: {
          redirect: () =>
            Promise.resolve([{ ...APPLIED, version: 6, outcome: "skipped", reason: "no NAT" }]),
        },
      },
      /^Cannot redirect IPv6 of pod shop\/web: no NAT$/,
    ],
  ];
  test.each(refused)("fails when %s", async (_title, wish, message) => {
    const { code, answer } = await call(wish);
    expect({ code, told: answer.code }).toEqual({ code: 1, told: 100 });
    expect(answer.msg).toMatch(message);
  });

  test("does not come first in a chain", async () => {
    expect(await call({ result: null })).toMatchObject({ code: 1, answer: { code: 7 }, done: [] });
  });
});

test("DEL, GC and VERSION ask nobody", async () => {
  for (const command of ["DEL", "GC"]) {
    expect(await call({ command })).toEqual({ code: 0, answer: undefined, done: [] });
  }
  expect(await call({ command: "VERSION" })).toMatchObject({
    code: 0,
    answer: { supportedVersions: ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] },
  });
});

test("CHECK looks for the redirect of meshed pods", async () => {
  const world = { isRedirected: () => Promise.resolve(false) };
  expect(await call({ command: "CHECK" })).toMatchObject({ code: 0, answer: undefined });
  expect(await call({ command: "CHECK", world })).toMatchObject({ code: 1, answer: { code: 100 } });
  expect(await call({ command: "CHECK", world, found: undefined })).toMatchObject({ code: 0 });
});

test("STATUS tells whether pods could be set up", async () => {
  const silent = { findPod: () => Promise.reject(new Fault("unavailable", "it is silent")) };
  expect(await call({ command: "STATUS" })).toMatchObject({ code: 0, answer: undefined });
  expect(await call({ command: "STATUS", world: silent })).toMatchObject({
    code: 1,
    answer: { code: 50, msg: "it is silent" },
  });
});
