/** The likeliest meaning of a mistyped word, for "did you mean" in messages. */

/** The candidate closest to the word by edit distance; undefined when none is near enough to help. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  // A third of the word may be wrong, at least two letters, but no more than half of it: such a one
  // is another word.
  const wrongMax = Math.min(Math.max(2, Math.floor(word.length / 3)), Math.floor(word.length / 2));
  let bestDistance = wrongMax + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** How many letters must be inserted, removed or changed to turn one word into the other. */
export function editDistance(source: string, target: string): number {
  let row = Array.from({ length: target.length + 1 }, (_, index) => index);
  for (let i = 1; i <= source.length; i++) {
    const next = [i];
    for (let j = 1; j <= target.length; j++) {
      const changed = source[i - 1] === target[j - 1] ? 0 : 1;
      const kept = (row[j - 1] ?? 0) + changed;
      next.push(Math.min(kept, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[target.length] ?? 0;
}
