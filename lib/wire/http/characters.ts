/** Which bytes may stand where in HTTP/1, as tables of 0 and 1 indexed by the byte. */

import { asciiBytes } from "../../base/bytes.ts";

const ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** `tchar` of RFC 9110 §5.6.2: methods and field names. */
export const TOKEN: Uint8Array = tableOf(ALPHANUMERIC + "!#$%&'*+-.^_`|~");

/**
 * Field values: visible ASCII, space, tab and bytes from 0x80 on. No other control byte: NUL, CR and
 * LF are where parsers disagree.
 */
export const FIELD_VALUE: Uint8Array = tableOfRange(0x20, 0xff);
FIELD_VALUE[0x09] = 1;
FIELD_VALUE[0x7f] = 0;

/**
 * Request targets: anything visible but `#` (a fragment is never sent, and servers disagree on where
 * the path ends). Raw UTF-8 is not allowed by the RFC but common, and ambiguous to nobody.
 */
export const TARGET: Uint8Array = tableOfRange(0x21, 0xff);
TARGET[0x23] = 0;
TARGET[0x7f] = 0;

/** Host and port: `reg-name`, IP literals in brackets, and the colon before the port. */
export const HOST: Uint8Array = tableOf(ALPHANUMERIC + "-._~%!$&'()*+,;=:[]");

function tableOf(characters: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of asciiBytes(characters)) table[byte] = 1;
  return table;
}

function tableOfRange(first: number, last: number): Uint8Array {
  return new Uint8Array(256).fill(1, first, last + 1);
}
