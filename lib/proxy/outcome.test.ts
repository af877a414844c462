import { expect, test } from "bun:test";
import { ErrorCode, errorCodeName } from "../wire/http2/mod.ts";
import { errorOfCode, errorOfLoss } from "./outcome.ts";

test("a stream that its endpoint has reset is named by its code, as one that we cut off", () => {
  for (const code of [ErrorCode.CANCEL, ErrorCode.REFUSED_STREAM, ErrorCode.ENHANCE_YOUR_CALM]) {
    expect(errorOfLoss(errorCodeName(code))).toBe(errorOfCode(code));
  }
  expect(errorOfLoss(errorCodeName(ErrorCode.PROTOCOL_ERROR))).toBe("RESET");
});

test("an attempt without an error has none", () => {
  expect(errorOfLoss("")).toBe("");
});
