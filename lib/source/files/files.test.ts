/** A folder as a source, on real folders: what a watcher hears as files come, change, break and go. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../host/clock.ts";
import { writeTextAtomic } from "../../host/files.ts";
import type { Problem, SourceWatch, SourceWatcher } from "../mod.ts";
import type { Kind, MeshObject } from "../objects.ts";
import { filesSource, readFolder } from "./mod.ts";

const KINDS: readonly Kind[] = ["Pod", "Service", "EndpointSlice", "ConfigMap"];

let folder = "";
const ends: (() => void)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "malla-files-"));
});

afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await rm(folder, { recursive: true, force: true });
});

/** Follows the folder; `heard` keeps what is there and every event in order. */
class Follower implements SourceWatcher {
  readonly objects = new Map<string, MeshObject>();
  readonly events: string[] = [];
  found: readonly Problem[] = [];
  #waiting: (() => void)[] = [];
  #watch: SourceWatch | undefined;

  static async start(path = folder, clock: Clock = quietClock()): Promise<Follower> {
    const follower = new Follower();
    const watch = await filesSource(path, clock).watch(new Set(KINDS), follower);
    follower.#watch = watch;
    ends.push(() => watch.stop());
    await follower.until(() => follower.events.includes("synced"));
    return follower;
  }

  applied(object: MeshObject): void {
    const { namespace, name } = object.metadata;
    this.objects.set(`${object.kind} ${namespace}/${name}`, object);
    this.#happened(`+ ${object.kind} ${namespace}/${name}`);
  }

  deleted(ref: { kind: string; namespace: string; name: string }): void {
    this.objects.delete(`${ref.kind} ${ref.namespace}/${ref.name}`);
    this.#happened(`- ${ref.kind} ${ref.namespace}/${ref.name}`);
  }

  synced(): void {
    this.#happened("synced");
  }

  problems(problems: readonly Problem[]): void {
    this.found = problems;
    this.#happened("problems");
  }

  stop(): void {
    this.#watch?.stop();
  }

  news(): string[] {
    return this.events.splice(0);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
  }

  #happened(event: string): void {
    this.events.push(event);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Has no periodic look: what the tests see came from the system's own events. */
function quietClock(): Clock & { tick(): void } {
  let periodic = (): void => {};
  return {
    ...systemClock,
    every(_period, call) {
      periodic = call;
      return { cancel: () => void (periodic = () => {}) };
    },
    tick: () => periodic(),
  };
}

function configMap(name: string, value = "1"): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\ndata: { a: "${value}" }\n`;
}

/** In one step, so that no watcher hears of a file that is still empty. */
async function write(name: string, text: string): Promise<void> {
  await writeTextAtomic(join(folder, name), text);
}

/** As an editor does: the file is emptied first, which a watcher may or may not see. */
async function overwrite(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), text);
}

test("the first reading tells everything, then that it is done", async () => {
  await write("b.yaml", configMap("b"));
  await write("a.yml", `${configMap("a")}---\n${configMap("c")}`);
  await write("d.json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"}}`);
  await write("readme.md", configMap("no"));
  await write(".hidden.yaml", configMap("no"));
  await mkdir(join(folder, "sub.yaml"));
  const follower = await Follower.start();
  expect(follower.news()).toEqual([
    "+ ConfigMap default/a",
    "+ ConfigMap default/c",
    "+ ConfigMap default/b",
    "+ ConfigMap default/d",
    "synced",
  ]);
});

test("a single file is a source too", async () => {
  await write("a.yaml", configMap("a"));
  await write("b.yaml", configMap("b"));
  const follower = await Follower.start(join(folder, "a.yaml"));
  expect([...follower.objects.keys()]).toEqual(["ConfigMap default/a"]);
});

test("what does not exist is refused", async () => {
  const nowhere = join(folder, "nowhere");
  await expect(readFolder(nowhere)).rejects.toThrow(`"${nowhere}": no such file or folder`);
});

describe("a change", () => {
  test("of a file tells only what differs", async () => {
    await write("a.yaml", `${configMap("a")}---\n${configMap("b")}`);
    const follower = await Follower.start();
    follower.news();
    await write("a.yaml", `${configMap("a")}---\n${configMap("b", "2")}---\n${configMap("c")}`);
    await follower.until(() => follower.objects.has("ConfigMap default/c"));
    expect(follower.news()).toEqual(["+ ConfigMap default/b", "+ ConfigMap default/c"]);
  });

  test("by moving a file into place, as our own writer does, is seen", async () => {
    const follower = await Follower.start();
    await writeTextAtomic(
      join(folder, "a.json"),
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`,
    );
    await follower.until(() => follower.objects.has("ConfigMap default/a"));
    await rename(join(folder, "a.json"), join(folder, "a.gone"));
    await follower.until(() => follower.objects.size === 0);
    expect(follower.news()).toEqual(["synced", "+ ConfigMap default/a", "- ConfigMap default/a"]);
  });

  test("of many files at once ends in the last state", async () => {
    const follower = await Follower.start();
    const names = Array.from({ length: 50 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => overwrite(`${name}.yaml`, configMap(name, "old"))));
    await Promise.all(names.map((name) => overwrite(`${name}.yaml`, configMap(name, "new"))));
    await follower.until(() =>
      follower.objects.size === 50 &&
      [...follower.objects.values()].every((object) =>
        object.kind === "ConfigMap" && object.data["a"] === "new"
      )
    );
    await Promise.all(names.slice(1).map((name) => rm(join(folder, `${name}.yaml`))));
    await follower.until(() => follower.objects.size === 1);
  });

  test("that the system did not report is found by the periodic look", async () => {
    const clock = quietClock();
    const follower = await Follower.start(folder, clock);
    await rm(folder, { recursive: true });
    await mkdir(folder);
    // The system's watch was on the folder that is gone.
    await write("a.yaml", configMap("a"));
    clock.tick();
    await follower.until(() => follower.objects.has("ConfigMap default/a"));
  });

  test("after the end is not told", async () => {
    const follower = await Follower.start();
    follower.stop();
    const second = await Follower.start();
    await write("a.yaml", configMap("a"));
    await second.until(() => second.objects.size === 1);
    expect(follower.news()).toEqual(["synced"]);
  });
});

describe("what is wrong", () => {
  test("is told at once for all files, and the rest is used", async () => {
    await write("a.yaml", configMap("a"));
    await write("b.yaml", "kind: [");
    await write("c.yaml", configMap("C"));
    const { objects, problems } = await readFolder(folder);
    expect(objects.map(({ metadata }) => metadata.name)).toEqual(["a"]);
    expect(problems.map(({ severity, message }) => `${severity} ${message.slice(0, 8)}`))
      .toEqual(["error b.yaml:1", "error c.yaml:3"]);
  });

  test("keeps the last good state of that file until it is mended", async () => {
    await write("a.yaml", configMap("a"));
    const follower = await Follower.start();
    follower.news();
    await write("a.yaml", "kind: [");
    await follower.until(() => follower.found.length > 0);
    expect(follower.objects.size).toBe(1);
    expect(follower.found[1]?.message).toBe("a.yaml: its last good contents stay in force");
    await write("a.yaml", configMap("a", "2"));
    await follower.until(() => follower.found.length === 0);
    await follower.until(() => follower.events.includes("+ ConfigMap default/a"));
    expect(follower.news()).toEqual(["problems", "problems", "+ ConfigMap default/a"]);
  });

  test("an emptied file is about to be written", async () => {
    await write("a.yaml", configMap("a"));
    const follower = await Follower.start();
    await write("a.yaml", "");
    await follower.until(() => follower.found.length > 0);
    expect(follower.found[0]?.message).toContain("the file is empty; its last contents stay");
    expect(follower.objects.size).toBe(1);
    await rm(join(folder, "a.yaml"));
    await follower.until(() => follower.objects.size === 0);
    expect(follower.found).toEqual([]);
  });

  test("an object in two files is named with both places; the first counts", async () => {
    await write("a.yaml", configMap("x", "first"));
    await write("b.yaml", `${configMap("y")}---\n${configMap("x", "second")}`);
    const { objects, problems } = await readFolder(folder);
    expect(objects.map((object) => object.kind === "ConfigMap" && object.data["a"]))
      .toEqual(["first", "1"]);
    expect(problems).toEqual([{
      severity: "error",
      message:
        'b.yaml:6: ConfigMap "x" in namespace "default" is already in a.yaml:1, which stays ' +
        "in force; remove one of them",
    }]);
  });

  test("two services at one address are named", async () => {
    const at = (name: string) =>
      `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec:\n  clusterIP: 10.43.0.1\n` +
      "  ports: [{ port: 80 }]\n";
    await write("a.yaml", at("one"));
    await write("b.yaml", at("two"));
    const { problems } = await readFolder(folder);
    expect(problems.map(({ message }) => message)).toEqual([
      'b.yaml:1: Service "two": spec.clusterIP: 10.43.0.1 is already the address of Service "one" ' +
      "(a.yaml:1)",
    ]);
  });
});

test("slices follow services and pods", async () => {
  await write(
    "web.yaml",
    "apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { selector: { app: web }, ports: [{ port: 80 }] }\n",
  );
  const pod = (ready: boolean) =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web-1", labels: { app: "web" } },
      spec: { containers: [{ name: "web" }] },
      status: {
        podIP: "10.42.0.1",
        conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      },
    });
  const follower = await Follower.start();
  await writeTextAtomic(join(folder, "pod.json"), pod(false));
  const isReady = (): boolean | undefined => {
    const slice = follower.objects.get("EndpointSlice default/web-ipv4-0");
    return slice?.kind === "EndpointSlice" ? slice.endpoints[0]?.conditions.ready : undefined;
  };
  await follower.until(() => isReady() === false);
  await writeTextAtomic(join(folder, "pod.json"), pod(true));
  await follower.until(() => isReady() === true);
  await rm(join(folder, "web.yaml"));
  await follower.until(() => isReady() === undefined);
});
