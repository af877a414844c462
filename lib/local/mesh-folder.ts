/**
 * The folder of a mesh on the machine: sockets, and the mount point of what is private to the mesh. It
 * is removed at the end; what a killed `malla up` left behind, the next one removes.
 */

import { Fault } from "../base/fault.ts";
import {
  entriesOf,
  isOwnFolder,
  kindAt,
  makeNewFolder,
  moveOver,
  randomHex,
  realPath,
  removeTree,
  textAt,
  writeFile,
} from "../host/directory.ts";
import { splitPath } from "../host/files.ts";
import { processStamp } from "../host/namespace.ts";
import { ownPid } from "../host/process.ts";
import { meshStatePath } from "./state.ts";

const PREFIX = "mesh-";
/** Tells which process the folder belongs to. */
const OWNER_FILE = "owner";

/** Makes the folder of a new mesh. Throws `permission_denied` when its place belongs to another user. */
export function makeMeshFolder(
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
): string {
  const { folder } = splitPath(meshStatePath(env, uid));
  if (kindAt(folder) === null) makeNewFolder(folder, 0o700);
  // In /tmp anyone could have made it before us, to read our sockets or to lead us elsewhere.
  if (!isOwnFolder(folder, uid)) {
    throw new Fault(
      "permission_denied",
      `Cannot use folder "${folder}": expected a folder of this user that nobody else can write to`,
    );
  }
  removeStale(folder);
  const path = `${folder}/${PREFIX}${randomHex(4)}`;
  const draft = `${folder}/.${randomHex(4)}`;
  makeNewFolder(draft, 0o700);
  // Under its name it has its owner from the first moment on, else another start could remove it.
  writeFile(`${draft}/${OWNER_FILE}`, processStamp(ownPid()) ?? "", 0o600);
  moveOver(draft, path);
  // Without links in it, since pods are kept from it by this path.
  return realPath(path) ?? path;
}

/** Removes the folders of meshes whose process is gone. */
function removeStale(folder: string): void {
  for (const { name, kind } of entriesOf(folder)) {
    if (kind !== "folder" || !name.startsWith(PREFIX)) continue;
    const stamp = textAt(`${folder}/${name}/${OWNER_FILE}`) ?? "";
    if (stamp !== "" && stamp === processStamp(Number.parseInt(stamp))) continue;
    removeTree(`${folder}/${name}`);
  }
}
