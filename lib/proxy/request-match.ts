// hot
/** Which requests belong to a route: conditions over method and path, made once, asked for each request. */

import { asciiBytes, equalsBytes } from "../base/bytes.ts";
import { compilePattern } from "../base/pattern.ts";
import type { PatternTable } from "../base/pattern-table.ts";
import type { RequestMatch } from "../mesh/service-profile.ts";
import { Method, methodCode, type RequestHead, TargetForm } from "../wire/http/mod.ts";

/** A condition in use. */
export interface RequestTest {
  /** Whether the request is one of these. */
  matches(head: RequestHead): boolean;
}

const QUESTION = 0x3f;
const SLASH = 0x2f;
const ROOT = asciiBytes("/");

/** Makes a condition. Throws `invalid_argument` for a pattern that cannot be used. */
export function requestTest(match: RequestMatch): RequestTest {
  switch (match.kind) {
    case "all":
      return new Every(match.of.map(requestTest));
    case "any":
      return new Some(match.of.map(requestTest));
    case "not":
      return new Not(requestTest(match.of));
    case "path":
      return new OnPath(compilePattern(match.pattern));
    case "method":
      return new OnMethod(asciiBytes(match.method));
  }
}

class Every implements RequestTest {
  readonly #tests: readonly RequestTest[];

  constructor(tests: readonly RequestTest[]) {
    this.#tests = tests;
  }

  matches(head: RequestHead): boolean {
    for (let i = 0; i < this.#tests.length; i++) {
      if (!this.#tests[i]!.matches(head)) return false;
    }
    return true;
  }
}

class Some implements RequestTest {
  readonly #tests: readonly RequestTest[];

  constructor(tests: readonly RequestTest[]) {
    this.#tests = tests;
  }

  matches(head: RequestHead): boolean {
    for (let i = 0; i < this.#tests.length; i++) {
      if (this.#tests[i]!.matches(head)) return true;
    }
    return false;
  }
}

class Not implements RequestTest {
  readonly #test: RequestTest;

  constructor(test: RequestTest) {
    this.#test = test;
  }

  matches(head: RequestHead): boolean {
    return !this.#test.matches(head);
  }
}

class OnMethod implements RequestTest {
  readonly #code: Method;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#code = methodCode(bytes, 0, bytes.length);
    this.#bytes = bytes;
  }

  matches(head: RequestHead): boolean {
    if (this.#code !== Method.OTHER) return head.method === this.#code;
    return equalsBytes(head.bytes, head.methodStart, head.methodEnd, this.#bytes);
  }
}

/** The path is what stands before the query, and behind the authority of an absolute target. */
class OnPath implements RequestTest {
  readonly #pattern: PatternTable;

  constructor(pattern: PatternTable) {
    this.#pattern = pattern;
  }

  matches(head: RequestHead): boolean {
    const { bytes, targetEnd } = head;
    const start = head.targetForm === TargetForm.ABSOLUTE
      ? behindAuthority(head)
      : head.targetStart;
    let end = start;
    while (end < targetEnd && bytes[end] !== QUESTION) end++;
    if (end > start) return this.#pattern.matches(bytes, start, end);
    return this.#pattern.matches(ROOT, 0, ROOT.length);
  }
}

function behindAuthority({ bytes, targetStart, targetEnd }: RequestHead): number {
  let slashes = 0;
  for (let i = targetStart; i < targetEnd; i++) {
    if (bytes[i] === QUESTION) return i;
    // Two behind the scheme, and the path begins with the third.
    if (bytes[i] === SLASH && ++slashes === 3) return i;
  }
  return targetEnd;
}
