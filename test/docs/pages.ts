/** The pages for operators, in the order in which they are tried. */

/** Where the pages' paths begin. */
export const TOP = new URL("../..", import.meta.url).pathname;

/** Their paths. */
export const PAGES = [
  "docs/getting-started.md",
  "docs/inject.md",
  "docs/cni.md",
  "docs/debug.md",
  "docs/upgrade.md",
  "docs/rotate.md",
  "docs/install.md",
  "docs/migrate.md",
] as const;

/** One of them. */
export type PageName = (typeof PAGES)[number];
