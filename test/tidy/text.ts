/** Rules about the text of single files: what only the host room may name, what hot files keep out. */

/** What only `lib/host` (and the composition root) may name, and what to use in its place. */
const HOST_ONLY: readonly (readonly [RegExp, string])[] = [
  [/\bBun\./, "a file of lib/host"],
  [/\bDate\.now\(/, "Clock.nowMs"],
  [/\bperformance\.now\(/, "Clock.monotonicMs"],
  [/\bMath\.random\(/, "a random function that is passed in"],
  [/\b(?:setTimeout|setInterval|setImmediate)\(/, "Clock.after, every or afterTurn"],
  [/\bprocess\.(?!ts"|\w*Metrics)/, "a file of lib/host"],
];

/** What a hot file keeps out, by STYLE of the byte path; `// cold: reason` on the line excuses it. */
const HOT: readonly (readonly [RegExp, string])[] = [
  [/\basync\b|\bawait\b/, "callbacks and state"],
  [/\bnew Promise\b/, "callbacks and state"],
  [/\bthrow new\b/, "a reason code"],
  [/\.(?:subarray|slice)\(/, "offsets"],
  [/\.shift\(/, "Ring"],
  [/\bJSON\./, "nothing: no JSON on the byte path"],
  [/\.bind\(/, "a shared handler with conn.data"],
  [/\btry\s*\{/, "a reason code"],
];

/** Rules for every file of the product. */
const EVERYWHERE: readonly (readonly [RegExp, string])[] = [
  [/^export default\b/, "a named export"],
  [/^export \*/, "the names"],
  [/:\s*any\b|\bas any\b|<any>/, "unknown or a real type"],
  [/\bTODO\b|\bFIXME\b|\bXXX\b/, "the work itself"],
  [/^(?:export )?(?:const )?enum\b|^(?:export )?namespace\b/, "a union of strings"],
];

/** The most lines of one file; a longer one carries `// tidy: long — reason` in its head. */
export const LINES_MAX = 500;

/** Everything that the text rules find in one file. `path` is from the top of the tree. */
export function wrongText(path: string, source: string): string[] {
  const wrong: string[] = [];
  const lines = source.split("\n");
  const long = /^\/\/ tidy: long — \S/m.test(source);
  if (lines.length > LINES_MAX && !long) {
    wrong.push(`${path}: ${lines.length} lines, at most ${LINES_MAX}`);
  }
  if (lines.length <= LINES_MAX && long) wrong.push(`${path}: "tidy: long" is stale`);
  if (!/^(?:#!.*\n)?(?:\/\/ .*\n)*\/\*\*/.test(source)) wrong.push(`${path}: no module doc`);
  const mayNameHost = path.startsWith("lib/host/") || path.startsWith("cmd/");
  const hot = /^\/\/ hot$/m.test(lines[0] ?? "");
  lines.forEach((line, index) => {
    const code = line.replace(/^\s*(?:\/\/|\*|\/\*).*$/, "");
    const at = `${path}:${index + 1}`;
    report(wrong, at, code, EVERYWHERE);
    if (!mayNameHost) report(wrong, at, code, HOST_ONLY);
    if (hot && !line.includes("// cold: ")) report(wrong, at, code, HOT);
  });
  return wrong;
}

/** What makes a test that cannot fail, or that keeps others from running. */
export function wrongTest(path: string, source: string): string[] {
  const wrong: string[] = [];
  const at = (index: number) => `${path}:${source.slice(0, index).split("\n").length}`;
  // A statement that begins with `expect` and goes on to `.rejects` is a promise that nobody awaits.
  const floating = /(?:^|[;{}])\s*\n\s*expect\((?:(?!;\n)[^])*?\)\s*\.\s*(?:rejects|resolves)\b/g;
  for (const { index, 0: text } of source.matchAll(floating)) {
    wrong.push(`${at(index + text.length)}: rejects — use await expect`);
  }
  for (const { index, 0: text } of source.matchAll(/\b(?:test|describe)\.only\b/g)) {
    wrong.push(`${at(index)}: ${text} — use nothing: all tests run`);
  }
  return wrong;
}

function report(
  wrong: string[],
  at: string,
  code: string,
  rules: readonly (readonly [RegExp, string])[],
): void {
  for (const [pattern, instead] of rules) {
    const match = pattern.exec(code);
    if (match !== null) wrong.push(`${at}: ${match[0].trim()} — use ${instead}`);
  }
}
