/**
 * `malla init`: installs the redirect in the network namespace that it runs in, says what it did, and
 * exits. Its flags are those of linkerd2-proxy-init, and `--proxy-mark` beside them.
 */

import {
  boolean,
  ConfigFault,
  defineSettings,
  integer,
  networks,
  nonEmpty,
  port,
  ports,
  type Settings,
} from "../lib/config/mod.ts";
import { environment, execute } from "../lib/host/process.ts";
import { applyRedirect, type ProxyExemption, type RedirectOptions } from "../lib/inject/mod.ts";
import { setCloseWait } from "./close-wait.ts";
import { runMode } from "./settings-mode.ts";

/** What the redirect is told. */
export const initSettings = defineSettings("init", {
  inboundPort: {
    flag: "incoming-proxy-port",
    type: port(),
    required: true,
    help: "Port to which incoming connections are redirected.",
  },
  outboundPort: {
    flag: "outgoing-proxy-port",
    type: port(),
    required: true,
    help: "Port to which outgoing connections are redirected.",
  },
  uid: {
    flag: "proxy-uid",
    type: integer(1, 4_294_967_294),
    help: "User of the proxy; its connections are not redirected.",
  },
  gid: {
    flag: "proxy-gid",
    type: integer(1, 4_294_967_294),
    help: "Group of the proxy; its connections are not redirected.",
  },
  mark: {
    flag: "proxy-mark",
    type: integer(1, 4_294_967_295),
    help: "Socket mark of the proxy, instead of its user; marked connections are not redirected.",
  },
  inboundSkip: {
    flag: "inbound-ports-to-ignore",
    type: ports(),
    default: "",
    help: "Ports whose incoming connections go straight to the application.",
  },
  outboundSkip: {
    flag: "outbound-ports-to-ignore",
    type: ports(),
    default: "",
    help: "Ports to which the application connects without the proxy.",
  },
  skipNetworks: {
    flag: "subnets-to-ignore",
    type: networks(),
    default: "",
    help: "Networks whose connections are not redirected.",
  },
  ipv6: {
    flag: "ipv6",
    type: boolean(),
    default: "true",
    help: "Whether IPv6 connections are redirected too.",
  },
  firewall: {
    flag: "firewall-bin-path",
    type: nonEmpty(),
    help: "The iptables program; found by itself when it is not given.",
  },
  firewallSave: {
    flag: "firewall-save-bin-path",
    type: nonEmpty(),
    help: "The iptables-save program that belongs to it.",
  },
  closeWaitSeconds: {
    flag: "timeout-close-wait-secs",
    type: integer(0, 86_400),
    default: "0",
    help: "Conntrack's limit for half-closed connections; 0 leaves the kernel's.",
  },
  simulate: {
    flag: "simulate",
    type: boolean(),
    default: "false",
    help: "Only show the rules.",
  },
});

type InitSettings = Settings<typeof initSettings.settings>;

/** Runs the mode; resolves to 0, 1 (could not install) or 64 (wrong flags). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(initSettings, args, async (settings) => {
    await install(settings, { ...settings, exemption: exemptionOf(settings) });
    return 0;
  });
}

function exemptionOf({ uid, gid, mark }: InitSettings): ProxyExemption {
  if (mark !== undefined && uid === undefined && gid === undefined) return { kind: "mark", mark };
  if (mark === undefined && uid !== undefined) {
    return { kind: "uid", uid, ...(gid === undefined ? {} : { gid }) };
  }
  throw new ConfigFault("init", [
    "give --proxy-uid or --proxy-mark (one of them), else the proxy's own connections would be " +
    "redirected to itself",
  ]);
}

async function install(settings: InitSettings, options: RedirectOptions): Promise<void> {
  const { firewall, firewallSave } = settings;
  const programs = {
    ...(firewall === undefined ? {} : { firewall }),
    ...(firewallSave === undefined ? {} : { save: firewallSave }),
  };
  const env = { ...environment(), LC_ALL: "C" };
  const applied = await applyRedirect(
    options,
    settings,
    programs,
    (command, input) => execute(command, input === undefined ? { env } : { env, input }),
  );
  for (const { version, program, outcome, reason, rules } of applied) {
    const why = reason === undefined ? "" : ` (${reason})`;
    process.stderr.write(`malla init: IPv${version} redirect ${outcome} with ${program}${why}\n`);
    if (settings.simulate) process.stdout.write(rules);
  }
  if (settings.closeWaitSeconds > 0 && !settings.simulate) {
    setCloseWait(settings.closeWaitSeconds);
    process.stderr.write(
      `malla init: half-closed connections end after ${settings.closeWaitSeconds} s\n`,
    );
  }
}
