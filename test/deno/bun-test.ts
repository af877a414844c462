/**
 * `bun:test` for Deno: enough of it for the pure rooms' tests (`lib/base`, `lib/wire`, `lib/mesh`).
 * Bun itself never loads this file; `deno.json` maps the name `bun:test` to it.
 */
import { expect } from "npm:expect@30.5.2";

type Body = () => void | Promise<void>;

const path: string[] = [];
const before: Body[][] = [];

function name(title: string): string {
  return [...path, title].join(" > ");
}

/** Groups tests under a title. */
export function describe(title: string, body: () => void): void {
  path.push(title);
  before.push([]);
  body();
  before.pop();
  path.pop();
}

/** Registers one test. */
export function test(title: string, body: Body): void {
  const first = before.flat();
  Deno.test(name(title), async () => {
    for (const run of first) await run();
    await body();
  });
}

/** Runs before each test of the group that is being described. */
export function beforeEach(body: Body): void {
  before.at(-1)?.push(body);
}

/** Registers one test for each row; the title's `%s` and `%p` take the row's values in order. */
test.each = <Row>(rows: readonly Row[]) => (title: string, body: (...row: Row[]) => void): void => {
  for (const row of rows) {
    const values = (Array.isArray(row) ? row : [row]) as Row[];
    let next = 0;
    const filled = title.replace(/%[a-z]/g, () => String(values[next++]));
    test(filled, () => body(...values));
  }
};

export { expect, test as it };
