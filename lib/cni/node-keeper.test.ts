/** What keeps the plugin in its place: again and again, until its end. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../test/support/fake-control.ts";
import { until } from "../../test/support/malla.ts";
import { Fault } from "../base/fault.ts";
import { NodeKeeper } from "./node-keeper.ts";

/** A keeper of files that do what a test says. */
function keeperOf(netFolder: string) {
  const clock = new ManualClock();
  const state = { problem: "", changes: [] as string[], syncs: 0, removed: false };
  const told: string[] = [];
  const keeper = new NodeKeeper({
    clock,
    files: {
      netFolder,
      sync() {
        state.syncs++;
        if (state.problem !== "") return Promise.reject(new Fault("not_found", state.problem));
        return Promise.resolve(state.changes.splice(0));
      },
      remove() {
        state.removed = true;
        return Promise.resolve(["removed"]);
      },
    },
    changed: (names) => void told.push(names.join()),
    failed: (reason) => void told.push(`failed: ${reason}`),
  });
  return { clock, state, told, keeper };
}

test("is ready once all is in its place, and tells each reason once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "malla-keeper-"));
  const { clock, state, told, keeper } = keeperOf(folder);
  const synced = async (count: number) => await until(() => state.syncs >= count);
  state.problem = "no configuration yet";
  keeper.start();
  expect(keeper.waitingFor()).toEqual(["the first look at the node"]);
  await until(() => told.length === 1);
  expect(keeper.waitingFor()).toEqual(["no configuration yet"]);
  expect(keeper.readySinceMs).toBeUndefined();
  clock.advance(5_000);
  await synced(2);
  await Bun.sleep(1);
  state.problem = "";
  state.changes = ["a", "b"];
  clock.advance(5_000);
  await until(() => keeper.waitingFor().length === 0);
  const sinceMs = clock.nowMs();
  expect(keeper.readySinceMs).toBe(sinceMs);
  expect(told).toEqual(["failed: no configuration yet", "a,b"]);
  // Nothing to do: pods were redirected all the time.
  clock.advance(5_000);
  await synced(4);
  await Bun.sleep(1);
  expect(keeper.readySinceMs).toBe(sinceMs);
  // Others wrote the configuration anew, and pods came meanwhile.
  state.changes = ["a"];
  writeFileSync(`${folder}/a`, "");
  await until(() => told.length === 3);
  expect(keeper.readySinceMs).toBe(clock.nowMs());
  await keeper.stop();
  expect([state.removed, told.at(-1)]).toEqual([true, "removed"]);
  const { syncs } = state;
  clock.advance(60_000);
  expect(state.syncs).toBe(syncs);
  rmSync(folder, { recursive: true });
});
