/** The note of a running mesh: where it lies, and that only a whole one is believed. */

import { expect, test } from "bun:test";
import { formatMeshState, meshStatePath, parseMeshState } from "./state.ts";

const state = {
  pid: 42,
  startedAt: "2026-01-02T03:04:05.000Z",
  pageUrl: "http://127.0.0.1:8084",
  controlSocket: "/run/user/1000/malla/control",
};

test("lies in the user's runtime folder, else in a folder of the user's own", () => {
  expect(meshStatePath({ XDG_RUNTIME_DIR: "/run/user/7" }, 7)).toBe("/run/user/7/malla/mesh.json");
  expect(meshStatePath({}, 7)).toBe("/tmp/malla-7/mesh.json");
  expect(meshStatePath({ MALLA_STATE: "/x.json" }, 7)).toBe("/x.json");
});

test("what is written is read", () => {
  expect(parseMeshState(formatMeshState(state))).toEqual(state);
});

test.each([[""], ["{"], ["null"], ["[]"], ["{}"], [JSON.stringify({ ...state, pid: "42" })]])(
  "%p is no note",
  (text) => expect(parseMeshState(text)).toBeUndefined(),
);
