// hot
/** Hashes of header fields for look-ups that are verified by comparing bytes; seedless, bounded use. */

/** An odd multiplier under which the names of the static table keep apart in their upper 7 bits. */
const NAME_FACTOR = 0x1d0ec8dd;
const VALUE_FACTOR = 0x9e3779b1;

/** Of the length and three bytes, the same for upper- and lower-case letters. Never of nothing. */
export function nameHash(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const key = length ^ ((bytes[start]! | 0x20) << 8) ^
    ((bytes[start + (length >> 1)]! | 0x20) << 16) ^ ((bytes[end - 1]! | 0x20) << 24);
  return Math.imul(key, NAME_FACTOR);
}

/**
 * Of a name's hash and all bytes of the value, four at a time, since the multiplications are what a
 * byte-wise hash waits for.
 */
export function fieldHash(name: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = name ^ (end - start);
  let at = start;
  while (at + 4 <= end) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) |
      (bytes[at + 3]! << 24);
    hash = Math.imul(hash ^ word, VALUE_FACTOR);
    hash ^= hash >>> 15;
    at += 4;
  }
  while (at < end) hash = Math.imul(hash ^ bytes[at++]!, VALUE_FACTOR);
  return hash ^ (hash >>> 15);
}
