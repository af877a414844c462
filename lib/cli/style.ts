/** Colours and symbols of the command line. Without colours everything is still said in words. */

/** Puts colours around texts, or leaves them as they are. */
export interface Style {
  bold(text: string): string;
  faint(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** The signs of a check's outcome, and of a secured edge. */
export const SYMBOLS = { ok: "√", warn: "‼", fail: "×" } as const;

/** Makes a style. */
export function createStyle(colours: boolean): Style {
  const paint = (code: number) => (text: string) =>
    colours && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text;
  return {
    bold: paint(1),
    faint: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
}

/** How many columns a text takes: colours take none. */
export function visibleLength(text: string): number {
  // deno-lint-ignore no-control-regex -- ESC is what colours begin with
  return [...text.replaceAll(/\u001b\[[0-9;]*m/g, "")].length;
}
