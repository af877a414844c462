import { expect, test } from "bun:test";
import { ErrorCode, errorCodeName } from "../wire/http2/mod.ts";
import { errorOfLoss, errorOfRefusal } from "./outcome.ts";
import {
  IDLE_TIMEOUT,
  lostRefusal,
  NO_CERTIFICATE,
  NO_ENDPOINT,
  OVERLOADED,
  REQUEST_TIMEOUT,
  RESPONSE_HEADERS_TIMEOUT,
  RESPONSE_STREAM_TIMEOUT,
  UNREACHABLE,
} from "./refusals.ts";

test("a stream that its endpoint has reset is named by its code", () => {
  const named = (code: number) => errorOfLoss(errorCodeName(code));
  expect(named(ErrorCode.CANCEL)).toBe("CANCEL");
  expect(named(ErrorCode.REFUSED_STREAM)).toBe("REFUSED");
  expect(named(ErrorCode.ENHANCE_YOUR_CALM)).toBe("ENHANCE_YOUR_CALM");
  for (const code of [ErrorCode.NO_ERROR, ErrorCode.PROTOCOL_ERROR, ErrorCode.INTERNAL_ERROR, 99]) {
    expect(named(code)).toBe("RESET");
  }
});

test("an attempt without an error has none", () => {
  expect(errorOfLoss("")).toBe("");
});

test.each([
  [REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "the request took too long"],
  [RESPONSE_HEADERS_TIMEOUT, "RESPONSE_HEADERS_TIMEOUT", "no response in time"],
  [RESPONSE_STREAM_TIMEOUT, "RESPONSE_STREAM_TIMEOUT", "the response took too long"],
  [IDLE_TIMEOUT, "IDLE_TIMEOUT", "nothing came for too long"],
])(
  "a deadline counts as itself, for the client and for the attempt: %#",
  (timeout, error, text) => {
    expect(errorOfRefusal(timeout)).toBe(error as never);
    expect(errorOfLoss(timeout.word)).toBe(error as never);
    expect(timeout.message).toBe(text);
  },
);

test.each([
  ["go away", "GO_AWAY"],
  ["protocol", "GO_AWAY"],
  // A connection that the kernel gave up is no deadline of ours.
  ["timeout", "IO"],
  ["reset", "IO"],
  ["connect", "IO"],
  ["unavailable", "IO"],
  ["failfast", "FAIL_FAST"],
  ["loadshed", "LOAD_SHED"],
  ["canceled", "CANCEL"],
  ["malformed", "UNKNOWN"],
])("lost by %s: %s, for the client as well", (word, error) => {
  expect(errorOfLoss(word)).toBe(error as never);
  expect(errorOfRefusal(lostRefusal(word))).toBe(error as never);
});

test("other answers of the proxy's own count as their kind says", () => {
  const counted = [NO_ENDPOINT, OVERLOADED, UNREACHABLE, NO_CERTIFICATE].map(errorOfRefusal);
  expect(counted).toEqual(["FAIL_FAST", "LOAD_SHED", "IO", "UNKNOWN"]);
});
