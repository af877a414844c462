/** Figures in tables, in the forms that users of Linkerd's command line know. */

/** `100.00%`, or `-` without answers. Never rounds up to a success that was not whole. */
export function formatRate(rate: number | null): string {
  return rate === null ? "-" : `${(Math.floor(rate * 10_000) / 100).toFixed(2)}%`;
}

/** `12.3rps`, or `-` without HTTP. */
export function formatRps(rps: number | null): string {
  return rps === null ? "-" : `${rps.toFixed(1)}rps`;
}

/** `12ms`, or `-` without answers. */
export function formatMs(ms: number | null): string {
  return ms === null ? "-" : `${Math.round(ms)}ms`;
}

/** `1.5MB/s`. */
export function formatBytes(perSecond: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let size = perSecond;
  let unit = 0;
  while (size >= 1_000 && unit < units.length - 1) {
    size /= 1_000;
    unit++;
  }
  return `${size.toFixed(unit === 0 ? 0 : 1)}${units[unit]}/s`;
}
