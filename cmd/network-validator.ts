/**
 * `malla network-validator`: an init container of pods whose connections a CNI plugin redirects. It ends
 * well when they are, and keeps the pod from starting when they are not.
 */

import { ConfigFault, defineSettings, duration, list, socketAddress } from "../lib/config/mod.ts";
import { validateRedirect } from "../lib/cni/validator.ts";
import { createBunNet } from "../lib/host/bun-net.ts";
import { randomHex } from "../lib/host/directory.ts";
import { hasRoute } from "../lib/host/namespace.ts";
import { runMode } from "./settings-mode.ts";

/** What the validator is told; its flags are those of linkerd2-network-validator. */
export const validatorSettings = defineSettings("network-validator", {
  listen: {
    flag: "listen-addr",
    type: socketAddress(),
    default: "0.0.0.0:4140",
    help: "Where redirected connections come to: the proxy's port for outgoing ones.",
  },
  targets: {
    flag: "connect-addr",
    type: list(socketAddress()),
    default: "1.1.1.1:20001",
    help: "Where nobody is, so that only a redirect can answer.",
  },
  timeout: {
    flag: "timeout",
    type: duration(),
    default: "10s",
    help: "How long to wait for an answer.",
  },
});

const WORD_BYTES = 16;

/** Runs the mode; resolves to 0 (redirected), 1 (not) or 64 (wrong flags). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(validatorSettings, args, async ({ listen, targets, timeout }) => {
    if (targets.length === 0) {
      throw new ConfigFault("network-validator", ["--connect-addr is empty: expected an address"]);
    }
    await validateRedirect({
      net: createBunNet(),
      listen,
      targets,
      hasRoute: ({ ip, port }) => hasRoute(ip, port),
      timeoutMs: timeout,
      word: randomHex(WORD_BYTES),
    });
    process.stderr.write(
      `malla network-validator: connections are redirected to port ${listen.port}\n`,
    );
    return 0;
  });
}
