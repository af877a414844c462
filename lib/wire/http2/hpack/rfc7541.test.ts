/** The examples of RFC 7541 appendix C: what each block means, and what the table holds after it. */

import { expect, test } from "bun:test";
import { decodeBlock, type Field, fieldsOf, hex, tableOf } from "../../../../test/support/hpack.ts";
import { HpackDecoder } from "./mod.ts";

/** A block, its fields, and the table's lines (the newest first) and size after it. */
type Step = readonly [
  block: string,
  fields: readonly Field[],
  table: readonly string[],
  size: number,
];

function follow(steps: readonly Step[], decoder = new HpackDecoder()): void {
  for (const [block, fields, table, size] of steps) {
    const { result, lines } = decodeBlock(decoder, hex(block));
    expect(result).toBe(0);
    expect(lines.malformed || lines.tooLarge).toBe(false);
    expect(fieldsOf(lines)).toEqual([...fields]);
    expect(tableOf(decoder.table)).toEqual([...table]);
    expect(decoder.table.size).toBe(size);
  }
}

/** What the three requests of C.3 and C.4 mean, whose blocks differ. */
const REQUESTS: readonly (readonly [readonly Field[], readonly string[], number])[] = [
  [
    [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "www.example.com"]],
    [":authority: www.example.com"],
    57,
  ],
  [
    [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "www.example.com"],
      ["cache-control", "no-cache"],
    ],
    ["cache-control: no-cache", ":authority: www.example.com"],
    110,
  ],
  [
    [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/index.html"],
      [":authority", "www.example.com"],
      ["custom-key", "custom-value"],
    ],
    ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
    164,
  ],
];

const SITE = "https://www.example.com";
const FIRST_DATE = "Mon, 21 Oct 2013 20:13:21 GMT";
const LAST_DATE = "Mon, 21 Oct 2013 20:13:22 GMT";
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/** What the three responses of C.5 and C.6 mean, with a table of 256 bytes. */
const RESPONSES: typeof REQUESTS = [
  [
    [[":status", "302"], ["cache-control", "private"], ["date", FIRST_DATE], ["location", SITE]],
    [`location: ${SITE}`, `date: ${FIRST_DATE}`, "cache-control: private", ":status: 302"],
    222,
  ],
  [
    [[":status", "307"], ["cache-control", "private"], ["date", FIRST_DATE], ["location", SITE]],
    [":status: 307", `location: ${SITE}`, `date: ${FIRST_DATE}`, "cache-control: private"],
    222,
  ],
  [
    [
      [":status", "200"],
      ["cache-control", "private"],
      ["date", LAST_DATE],
      ["location", SITE],
      ["content-encoding", "gzip"],
      ["set-cookie", COOKIE],
    ],
    [`set-cookie: ${COOKIE}`, "content-encoding: gzip", `date: ${LAST_DATE}`],
    215,
  ],
];

function steps(blocks: readonly string[], meanings: typeof REQUESTS): Step[] {
  return blocks.map((block, i) => [block, ...meanings[i]!]);
}

test("C.2: the kinds of fields", () => {
  follow([[
    "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
    [["custom-key", "custom-header"]],
    ["custom-key: custom-header"],
    55,
  ]]);
  follow([["040c 2f73 616d 706c 652f 7061 7468", [[":path", "/sample/path"]], [], 0]]);
  follow([["1008 7061 7373 776f 7264 0673 6563 7265 74", [["password", "secret", true]], [], 0]]);
  follow([["82", [[":method", "GET"]], [], 0]]);
});

test("C.3: requests without Huffman code", () => {
  const blocks = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ];
  follow(steps(blocks, REQUESTS));
});

test("C.4: requests with Huffman code", () => {
  const blocks = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ];
  follow(steps(blocks, REQUESTS));
});

/** A size update to 256, in front of what the RFC takes to be agreed on otherwise. */
const TABLE_256 = "3fe1 01";

test("C.5: responses without Huffman code, with eviction", () => {
  const blocks = [
    TABLE_256 + "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133" +
    "2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63" +
    "6f6d",
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04" +
    "677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49" +
    "553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
  ];
  follow(steps(blocks, RESPONSES));
});

test("C.6: responses with Huffman code, with eviction", () => {
  const blocks = [
    TABLE_256 + "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6" +
    "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7" +
    "821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed" +
    "4ee5 b106 3d50 07",
  ];
  follow(steps(blocks, RESPONSES));
});
