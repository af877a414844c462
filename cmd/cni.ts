/**
 * The CNI plugin: what the executable is when a container runtime calls it on a node, by variables and
 * without a word. It starts anew for each pod, so it loads little.
 */

import { environment, execute } from "../lib/host/process.ts";
import { readText } from "../lib/host/files.ts";
import { enterNetworkNamespace } from "../lib/host/namespace.ts";
import { findFirewall, type RunCommand } from "../lib/inject/firewall.ts";
import { redirectOptions } from "../lib/inject/pod-redirect.ts";
import { applyRedirect } from "../lib/inject/redirect-apply.ts";
import { isRedirected } from "../lib/inject/redirect.ts";
import { KubeClient } from "../lib/source/kube/client.ts";
import { loginAccess, readKubeconfig } from "../lib/cni/kubeconfig.ts";
import { type PluginWorld, runPlugin } from "../lib/cni/plugin.ts";
import { setCloseWait } from "./close-wait.ts";

/** A runtime waits for a pod's network, so an API server that says nothing is given up soon. */
const ANSWER_MS = 5_000;
/** A runtime may call with no PATH, or with one that is not the system's. */
const SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin";

/** Answers one call; resolves to 0 or 1, with the answer on standard output. */
export async function run(): Promise<number> {
  const env = environment();
  const { code, output } = await runPlugin(env, await Bun.stdin.text(), worldOf(env));
  if (output !== "") process.stdout.write(`${output}\n`);
  return code;
}

function worldOf(env: Readonly<Record<string, string>>): PluginWorld {
  const path = env["PATH"] ? `${env["PATH"]}:${SYSTEM_PATH}` : SYSTEM_PATH;
  const command: RunCommand = (words, input) =>
    execute(words, {
      env: { PATH: path, LC_ALL: "C" },
      ...(input === undefined ? {} : { input }),
    });
  return {
    async findPod(kubeconfig, namespace, name) {
      const access = loginAccess(readKubeconfig(await readText(kubeconfig)));
      const client = new KubeClient(access, ANSWER_MS);
      return await client.get(`/api/v1/namespaces/${namespace}/pods/${name}`);
    },
    async redirect(namespaceFile, redirect) {
      // For good: from here on this process works in the pod's network alone.
      enterNetworkNamespace(namespaceFile);
      const settings = { ipv6: redirect.ipv6, simulate: false };
      const applied = await applyRedirect(redirectOptions(redirect), settings, {}, command);
      if (redirect.closeWaitSeconds > 0) setCloseWait(redirect.closeWaitSeconds);
      return applied;
    },
    async isRedirected(namespaceFile) {
      enterNetworkNamespace(namespaceFile);
      return isRedirected((await findFirewall({}, command)).current);
    },
  };
}
