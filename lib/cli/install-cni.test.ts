/** `malla install-cni`: what it prints, and what it refuses. */

import { expect, test } from "bun:test";
import { parseAllDocuments } from "yaml";
import { textTerminal } from "../../test/support/terminal.ts";
import { runInstallCni } from "./install-cni.ts";

async function run(...words: string[]) {
  const { terminal, out, err } = textTerminal();
  const code = await runInstallCni(words, terminal);
  return { code, out: out(), err: err() };
}

test("prints objects that a second call prints again, without a cluster", async () => {
  const { code, out, err } = await run("--kubeconfig", "/nowhere");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const kinds = parseAllDocuments(out).map((one) => (one.toJS() as { kind: string }).kind);
  expect(kinds).toEqual([
    ...["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"],
  ]);
  expect((await run()).out).toBe(out);
});

test("takes Linkerd's flags, and JSON", async () => {
  const { code, out } = await run(
    ...["--dest-cni-net-dir", "/var/net", "--dest-cni-bin-dir=/var/bin", "-o", "json"],
    ...["--cni-log-level=debug", "--priority-class-name=high", "--cni-namespace", "nodes"],
    ...["--registry", "registry.example/mesh", "--set", "repairController.enabled=false"],
  );
  expect(code).toBe(0);
  const { items } = JSON.parse(out) as { items: { metadata: { namespace?: string } }[] };
  expect(items.at(-1)?.metadata.namespace).toBe("nodes");
  for (
    const text of [
      "--dest-cni-net-dir=/var/net",
      "--dest-cni-bin-dir=/var/bin",
      "--log-level=debug",
      "--repair=false",
      "registry.example/mesh/malla:",
      '"priorityClassName":"high"',
    ]
  ) expect(JSON.stringify(items)).toContain(text);
});

test.each([
  [["--dest-cni-net-dir", "etc/cni"], /destCNINetDir.*expected the absolute path of a folder/],
  [["--cni-log-level", "loud"], /logLevel.*expected one of silent/],
  [["--set", "nonsense=1"], /nonsense/],
  [["--dest-cni-bin-dir", "/etc/cni/net.d"], /are both \/etc\/cni\/net\.d/],
  [["--redirect-ports"], /unknown option/],
])("%p is refused with 64", async (words, message) => {
  const { code, out, err } = await run(...words);
  expect({ code, out }).toEqual({ code: 64, out: "" });
  expect(err).toMatch(message);
});
