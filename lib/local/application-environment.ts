/** The environment that applications start from: that of `malla up`, without what leads them astray. */

/**
 * Variables that mean the machine's network or the mesh's own settings. A proxy of the machine cannot
 * be reached from a pod, and would hide every call from the mesh if it could.
 */
const DROPPED =
  /^(?:https?_proxy|ftp_proxy|all_proxy|no_proxy|LINKERD2_.*|MALLA_.*|KUBERNETES_.*|LD_PRELOAD|PWD|OLDPWD|SHLVL|_)$/i;

/** The caller's environment as a container's base. */
export function applicationEnvironment(
  caller: Readonly<Record<string, string>>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(caller)) if (!DROPPED.test(name)) env[name] = value;
  env["PATH"] = withSystemPrograms(env["PATH"]);
  return env;
}

/** The environment of the mesh's own programs: nothing of the caller's may configure them. */
export function ownEnvironment(caller: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: withSystemPrograms(caller["PATH"]) };
}

/**
 * The PATH with the directories that every image has in it: manifests count on them, and ordinary
 * users often have no sbin.
 */
function withSystemPrograms(path: string | undefined): string {
  const parts = (path ?? "").split(":").filter((part) => part !== "");
  const wanted = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  return [...parts, ...wanted.filter((part) => !parts.includes(part))].join(":");
}
