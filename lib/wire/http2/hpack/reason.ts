/** Why a header block cannot be decoded. The decoder returns the negated code: a connection error. */

/** All reasons; the values are for this process only and may change between versions. */
export const HpackReason = {
  /** The block ends within an integer, a string or a field. */
  TRUNCATED: 1,
  /** An integer of more bytes than any table, string or block needs. */
  INTEGER_TOO_LARGE: 2,
  /** Index 0, or one behind the last entry. */
  BAD_INDEX: 3,
  /** Padding that is longer than 7 bits or not of ones, or the end-of-string code. */
  BAD_HUFFMAN: 4,
  /** A size update above what we announced. */
  TABLE_TOO_LARGE: 5,
  /** A size update behind a field. */
  LATE_SIZE_UPDATE: 6,
} as const;

/** One of the reasons. */
export type HpackReason = (typeof HpackReason)[keyof typeof HpackReason];

const NAMES: readonly string[] = reasonNames();

/** The reason's name in words for a log line, from the code or its negation: `bad index`. */
export function hpackReasonName(code: number): string {
  return NAMES[Math.abs(code)] ?? `unknown reason ${code}`;
}

function reasonNames(): string[] {
  const names: string[] = [];
  for (const [name, code] of Object.entries(HpackReason)) {
    names[code] = name.toLowerCase().replaceAll("_", " ");
  }
  return names;
}
