/** Writes the files that a pod finds: its volumes, and what the mesh puts into its /etc. */

import { makeFolder, removeTree, writeFile } from "../host/directory.ts";
import type { ContainerModel, PodModel } from "./pod-model.ts";
import type { Mount } from "./mounts.ts";
import { MESH_ADDRESSES } from "./names.ts";
import type { PodContext } from "./environment.ts";
import { type MakeToken, volumeFiles } from "./volume-files.ts";

/** The folders and files of one pod on the mesh's private file system. */
export class PodFiles {
  readonly #folder: string;
  readonly #pod: PodModel;

  constructor(folder: string, pod: PodModel) {
    this.#folder = folder;
    this.#pod = pod;
  }

  /** Writes everything; throws a fault that names the ConfigMap or key that is missing. */
  async write(context: PodContext, token: MakeToken): Promise<void> {
    makeFolder(`${this.#folder}/etc`);
    const { hostname, namespace } = this.#pod;
    writeFile(`${this.#folder}/etc/resolv.conf`, resolvConf(namespace));
    writeFile(`${this.#folder}/etc/hosts`, hosts(context.podIps, hostname));
    writeFile(`${this.#folder}/etc/hostname`, `${hostname}\n`);
    writeFile(`${this.#folder}/etc/nsswitch.conf`, NSSWITCH);
    for (const volume of this.#pod.volumes.values()) {
      if (volume.kind === "host") {
        if (volume.make) makeFolder(volume.path);
        continue;
      }
      const folder = this.#volumeFolder(volume.name);
      makeFolder(folder, volume.kind === "empty" ? 0o777 : 0o755);
      if (volume.kind === "empty") continue;
      for (const file of await volumeFiles(volume, context, token)) {
        const path = `${folder}/${file.path}`;
        makeFolder(path.slice(0, path.lastIndexOf("/")));
        writeFile(path, file.contents, file.mode);
      }
    }
  }

  /** The folder that a container's mount script works in. */
  workFolder(container: string): string {
    const folder = `${this.#folder}/work-${container}`;
    makeFolder(folder);
    return folder;
  }

  /** The file of a container's start script. */
  scriptFile(container: string): string {
    return `${this.#folder}/start-${container}.sh`;
  }

  /** The file in which a container's mount namespace is named. */
  namespaceFile(container: string): string {
    return `${this.#folder}/namespace-${container}`;
  }

  /** What is mounted into a container. `isFolder` looks at the machine. */
  mounts(container: ContainerModel, isFolder: (path: string) => boolean): readonly Mount[] {
    const etc = ["resolv.conf", "hosts", "hostname", "nsswitch.conf"].map((name): Mount => ({
      source: `${this.#folder}/etc/${name}`,
      kind: "file",
      target: `/etc/${name}`,
      readOnly: false,
    }));
    // A volume at one of these paths is the user's word on it.
    const taken = new Set(container.mounts.map(({ mountPath }) => mountPath));
    return [
      ...etc.filter(({ target }) => !taken.has(target)),
      ...container.mounts.map(({ volume, mountPath, subPath, readOnly }): Mount => {
        const found = this.#pod.volumes.get(volume);
        const top = found?.kind === "host" ? found.path : this.#volumeFolder(volume);
        const source = subPath === "" ? top : `${top}/${subPath}`;
        if (subPath !== "" && found?.kind === "empty") makeFolder(source, 0o777);
        return { source, kind: isFolder(source) ? "folder" : "file", target: mountPath, readOnly };
      }),
    ];
  }

  /** Removes all of it. */
  remove(): void {
    removeTree(this.#folder);
  }

  #volumeFolder(name: string): string {
    return `${this.#folder}/volumes/${name}`;
  }
}

/** Names are looked up in files, then asked of the mesh; nothing else of the machine takes part. */
const NSSWITCH = [
  "passwd: files",
  "group: files",
  "shadow: files",
  "hosts: files dns",
  "networks: files",
  "protocols: files",
  "services: files",
  "",
].join("\n");

/** `/etc/resolv.conf` as kubelet writes it. */
export function resolvConf(namespace: string): string {
  return `nameserver ${MESH_ADDRESSES.gateway}\n` +
    `search ${namespace}.svc.cluster.local svc.cluster.local cluster.local\n` +
    "options ndots:5\n";
}

function hosts(ips: readonly string[], hostname: string): string {
  return [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost ip6-loopback",
    ...ips.map((ip) => `${ip} ${hostname}`),
    "",
  ].join("\n");
}
