/** Assertions that stay on in production: a failed one is a bug of ours, never a bad input. */

/** Throws when a thing that must be true is not; the process is expected to end and be restarted. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** For the `default:` of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable value ${JSON.stringify(value)}`);
}

/** A bug of this program. Nobody catches it on purpose. */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}
