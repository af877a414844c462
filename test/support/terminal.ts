/** A terminal that keeps what is written to it. */

import type { Terminal } from "../../lib/host/terminal.ts";

/** Such a terminal, without colours and 80 columns wide. */
export function textTerminal(): {
  readonly terminal: Terminal;
  readonly out: () => string;
  readonly err: () => string;
} {
  let out = "";
  let err = "";
  const terminal: Terminal = {
    write: (text) => void (out += text),
    writeError: (text) => void (err += text),
    isInteractive: false,
    colours: false,
    columns: () => 80,
  };
  return { terminal, out: () => out, err: () => err };
}
