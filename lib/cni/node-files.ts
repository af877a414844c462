/**
 * The plugin's files on a node, kept as they must be: its executable among the node's plugins, the
 * kubeconfig, and the entry in the network configuration that counts. Others rewrite that configuration
 * and tokens are renewed, so `sync` is called again and again; it writes what differs alone.
 *
 *     10-net.conflist   with the entry at the end of its list
 *     10-net.conf       becomes 10-net.conflist, and waits as 10-net.conf.malla-cni for its return
 */

import { Fault } from "../base/fault.ts";
import {
  copyFileAtomic,
  joinPath,
  listFolder,
  moveFile,
  readText,
  removeFile,
  statPath,
  writeTextAtomic,
} from "../host/files.ts";
import type { KubeAccess } from "../source/kube/access.ts";
import {
  configurationFiles,
  isList,
  listName,
  listOfOne,
  type PluginEntry,
  pluginEntry,
  withEntry,
  withoutEntry,
} from "./conflist.ts";
import { formatKubeconfig, loginOf } from "./kubeconfig.ts";
import { KUBECONFIG, PLUGIN } from "./names.ts";

/** Where everything is. */
export interface NodePlaces {
  /** Before the two below, where the node's root is mounted somewhere; else empty. */
  readonly root: string;
  /** The folder of network configurations, as the node has it. */
  readonly netFolder: string;
  /** The folder of plugins, as the node has it. */
  readonly binFolder: string;
  /** The executable that is copied. */
  readonly executable: string;
}

/** Set aside for its return; no runtime reads a file of that name. */
const ASIDE = `.${PLUGIN}`;
const EXECUTABLE_MODE = 0o755;
const SECRET_MODE = 0o600;

/** The files of one node. */
export class NodeFiles {
  readonly #places: NodePlaces;
  readonly #access: KubeAccess;
  readonly #net: string;
  readonly #entry: PluginEntry;
  /** The copy that was made last, as the file system tells it apart from any other. */
  #copied: string | undefined;

  constructor(places: NodePlaces, access: KubeAccess) {
    this.#places = places;
    this.#access = access;
    this.#net = `${places.root}${places.netFolder}`;
    this.#entry = pluginEntry(joinPath(places.netFolder, KUBECONFIG));
  }

  /** The folder to watch. */
  get netFolder(): string {
    return this.#net;
  }

  /** Makes all as it must be; returns what was changed, for the log. Rejects with a `Fault`. */
  async sync(): Promise<readonly string[]> {
    // In this order: whoever finds the entry finds the rest.
    return [
      ...await this.#placeExecutable(),
      ...await this.#placeKubeconfig(),
      ...await this.#placeEntry(),
    ];
  }

  /** Takes everything back. Rejects with a `Fault`. */
  async remove(): Promise<readonly string[]> {
    const changed: string[] = [];
    const names = await listFolder(this.#net);
    for (const name of names.filter((one) => one.endsWith(ASIDE))) {
      changed.push(...await this.#bringBack(name.slice(0, -ASIDE.length)));
    }
    for (const name of configurationFiles(await listFolder(this.#net)).filter(isList)) {
      const text = removedFrom(await this.#read(name));
      if (text === undefined) continue;
      await this.#write(name, text);
      changed.push(name);
    }
    await removeFile(joinPath(this.#net, KUBECONFIG));
    await removeFile(this.#plugin);
    return [...changed, KUBECONFIG, PLUGIN];
  }

  get #plugin(): string {
    return joinPath(`${this.#places.root}${this.#places.binFolder}`, PLUGIN);
  }

  async #placeExecutable(): Promise<readonly string[]> {
    const version = async () => (await statPath(this.#plugin))?.version;
    if (this.#copied !== undefined && await version() === this.#copied) return [];
    await copyFileAtomic(this.#places.executable, this.#plugin, EXECUTABLE_MODE);
    this.#copied = await version();
    return [this.#plugin];
  }

  async #placeKubeconfig(): Promise<readonly string[]> {
    const path = joinPath(this.#net, KUBECONFIG);
    const text = formatKubeconfig(await loginOf(this.#access));
    const isSame = await textAt(path) === text && (await statPath(path))?.mode === SECRET_MODE;
    if (isSame) return [];
    await writeTextAtomic(path, text, SECRET_MODE);
    return [path];
  }

  async #placeEntry(): Promise<readonly string[]> {
    const [name] = configurationFiles(await listFolder(this.#net));
    if (name === undefined) {
      throw new Fault(
        "not_found",
        `There is no network configuration in ${this.#places.netFolder} yet: the cluster's own ` +
          "network plugin writes one",
      );
    }
    try {
      return isList(name) ? await this.#intoList(name) : await this.#intoOne(name);
    } catch (cause) {
      throw new Fault(
        "failed_precondition",
        `Cannot add the plugin to ${joinPath(this.#places.netFolder, name)}`,
        { cause },
      );
    }
  }

  async #intoList(name: string): Promise<readonly string[]> {
    const text = withEntry(await this.#read(name), this.#entry);
    if (text === undefined) return [];
    await this.#write(name, text);
    return [name];
  }

  async #intoOne(name: string): Promise<readonly string[]> {
    const list = listName(name);
    const present = await textAt(this.#path(list));
    if (present !== undefined && removedFrom(present) === undefined) {
      throw new Fault("failed_precondition", `${list} is there as well, and is somebody else's`);
    }
    const text = withEntry(listOfOne(await this.#read(name)), this.#entry);
    if (text !== undefined) await this.#write(list, text, name);
    await moveFile(this.#path(name), `${this.#path(name)}${ASIDE}`);
    return [list, name];
  }

  /** A single plugin that was set aside counts again; one that was written anew since then stays. */
  async #bringBack(name: string): Promise<readonly string[]> {
    const [path, aside] = [this.#path(name), `${this.#path(name)}${ASIDE}`];
    if (await statPath(path) === undefined) await moveFile(aside, path);
    else await removeFile(aside);
    // After that: a runtime never sees none of them.
    await removeFile(this.#path(listName(name)));
    return [name];
  }

  async #read(name: string): Promise<string> {
    return await readText(this.#path(name));
  }

  /** The permissions stay those of `like`, the file that is replaced. */
  async #write(name: string, text: string, like = name): Promise<void> {
    const mode = (await statPath(this.#path(like)))?.mode;
    await writeTextAtomic(this.#path(name), text, mode);
  }

  #path(name: string): string {
    return joinPath(this.#net, name);
  }
}

/** What cannot be read has no entry of ours. */
function removedFrom(text: string): string | undefined {
  try {
    return withoutEntry(text);
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === "invalid_argument") return undefined;
    throw thrown;
  }
}

async function textAt(path: string): Promise<string | undefined> {
  try {
    return await readText(path);
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === "not_found") return undefined;
    throw thrown;
  }
}
