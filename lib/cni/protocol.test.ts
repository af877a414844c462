/** The Container Network Interface as the plugin reads and answers it. */

import { describe, expect, test } from "bun:test";
import {
  CniError,
  errorAnswer,
  readRequest,
  resultAnswer,
  versionAnswer,
  versionOf,
} from "./protocol.ts";

const CONFIGURATION = {
  cniVersion: "1.0.0",
  name: "pods",
  type: "malla-cni",
  kubeconfig: "/etc/cni/net.d/login",
  excludeNamespaces: ["kube-system"],
  prevResult: { ips: [{ address: "10.1.2.3/24" }], dns: {} },
};

function refusal(env: Record<string, string>, input: string): { code: number; text: string } {
  try {
    readRequest(env, input);
  } catch (thrown) {
    if (thrown instanceof CniError) return { code: thrown.code, text: thrown.message };
    throw thrown;
  }
  throw new Error("it was read");
}

describe("a call", () => {
  const env = {
    CNI_COMMAND: "ADD",
    CNI_NETNS: "/var/run/netns/x",
    CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web=1;odd;=2",
  };

  test("is read with its arguments", () => {
    const { command, namespaceFile, args, configuration } = readRequest(
      env,
      JSON.stringify(CONFIGURATION),
    );
    expect({ command, namespaceFile }).toEqual({
      command: "ADD",
      namespaceFile: "/var/run/netns/x",
    });
    expect([...args]).toEqual([
      ["IgnoreUnknown", "1"],
      ["K8S_POD_NAMESPACE", "shop"],
      ["K8S_POD_NAME", "web=1"],
    ]);
    const { cniVersion, kubeconfig, excludeNamespaces, prevResult } = CONFIGURATION;
    expect(configuration).toEqual({ cniVersion, kubeconfig, excludeNamespaces, prevResult });
  });

  test.each(["0.3.1", "0.4.0", "1.0.0", "1.1.0"])("of version %s is known", (cniVersion) => {
    const input = JSON.stringify({ ...CONFIGURATION, cniVersion });
    expect(readRequest(env, input).configuration.cniVersion).toBe(cniVersion);
    expect(versionOf(input)).toBe(cniVersion);
  });

  const inputs: [string, string, number, RegExp][] = [
    ["no JSON", "{", 6, /expected JSON/],
    ["no object", "[]", 6, /expected an object/],
    ["nothing", "", 6, /expected JSON/],
    ["an old version", JSON.stringify({ ...CONFIGURATION, cniVersion: "0.2.0" }), 1, /"0\.2\.0"/],
    ["no version", JSON.stringify({ ...CONFIGURATION, cniVersion: undefined }), 1, /undefined/],
    ["no login", JSON.stringify({ ...CONFIGURATION, kubeconfig: "" }), 7, /kubeconfig/],
    ["odd namespaces", JSON.stringify({ ...CONFIGURATION, excludeNamespaces: [1] }), 7, /exclude/],
    ["an odd result", JSON.stringify({ ...CONFIGURATION, prevResult: [] }), 7, /prevResult/],
  ];
  test.each(inputs)("with %s is refused", (_title, input, code, text) => {
    const found = refusal(env, input);
    expect(found.code).toBe(code);
    expect(found.text).toMatch(text);
  });

  test("without a command or a network is refused", () => {
    const input = JSON.stringify(CONFIGURATION);
    expect(refusal({ ...env, CNI_COMMAND: "UPDATE" }, input)).toMatchObject({ code: 4 });
    expect(refusal({ ...env, CNI_NETNS: "" }, input).text).toContain("CNI_NETNS is empty");
    expect(readRequest({ CNI_COMMAND: "DEL" }, input).namespaceFile).toBe("");
  });
});

describe("an answer", () => {
  test("passes on what was there, in the version that was asked in", () => {
    const { cniVersion, kubeconfig, excludeNamespaces, prevResult } = CONFIGURATION;
    const before = { ...prevResult, cniVersion: "0.4.0" };
    const text = resultAnswer({ cniVersion, kubeconfig, excludeNamespaces, prevResult: before });
    expect(JSON.parse(text)).toEqual({ ...prevResult, cniVersion });
  });

  test("to VERSION and after a failure has the specification's fields", () => {
    expect(JSON.parse(versionAnswer())).toEqual({
      cniVersion: "1.1.0",
      supportedVersions: ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    });
    expect(JSON.parse(errorAnswer(new CniError(11, "later"), "0.4.0"))).toEqual({
      cniVersion: "0.4.0",
      code: 11,
      msg: "later",
    });
    expect([versionOf("{"), versionOf("null"), versionOf('{"cniVersion":"9"}')])
      .toEqual(["1.1.0", "1.1.0", "1.1.0"]);
  });
});
