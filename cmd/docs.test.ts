/** The committed reference of settings is the one that the schemas give. */

import { expect, test } from "bun:test";
import { configurationPage, REFERENCE_PATH } from "./docs.ts";

test("docs/configuration.md is current; `bun run docs` writes it", async () => {
  expect(await Bun.file(REFERENCE_PATH).text()).toBe(configurationPage());
});
