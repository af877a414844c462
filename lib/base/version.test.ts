/** The version stands in three places, which must agree. */

import { expect, test } from "bun:test";
import { VERSION } from "./version.ts";

test.each(["package.json", "deno.json"])("%s has the program's version", async (name: string) => {
  const top = new URL("../../", import.meta.url);
  const { default: facts } = await import(new URL(name, top).href, { with: { type: "json" } });
  expect(facts.version).toBe(VERSION);
});
