import { describe, expect, test } from "bun:test";
import { chooseCommand } from "./command.ts";
import { injectOptions, preparePod } from "./injection.ts";
import { ObjectFolder } from "./object-folder.ts";
import { readPod } from "./pod-model.ts";
import { Reader } from "./reader.ts";
import { joinCommand, sandbox } from "./sandbox.ts";
import { MESH_ADDRESSES } from "./names.ts";
import { podsOf, readWorkload } from "./workloads.ts";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

function choose(
  pod: { containers: unknown[]; annotations?: Record<string, string> },
  overrides: Record<string, string> = {},
) {
  const model = readPod(
    new Reader({
      metadata: { name: "p", annotations: pod.annotations },
      spec: { containers: pod.containers },
    }),
  );
  return model.containers.map((container) =>
    chooseCommand(container, model, "web", new Map(Object.entries(overrides)))
  );
}

describe("the command", () => {
  const app = { name: "app", command: ["serve", "--port"], args: ["80"] };

  test("is the manifest's, with its arguments", () => {
    expect(choose({ containers: [app] })).toEqual([
      { words: ["serve", "--port", "80"], own: false },
    ]);
  });

  test("is the annotation's for the first container, or for one by name", () => {
    const annotations = { "malla.dev/command": "bun dev", "malla.dev/command.side": "tail -f x" };
    const containers = [{ name: "app", image: "x" }, { name: "side", image: "y" }];
    expect(choose({ containers, annotations })).toEqual([
      { words: ["sh", "-c", "bun dev"], own: false },
      { words: ["sh", "-c", "tail -f x"], own: false },
    ]);
  });

  test("is that of --exec above all", () => {
    const annotations = { "malla.dev/command": "bun dev" };
    expect(choose({ containers: [app], annotations }, { web: "one" })[0]?.words[2]).toBe("one");
    expect(choose({ containers: [app], annotations }, { web: "one", app: "two" })[0]?.words[2])
      .toBe("two");
  });

  test("is missing where there is only an image", () => {
    expect(choose({ containers: [{ name: "app", image: "x", args: ["y"] }] })).toEqual([null]);
  });
});

describe("injection on the laptop", () => {
  function prepared(annotations: Record<string, string>) {
    const workload = readWorkload({
      kind: "Deployment",
      metadata: { name: "web" },
      spec: {
        template: {
          metadata: { annotations },
          spec: { containers: [{ name: "app", command: ["x"] }] },
        },
      },
    }, "default");
    const [plan] = podsOf(workload!);
    return preparePod(plan!, new Map(), injectOptions("PEM", "warn", [MESH_ADDRESSES]), () => {});
  }

  test("puts redirect and proxy before the application, and runs our own program for them", () => {
    const { model, object } = prepared({});
    expect(model.initContainers.map(({ name, sidecar }) => [name, sidecar])).toEqual([
      ["linkerd-init", false],
      ["linkerd-proxy", true],
    ]);
    const [init, proxy] = model.initContainers.map((container) =>
      chooseCommand(container, model, "web", new Map())
    );
    expect(init).toMatchObject({ own: true });
    expect(init?.words).toContain("--proxy-mark=2102");
    expect(proxy).toEqual({ words: ["proxy"], own: true });
    expect(object["metadata"]).toMatchObject({
      labels: { "linkerd.io/proxy-deployment": "web", "linkerd.io/control-plane-ns": "malla" },
    });
    expect(model.volumes.get("linkerd-identity-token")).toMatchObject({ kind: "files" });
  });

  test("is refused by annotation", () => {
    expect(prepared({ "malla.dev/inject": "disabled" }).model.initContainers).toEqual([]);
    expect(prepared({ "linkerd.io/inject": "disabled" }).model.initContainers).toEqual([]);
  });
});

describe("the sandbox", () => {
  const machine = { kind: () => "folder" as const, list: () => [], target: () => "" };
  const programs = {
    nsenter: "/b/nsenter",
    unshare: "/b/unshare",
    setpriv: "/b/setpriv",
    sh: "/b/sh",
  };
  const plan = {
    networkNamespace: "/run/net1",
    mounts: [],
    workFolder: "/work",
    hidden: "/run/mesh",
    scriptFile: "/pod/start.sh",
    namespaceFile: "/pod/namespace",
    workingDir: "/home/me/it's",
    hostname: "web-0",
    command: ["serve", "a b"],
  };

  test("gives applications their id, no way to more, and their own PATH", () => {
    const rights = { kind: "application", uid: 1000, gid: 100 } as const;
    const { words, script } = sandbox({ ...plan, rights }, machine, programs);
    expect(words.slice(0, 3)).toEqual(["/b/nsenter", "--net=/run/net1", "/b/unshare"]);
    expect(words.slice(-4)).toEqual(["/b/sh", "/pod/start.sh", "serve", "a b"]);
    expect(script).toContain("cd '/home/me/it'\\''s'\nPATH=$malla_path\n");
    expect(script).toEndWith(
      'exec /b/unshare --user --map-user=1000 --map-group=100 /b/setpriv --no-new-privs -- "$@"\n',
    );
  });

  test("leaves the mesh's own programs their rights", () => {
    const { script } = sandbox({ ...plan, rights: { kind: "mesh" } }, machine, programs);
    expect(script).toEndWith('exec "$@"\n');
  });

  test("lets probes join a running program as the same user", () => {
    expect(joinCommand(7, { kind: "application", uid: 1, gid: 1 }, ["check"], programs)).toEqual([
      "/b/nsenter",
      "--target=7",
      "--net",
      "--mount",
      "--uts",
      "--user",
      "--preserve-credentials",
      "--wd",
      "/b/setpriv",
      "--no-new-privs",
      "--",
      "check",
    ]);
  });
});

test("the folder of objects holds exactly what was put into it, in one file each", () => {
  const top = mkdtempSync(join(tmpdir(), "malla-objects-"));
  try {
    const folder = new ObjectFolder(`${top}/objects`, `${top}/drafts`);
    const object = (name: string, kind = "Service") => ({
      apiVersion: "v1",
      kind,
      metadata: { name, namespace: "a" },
    });
    folder.replace([], [object("one"), object("two")]);
    folder.put({ ...object("two"), spec: { changed: true } });
    folder.put(object("../../escape", "Pod"));
    expect(readdirSync(`${top}/objects`)).toHaveLength(3);
    folder.replace([object("one"), object("two")], [object("two")]);
    folder.remove(object("../../escape", "Pod"));
    const left = readdirSync(`${top}/objects`);
    expect(left).toHaveLength(1);
    expect(JSON.parse(readFileSync(`${top}/objects/${left[0]}`, "utf8"))).toEqual(object("two"));
    expect(readdirSync(`${top}/drafts`)).toEqual([]);
  } finally {
    rmSync(top, { recursive: true });
  }
});
