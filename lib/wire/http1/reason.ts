/** Why an HTTP/1 message is refused. Parsers return the negated code; the relay names it in its log. */

/** All reasons; the values are for this process only and may change between versions. */
export const Http1Reason = {
  BAD_REQUEST_LINE: 1,
  BAD_STATUS_LINE: 2,
  BAD_METHOD: 3,
  BAD_TARGET: 4,
  BAD_VERSION: 5,
  BAD_HEADER_NAME: 6,
  BAD_HEADER_VALUE: 7,
  /** A header line that begins with white space continues the one before it: obsolete, ambiguous. */
  OBS_FOLD: 8,
  BARE_LF: 9,
  BARE_CR: 10,
  BAD_CONTENT_LENGTH: 11,
  /** More than one Content-Length. */
  CONFLICTING_LENGTH: 12,
  BAD_TRANSFER_ENCODING: 13,
  LENGTH_AND_CHUNKED: 14,
  /** No Host or several in HTTP/1.1, or a Host that cannot be one. */
  BAD_HOST: 15,
  TOO_LARGE: 16,
  TOO_MANY_HEADERS: 17,
  BAD_CHUNK_SIZE: 18,
  BAD_CHUNK_EXTENSION: 19,
  /** A chunk's data is not followed by CRLF. */
  BAD_CHUNK_END: 20,
  BAD_TRAILER: 21,
} as const;

/** One of the reasons. */
export type Http1Reason = (typeof Http1Reason)[keyof typeof Http1Reason];

const NAMES: readonly string[] = reasonNames();

/** The reason's name in words for a log line, from the code or its negation: `bare lf`. */
export function http1ReasonName(code: number): string {
  return NAMES[Math.abs(code)] ?? `unknown reason ${code}`;
}

function reasonNames(): string[] {
  const names: string[] = [];
  for (const [name, code] of Object.entries(Http1Reason)) {
    names[code] = name.toLowerCase().replaceAll("_", " ");
  }
  return names;
}
