/** Blocks of other implementations mean to us what went into them. */

import { describe, expect, test } from "bun:test";
import { BLOCKS, HEADER_LISTS } from "../../../../test/fixtures/hpack-blocks.ts";
import { decodeBlock, fieldsOf, hex } from "../../../../test/support/hpack.ts";
import { FieldLines } from "../../http/field-lines.ts";
import { HpackDecoder } from "./mod.ts";

/**
 * Go and nghttp2 were told that the fourth list's token is sensitive; nghttp2 treats short cookies so on
 * its own.
 */
const NEVER_INDEXED: Readonly<Record<string, readonly string[]>> = {
  go: ["authorization"],
  nghttp2: ["cookie", "authorization"],
};

describe("blocks made by", () => {
  test.each(Object.keys(BLOCKS))("%s", (maker) => {
    const blocks = BLOCKS[maker] ?? [];
    expect(blocks.length).toBe(HEADER_LISTS.length);
    const decoder = new HpackDecoder();
    const lines = new FieldLines();
    blocks.forEach((block, i) => {
      const { tableBytes, fields } = HEADER_LISTS[i]!;
      expect(decodeBlock(decoder, hex(block), lines).result).toBe(0);
      expect([lines.malformed, lines.tooLarge]).toEqual([false, false]);
      expect(fieldsOf(lines).map(([name, value]) => `${name}: ${value}`)).toEqual(
        fields.map(([name, value]) => `${name}: ${value}`),
      );
      expect(decoder.table.maxBytes).toBe(tableBytes);
      const never = fieldsOf(lines).filter((field) => field[2]).map(([name]) => name);
      expect(never).toEqual(i === 3 ? [...NEVER_INDEXED[maker] ?? []] : []);
    });
    expect(decoder.table.size).toBeGreaterThan(0);
  });
});
