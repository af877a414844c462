/** What a machine must have for a laptop mesh, checked one by one, each with how to mend it. */

import { RESTRICTIONS } from "../local/machine-needs.ts";
import { type Category, type Check, type Outcome, PASSED } from "./check.ts";

/** The machine as the checks see it. */
export interface Machine {
  readonly isRoot: boolean;
  /** The value of a kernel setting such as `user.max_user_namespaces`; undefined: there is none. */
  kernelSetting(name: string): Promise<string | undefined>;
  hasProgram(name: string): boolean;
  /** Runs a command in fresh namespaces like those of a mesh. */
  inNamespaces(
    command: readonly string[],
  ): Promise<{ readonly code: number; readonly stderr: string }>;
  /** Why nothing can listen on the port of 127.0.0.1; undefined when it is free. */
  whyPortTaken(port: number): Promise<string | undefined>;
}

/** What the checks need to know besides. */
export interface MachineOptions {
  readonly machine: Machine;
  /** Programs and the packages that hold them. */
  readonly programs: Readonly<Record<string, string>>;
  /** Ports that must be free; none when a mesh runs, which has them. */
  readonly ports: readonly number[];
}

/** Something that is tried in fresh namespaces. */
interface Trial {
  readonly name: string;
  readonly script: string;
  /** What a mesh does without it: fail, or come with less. */
  readonly status: "fail" | "warn";
  readonly hint: string;
}

/** What is needed inside of a mesh. */
const TRIALS: readonly Trial[] = [
  {
    name: "links and bridges work in a namespace",
    script: "ip link add m0 type bridge && ip link add v0 type veth peer name v1 && " +
      "ip link set v0 master m0 && ip link set m0 up",
    status: "fail",
    hint: 'load the modules with "sudo modprobe -a bridge veth"',
  },
  {
    name: "redirects and marks work in a namespace",
    script: "iptables -w -t nat -A OUTPUT -p tcp -m mark --mark 0x1 -j RETURN && " +
      "iptables -w -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 4140",
    status: "fail",
    hint:
      'load the modules with "sudo modprobe -a xt_REDIRECT xt_mark nf_nat", or choose the other ' +
      'variant with "sudo update-alternatives --config iptables"',
  },
  {
    name: "IPv6 works in a namespace",
    script: "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && " +
      "ip6tables -w -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 4140",
    status: "warn",
    hint:
      "a mesh has IPv4 alone here; for both, start the kernel without ipv6.disable=1 and load " +
      'the module with "sudo modprobe ip6table_nat"',
  },
];

/** The checks of a machine. */
export function machineChecks({ machine, programs, ports }: MachineOptions): Category {
  return {
    name: "malla-machine",
    checks: [
      kernelCheck(machine),
      ...Object.entries(programs).map(([name, holder]) => programCheck(machine, name, holder)),
      namespaceCheck(machine),
      ...TRIALS.map((trial) => trialCheck(machine, trial)),
      ...ports.map((port) => portCheck(machine, port)),
    ],
  };
}

function kernelCheck(machine: Machine): Check {
  return {
    name: "the kernel allows user namespaces",
    isBasis: true,
    async run() {
      for (const { name, forbids, allows, meaning, sparesRoot } of RESTRICTIONS) {
        if (sparesRoot && machine.isRoot) continue;
        if (await machine.kernelSetting(name) !== forbids) continue;
        return {
          status: "fail",
          message: `${name} is ${forbids}: ${meaning}`,
          hint: `sudo sysctl -w ${name}=${allows} (and a file in /etc/sysctl.d to keep it)`,
        };
      }
      return PASSED;
    },
  };
}

function programCheck(machine: Machine, name: string, holder: string): Check {
  return {
    name: `the program ${name} is installed`,
    isBasis: true,
    run: () => {
      if (machine.hasProgram(name)) return Promise.resolve(PASSED);
      const outcome: Outcome = {
        status: "fail",
        message: `${name} is not in PATH, nor in the system's folders`,
        hint: `install it, for example with "sudo apt install ${holder}"`,
      };
      return Promise.resolve(outcome);
    },
  };
}

function namespaceCheck(machine: Machine): Check {
  return {
    name: "this user can make the mesh's namespaces",
    isBasis: true,
    async run() {
      const { code, stderr } = await machine.inNamespaces(["true"]);
      if (code === 0) return PASSED;
      return {
        status: "fail",
        message: stderr.trim() || `unshare ended with code ${code}`,
        hint:
          "in a container: start it with --privileged, or with seccomp and AppArmor profiles that " +
          "allow unshare and mount",
      };
    },
  };
}

function trialCheck(machine: Machine, { name, script, status, hint }: Trial): Check {
  return {
    name,
    async run() {
      const { code, stderr } = await machine.inNamespaces(["sh", "-c", script]);
      if (code === 0) return PASSED;
      return { status, message: stderr.trim() || `it ended with code ${code}`, hint };
    },
  };
}

function portCheck(machine: Machine, port: number): Check {
  return {
    name: `port ${port} of 127.0.0.1 is free for the live page`,
    async run() {
      const why = await machine.whyPortTaken(port);
      if (why === undefined) return PASSED;
      return {
        status: "warn",
        message: why,
        hint:
          `end the program that uses it ("ss -ltnp sport = :${port}" names it), or start the mesh ` +
          "with --page-port",
      };
    },
  };
}
