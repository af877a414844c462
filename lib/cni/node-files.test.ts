/** The plugin's files in folders of a node: put in, kept, and taken back. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loginAccess, readKubeconfig } from "./kubeconfig.ts";
import { NodeFiles } from "./node-files.ts";

const LIST = { cniVersion: "0.4.0", name: "pods", plugins: [{ type: "bridge" }] };
const ONE = { cniVersion: "0.4.0", name: "pods", type: "bridge" };
const LOGIN = "ZZZ-malla-cni-kubeconfig";

let root = "";
let token = "first";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "malla-cni-"));
  token = "first";
  for (const folder of ["net", "bin"]) mkdirSync(`${root}/${folder}`);
  writeFileSync(`${root}/executable`, "the executable");
});

afterEach(() => rmSync(root, { recursive: true }));

function files(): NodeFiles {
  const places = { root, netFolder: "/net", binFolder: "/bin", executable: `${root}/executable` };
  const server = "https://10.0.0.1:443";
  return new NodeFiles(places, {
    server,
    target: (path) => loginAccess({ server, ca: "PEM", token }).target(path),
  });
}

function put(name: string, value: unknown, mode = 0o644): void {
  writeFileSync(`${root}/net/${name}`, JSON.stringify(value), { mode });
}

const read = (name: string) => readFileSync(`${root}/net/${name}`, "utf8");
const types = (name: string) =>
  (JSON.parse(read(name)) as { plugins: { type: string }[] }).plugins.map(({ type }) => type);
const names = () => readdirSync(`${root}/net`).sort();

describe("a list", () => {
  test("has all in its place, and nothing is written twice", async () => {
    put("10-pods.conflist", LIST, 0o600);
    put("99-other.conflist", LIST);
    const node = files();
    expect(await node.sync()).toHaveLength(3);
    expect(types("10-pods.conflist")).toEqual(["bridge", "malla-cni"]);
    expect(types("99-other.conflist")).toEqual(["bridge"]);
    expect(read("10-pods.conflist")).toContain(`"/net/${LOGIN}"`);
    expect(statSync(`${root}/net/10-pods.conflist`).mode & 0o777).toBe(0o600);
    expect(statSync(`${root}/net/${LOGIN}`).mode & 0o777).toBe(0o600);
    expect(readKubeconfig(read(LOGIN))).toEqual({
      server: "https://10.0.0.1:443",
      ca: "PEM",
      token: "first",
    });
    expect(readFileSync(`${root}/bin/malla-cni`, "utf8")).toBe("the executable");
    expect(statSync(`${root}/bin/malla-cni`).mode & 0o777).toBe(0o755);
    expect(await node.sync()).toEqual([]);
  });

  test("that others write anew, a new token and a lost executable are put right", async () => {
    put("10-pods.conflist", LIST);
    const node = files();
    await node.sync();
    put("10-pods.conflist", { ...LIST, name: "new" });
    expect(await node.sync()).toEqual(["10-pods.conflist"]);
    expect(types("10-pods.conflist")).toEqual(["bridge", "malla-cni"]);
    token = "second";
    expect(await node.sync()).toEqual([`${root}/net/${LOGIN}`]);
    expect(readKubeconfig(read(LOGIN)).token).toBe("second");
    rmSync(`${root}/bin/malla-cni`);
    expect(await node.sync()).toEqual([`${root}/bin/malla-cni`]);
    // Another file counts from now on.
    put("05-first.conflist", LIST);
    expect(await node.sync()).toEqual(["05-first.conflist"]);
  });

  test("is as it was after the end, without a trace", async () => {
    put("05-broken.conflist", "no list");
    put("10-pods.conflist", { ...LIST, plugins: [...LIST.plugins, { type: "portmap" }] });
    const before = JSON.parse(read("10-pods.conflist"));
    rmSync(`${root}/net/05-broken.conflist`);
    const node = files();
    await node.sync();
    put("99-broken.conflist", "no list");
    await node.remove();
    expect(names()).toEqual(["10-pods.conflist", "99-broken.conflist"]);
    expect(JSON.parse(read("10-pods.conflist"))).toEqual(before);
    expect(readdirSync(`${root}/bin`)).toEqual([]);
    // A second end finds nothing to do.
    await files().remove();
    expect(JSON.parse(read("10-pods.conflist"))).toEqual(before);
  });
});

describe("a single plugin", () => {
  test("becomes a list that counts, and comes back", async () => {
    put("10-pods.conf", ONE, 0o600);
    const text = read("10-pods.conf");
    await files().sync();
    expect(names()).toEqual(["10-pods.conf.malla-cni", "10-pods.conflist", LOGIN]);
    expect(types("10-pods.conflist")).toEqual(["bridge", "malla-cni"]);
    expect(statSync(`${root}/net/10-pods.conflist`).mode & 0o777).toBe(0o600);
    // Another process takes it back, as after a restart.
    await files().remove();
    expect(names()).toEqual(["10-pods.conf"]);
    expect(read("10-pods.conf")).toBe(text);
  });

  test("that is written anew is taken up again, and stays as it is at the end", async () => {
    put("10-pods.conf", ONE);
    const node = files();
    await node.sync();
    put("10-pods.conf", { ...ONE, type: "ptp" });
    await node.sync();
    expect(types("10-pods.conflist")).toEqual(["ptp", "malla-cni"]);
    put("10-pods.conf", { ...ONE, type: "macvlan" });
    await node.remove();
    expect(names()).toEqual(["10-pods.conf"]);
    expect(JSON.parse(read("10-pods.conf"))).toMatchObject({ type: "macvlan" });
  });

  test("does not take the place of somebody else's list", async () => {
    put("10-pods.conf", ONE);
    put("10-pods.conflist", LIST);
    await expect(files().sync()).rejects.toThrow(/Cannot add the plugin to \/net\/10-pods\.conf/);
    expect(types("10-pods.conflist")).toEqual(["bridge"]);
    expect(existsSync(`${root}/net/10-pods.conf`)).toBe(true);
  });
});

test("what cannot be done is told, with the file's name", async () => {
  await expect(files().sync()).rejects.toThrow("There is no network configuration in /net yet");
  put("10-pods.conflist", { ...LIST, cniVersion: "0.1.0" });
  await expect(files().sync()).rejects.toThrow("Cannot add the plugin to /net/10-pods.conflist");
  rmSync(`${root}/net`, { recursive: true });
  writeFileSync(`${root}/net`, "no folder");
  await expect(files().sync()).rejects.toThrow(`Cannot write "${root}/net/${LOGIN}"`);
});
