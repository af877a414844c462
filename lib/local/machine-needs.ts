/** What a machine must have and allow for a laptop mesh. */

/** The programs that the mesh is made with, and the Debian packages that hold them. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  ip: "iproute2",
  iptables: "iptables",
  unshare: "util-linux",
  nsenter: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
  pivot_root: "util-linux",
};

/** A kernel setting, the value that forbids, and the one that allows. */
export interface Restriction {
  readonly name: string;
  readonly forbids: string;
  readonly allows: string;
  readonly meaning: string;
  /** Root is not bound by it. */
  readonly sparesRoot: boolean;
}

/** The settings of kernels that keep people from making namespaces. */
export const RESTRICTIONS: readonly Restriction[] = [
  {
    name: "user.max_user_namespaces",
    forbids: "0",
    allows: "10000",
    meaning: "no user namespace may be made",
    sparesRoot: false,
  },
  {
    name: "kernel.unprivileged_userns_clone",
    forbids: "0",
    allows: "1",
    meaning: "only root may make user namespaces",
    sparesRoot: true,
  },
  {
    name: "kernel.apparmor_restrict_unprivileged_userns",
    forbids: "1",
    allows: "0",
    meaning: "AppArmor takes all rights in user namespaces from programs without a profile",
    sparesRoot: true,
  },
];
