import { describe, expect, test } from "bun:test";
import { type HostTree, type Mount, mountScript, quote } from "./mounts.ts";

/** A machine's files: null is a folder, a text a link's target, "" a file. */
function tree(entries: Readonly<Record<string, string | null>>): HostTree {
  const kind = (path: string) => {
    if (path === "/") return "folder";
    const found = entries[path];
    if (found === undefined) return null;
    return found === null ? "folder" : found === "" ? "file" : "link";
  };
  return {
    kind,
    list: (path) =>
      Object.keys(entries).filter((each) =>
        each.slice(0, each.lastIndexOf("/")) === path.replace(/\/$/, "")
      )
        .map((each) => each.slice(each.lastIndexOf("/") + 1)),
    target: (link) => entries[link] ?? "",
  };
}

const machine = tree({
  "/etc": null,
  "/etc/hosts": "",
  "/etc/resolv.conf": "../run/resolve/stub.conf",
  "/etc/ssl": null,
  "/run": null,
  "/run/resolve": null,
  "/run/resolve/stub.conf": "",
  "/usr": null,
  "/bin": "usr/bin",
  "/my files": null,
  "/my files/a#b": "",
});

function script(...mounts: readonly Partial<Mount>[]): string {
  const whole = mounts.map((mount): Mount => ({
    source: "/pod/v",
    kind: "folder",
    target: "/etc/ssl",
    readOnly: false,
    ...mount,
  }));
  return mountScript(whole, machine, { work: "/work", hidden: "/run/mesh" });
}

describe("mounts", () => {
  test("over what exists need nothing else", () => {
    const text = script({ kind: "file", target: "/etc/hosts", source: "/pod/hosts" });
    expect(text).toContain("mount -n --rbind /pod/hosts /etc/hosts\n");
    expect(text).not.toContain("pivot_root");
    expect(text.match(/-t tmpfs/g)).toHaveLength(2);
  });

  test("over a link go to where it leads", () => {
    const text = script({ kind: "file", target: "/etc/resolv.conf", source: "/pod/r" });
    expect(text).toContain("mount -n --rbind /pod/r /run/resolve/stub.conf\n");
  });

  test("below a folder that exists cover it and show its entries again", () => {
    const text = script({ target: "/etc/web/conf" });
    const lines = text.split("\n");
    expect(lines).toContain("mount -n --rbind /etc /work/stage0");
    expect(lines).toContain("mount -n -t tmpfs -o mode=0755 malla /etc");
    expect(lines).toContain("mkdir /etc/ssl");
    expect(lines).toContain("/work/stage0/ssl /etc/ssl none rbind 0 0");
    expect(lines).toContain("ln -s ../run/resolve/stub.conf /etc/resolv.conf");
    expect(lines.at(-3)).toBe("mount -n --rbind /pod/v /etc/web/conf");
    expect(text).not.toContain("pivot_root");
  });

  test("below the root build a new one and make it the root at the end", () => {
    const lines = script({ target: "/data" }, { target: "/etc/hosts", kind: "file" }).split("\n");
    expect(lines).toContain("mount -n -t tmpfs -o mode=0755 malla /work/root");
    expect(lines).toContain("ln -s usr/bin /work/root/bin");
    expect(lines).toContain(
      "mkdir /work/root/etc /work/root/run /work/root/usr '/work/root/my files'",
    );
    expect(lines).toContain("/my\\040files /work/root/my\\040files none rbind 0 0");
    expect(lines).toContain("mount -n --rbind /pod/v /work/root/data");
    expect(lines.slice(-5)).toEqual([
      "cd /work/root",
      "pivot_root . .",
      "umount -n -l .",
      "cd /",
      "",
    ]);
  });

  test("parents come before what lies in them, whatever their order in the manifest", () => {
    const text = script({ target: "/etc/ssl/inner/deep" }, { target: "/etc/ssl" });
    expect(text.indexOf("/pod/v /etc/ssl\n")).toBeLessThan(text.indexOf("/pod/v /etc/ssl/inner"));
    // The volume itself is where the inner place is made: nothing of the machine is covered.
    expect(text).not.toContain("stage0");
  });

  test("hide the mesh's own folder, last of all", () => {
    expect(script({}).split("\n").at(-2)).toBe(
      "mount -n -t tmpfs -o mode=0500,size=4k malla /run/mesh",
    );
    expect(script({ target: "/data" })).toContain(
      "mount -n -t tmpfs -o mode=0500,size=4k malla /work/root/run/mesh\ncd /work/root\n",
    );
  });

  test("read-only volumes are remounted so", () => {
    expect(script({ readOnly: true })).toContain("mount -n -o remount,bind,ro /etc/ssl");
  });

  test("none is noted on the machine", () => {
    const text = script({ readOnly: true }, { target: "/data" }, { target: "/etc/new" });
    const mounts = text.split("\n").filter((line) => /^u?mount /.test(line));
    expect(mounts.length).toBeGreaterThan(6);
    expect(mounts.filter((line) => !/^u?mount -n /.test(line))).toEqual([]);
  });

  test("names for the shell and the table are quoted", () => {
    expect(quote("it's $HOME")).toBe(`'it'\\''s $HOME'`);
    expect(script({ target: "/my files/new" })).toContain(
      "/work/stage0/a\\043b /my\\040files/a\\043b none bind 0 0",
    );
  });
});
