/** `malla install` and its neighbours as a process without a cluster: pipes, files and exit codes. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { MALLA } from "../support/malla.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "malla-install-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the executable where no kubeconfig is. */
function malla(args: readonly string[], input = "") {
  const done = Bun.spawnSync([...MALLA, ...args], {
    stdin: new TextEncoder().encode(input),
    env: { PATH: process.env["PATH"] ?? "", HOME: folder },
  });
  const [stdout, stderr] = [done.stdout.toString(), done.stderr.toString()];
  return { code: done.exitCode, stdout, stderr };
}

function kindsOf(text: string): string[] {
  return parseAllDocuments(text).map((document) => document.toJS().kind as string);
}

test("prints an installation, and an upgrade of it by a pipe changes nothing", () => {
  const installed = malla(["install", "--ignore-cluster", "--ha"]);
  expect(installed).toMatchObject({ code: 0, stderr: "" });
  const kinds = kindsOf(installed.stdout);
  expect(kinds[0]).toBe("Namespace");
  expect(kinds.filter((kind) => kind === "Deployment")).toHaveLength(4);
  const upgraded = malla(["upgrade", "--from-manifests", "-"], installed.stdout);
  expect(upgraded).toEqual(installed);
  const changed = malla(
    ["upgrade", "--from-manifests", "-", "--set", "viz.enabled=false"],
    installed.stdout,
  );
  expect(kindsOf(changed.stdout).filter((kind) => kind === "Deployment")).toHaveLength(3);
});

test("reads values from standard input and certificates from files", () => {
  const identity = malla(["install", "--identity-values"]).stdout;
  writeFileSync(`${folder}/identity.yaml`, identity);
  const { code, stdout } = malla(
    ["install", "--ignore-cluster", "-f", "-", "-f", `${folder}/identity.yaml`, "-o", "json"],
    "controllerReplicas: 2\n",
  );
  expect(code).toBe(0);
  const { items } = JSON.parse(stdout) as {
    items: { kind: string; metadata: { name: string }; spec?: { replicas?: number } }[];
  };
  const replicas = items.filter(({ kind }) => kind === "Deployment")
    .map(({ metadata, spec }) => `${metadata.name} ${spec?.replicas}`);
  expect(replicas).toContain("malla-controller 2");
  expect(items.map(({ metadata }) => metadata.name)).not.toContain("malla-identity-anchor");
});

test.each<[string[], number, string]>([
  [["install"], 1, "Cannot find a cluster: there is neither --kubeconfig, nor $KUBECONFIG"],
  [["upgrade"], 1, "Cannot find a cluster"],
  [["uninstall"], 1, "Cannot find a cluster"],
  [["check", "--pre"], 1, "Cannot find a cluster"],
  [["install", "--kubeconfig", "/nowhere"], 64, 'Cannot read the kubeconfig "/nowhere"'],
  [["install", "--ignore-cluster", "--set", "x=1"], 64, 'Unknown value "x" of --set'],
  [["upgrade", "--from-manifests", "-"], 1, "there is no ConfigMap malla-config in -"],
])("%p ends with %d", (args, code, message) => {
  const ended = malla(args);
  expect([ended.code, ended.stdout]).toEqual([code, ""]);
  expect(ended.stderr).toContain(message);
});
