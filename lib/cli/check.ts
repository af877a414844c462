/**
 * The check engine: categories of checks, each ending in ok, warn or fail with a message and what to
 * do. Checks of a category run in order, and a failed one that others stand on ends its category.
 */

import { describeError, Fault } from "../base/fault.ts";
import { type Clock, sleep } from "../host/clock.ts";
import { grantingCommands } from "../source/kube/grant.ts";
import { type Style, SYMBOLS } from "./style.ts";

/** How a check ended. */
export interface Outcome {
  readonly status: "ok" | "warn" | "fail";
  /** What was found, when it is not ok. */
  readonly message?: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** One check. */
export interface Check {
  /** What should be true: `the kernel allows user namespaces`. */
  readonly name: string;
  /** The rest of the category makes no sense without it; or the rest of all. */
  readonly isBasis?: boolean | "of all";
  /** What it waits for may come by itself: it runs again until it is so, as long as people wait. */
  readonly retries?: boolean;
  readonly run: () => Promise<Outcome>;
}

/** Checks that belong together. */
export interface Category {
  readonly name: string;
  readonly checks: readonly Check[];
}

/** A check that has run. */
export interface CheckResult extends Outcome {
  readonly name: string;
}

/** A category that has run. */
export interface CategoryResult {
  readonly name: string;
  readonly results: readonly CheckResult[];
}

/** All went well. */
export const PASSED: Outcome = { status: "ok" };

/** How long checks may wait for what comes by itself. */
export interface Patience {
  readonly clock: Clock;
  readonly waitMs: number;
  /** Called before a check runs again. */
  readonly again: () => void;
}

const PERIOD_MS = 1_000;
/** What is no obstacle is not waited for as long: figures that come now and then come in this time. */
const WARNING_WAIT_MS = 30_000;

const FORBIDDEN =
  "kubectl auth can-i --list shows what this user may; an administrator can grant " +
  "what is missing with kubectl create clusterrole and clusterrolebinding";

/** Runs all checks; what a check throws is a failure. Calls back after each category. */
export async function runChecks(
  categories: readonly Category[],
  done?: (result: CategoryResult) => void,
  patience?: Patience,
): Promise<readonly CategoryResult[]> {
  const all: CategoryResult[] = [];
  for (const { name, checks } of categories) {
    const results: CheckResult[] = [];
    let missing: Check["isBasis"];
    for (const check of checks) {
      const outcome = await outcomeOf(check, patience);
      results.push({ name: check.name, ...outcome });
      if (outcome.status === "fail") missing = check.isBasis;
      if (missing) break;
    }
    const result = { name, results };
    all.push(result);
    done?.(result);
    if (missing === "of all") break;
  }
  return all;
}

async function outcomeOf(check: Check, patience: Patience | undefined): Promise<Outcome> {
  let isRightMissing = false;
  const once = () =>
    check.run().catch((error: unknown): Outcome => {
      const isForbidden = error instanceof Fault && error.code === "permission_denied";
      const commands = grantingCommands(error);
      isRightMissing = commands !== undefined;
      return {
        status: "fail",
        message: describeError(error),
        ...isForbidden ? { hint: commands ?? FORBIDDEN } : {},
      };
    });
  let outcome = await once();
  if (patience === undefined || check.retries !== true) return outcome;
  const { clock, waitMs, again } = patience;
  const beganMs = clock.monotonicMs();
  const limits = { ok: 0, warn: Math.min(waitMs, WARNING_WAIT_MS), fail: waitMs };
  // A right comes by whoever grants it, and until then there is nothing to wait for.
  while (!isRightMissing && clock.monotonicMs() - beganMs < limits[outcome.status]) {
    await sleep(clock, PERIOD_MS);
    again();
    outcome = await once();
  }
  return outcome;
}

/** Whether no check failed; warnings pass. */
export function isPassed(categories: readonly CategoryResult[]): boolean {
  return categories.every(({ results }) => results.every(({ status }) => status !== "fail"));
}

/** A category for people. */
export function formatCategory({ name, results }: CategoryResult, style: Style): string {
  const lines = results.map((result) => {
    const symbol = paintSymbol(result.status, style);
    const message = result.message === undefined ? "" : `\n    ${indent(result.message)}`;
    const hint = result.hint === undefined
      ? ""
      : `\n    ${style.faint(`→ ${indent(result.hint)}`)}`;
    return `${symbol} ${result.name}${message}${hint}\n`;
  });
  return `${style.bold(name)}\n${"-".repeat(name.length)}\n${lines.join("")}\n`;
}

/** A category with what is not well in it; empty when all is. */
export function formatShortly(category: CategoryResult, style: Style): string {
  const results = category.results.filter(({ status }) => status !== "ok");
  return results.length === 0 ? "" : formatCategory({ ...category, results }, style);
}

/** The last line. */
export function formatSummary(categories: readonly CategoryResult[], style: Style): string {
  const statuses = categories.flatMap(({ results }) => results.map(({ status }) => status));
  const worst = statuses.includes("fail") ? "fail" : statuses.includes("warn") ? "warn" : "ok";
  return `Status check results are ${paintSymbol(worst, style)}\n`;
}

const JSON_RESULTS = { ok: "success", warn: "warning", fail: "error" } as const;

/** The results in the form that scripts for Linkerd's command line read. */
export function checksJson(
  categories: readonly CategoryResult[],
): Readonly<Record<string, unknown>> {
  return {
    success: isPassed(categories),
    categories: categories.map(({ name, results }) => ({
      categoryName: name,
      checks: results.map((result) => ({
        description: result.name,
        result: JSON_RESULTS[result.status],
        ...result.message === undefined ? {} : { error: result.message },
        ...result.hint === undefined ? {} : { hint: result.hint },
      })),
    })),
  };
}

function paintSymbol(status: Outcome["status"], style: Style): string {
  const symbol = SYMBOLS[status];
  if (status === "ok") return style.green(symbol);
  return status === "warn" ? style.yellow(symbol) : style.red(symbol);
}

function indent(text: string): string {
  return text.trim().replaceAll("\n", "\n    ");
}
