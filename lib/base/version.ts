/** Which release this is. */

/** The version, as package.json and deno.json have it (a test compares). */
export const VERSION = "0.1.0";

/** Put in by the build (`--define`); absent when run from source. */
declare const MALLA_COMMIT: string | undefined;

/** The commit that the executable was built from; undefined when run from source. */
export const COMMIT: string | undefined = typeof MALLA_COMMIT === "string" && MALLA_COMMIT !== ""
  ? MALLA_COMMIT
  : undefined;
