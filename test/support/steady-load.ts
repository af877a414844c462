/**
 * Asks at a steady rate, however long answers take (open loop), and gives up on each after a time. Run as
 * a program: URL, requests a second, seconds, the time in milliseconds. Prints what became of the second
 * half, as JSON.
 */

/** What became of the requests of the second half. */
export interface SteadyResult {
  readonly seconds: number;
  readonly good: number;
  readonly shed: number;
  readonly late: number;
  /** Times of the good ones in milliseconds, the shortest first. */
  readonly times: readonly number[];
}

if (import.meta.main) {
  const [url = "", rate = 0, seconds = 0, timeoutMs = 0] = process.argv.slice(2)
    .map((word, i) => i === 0 ? word : Number(word)) as [string, number, number, number];
  const result = { seconds: seconds / 2, good: 0, shed: 0, late: 0, times: [] as number[] };
  const asked: Promise<void>[] = [];
  const began = performance.now();
  const ask = async (counts: boolean) => {
    const at = performance.now();
    let became: "good" | "shed" | "late" = "late";
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
      await response.text();
      became = response.ok ? "good" : "shed";
    } catch {
      // It took too long, or the connection was cut.
    }
    if (!counts) return;
    result[became]++;
    if (became === "good") result.times.push(performance.now() - at);
  };
  for (let sent = 0; sent < rate * seconds;) {
    const due = Math.floor((performance.now() - began) / 1_000 * rate);
    while (sent < due) asked.push(ask(sent++ > rate * seconds / 2));
    await Bun.sleep(2);
  }
  await Promise.all(asked);
  result.times.sort((a, b) => a - b);
  console.log(JSON.stringify(result));
}
