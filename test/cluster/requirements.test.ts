/** What is said where tests of clusters are skipped. */

import { expect, test } from "bun:test";
import { clusterObstacle, type Machine } from "./requirements.ts";

/** A machine that has all but Kubernetes, which it can build. */
const FIT: Machine = {
  kubeconfig: undefined,
  platform: "linux",
  isRoot: true,
  hasKubernetes: false,
  hasPlugins: true,
  hasProgram: () => true,
};

const without = (...names: readonly string[]) => ({
  hasProgram: (name: string) => !names.includes(name),
});

const rows: [string, Partial<Machine>, string | null][] = [
  ["a machine with everything", {}, null],
  ["another system", { platform: "darwin" }, "clusters need Linux"],
  ["an ordinary user", { isRoot: false }, "clusters need root"],
  ["no Go", without("go"), "clusters need a Go compiler"],
  ["no Go, but Kubernetes from before", { ...without("go"), hasKubernetes: true }, null],
  ["no plugins", { hasPlugins: false }, "clusters need containernetworking-plugins"],
  [
    "nothing of all that, each package once",
    { hasProgram: () => false, hasPlugins: false },
    "clusters need containerd, runc, iptables, iproute2, util-linux, a Go compiler, " +
    "containernetworking-plugins",
  ],
  [
    "a cluster that is there already",
    { kubeconfig: "/x", platform: "darwin", isRoot: false, hasProgram: () => false },
    null,
  ],
];
test.each(rows)("%s", (_title, machine, obstacle) => {
  expect(clusterObstacle({ ...FIT, ...machine })).toBe(obstacle as string);
});
