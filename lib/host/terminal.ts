/** This process's terminal: what the command line writes to. */

/** Standard output and error, and what is known of them. */
export interface Terminal {
  write(text: string): void;
  writeError(text: string): void;
  /** Standard output is a terminal, so lines may be redrawn. */
  readonly isInteractive: boolean;
  /** Colours are wanted: a terminal, and neither NO_COLOR nor TERM=dumb. */
  readonly colours: boolean;
  /** Width in characters; 80 where nobody knows. */
  columns(): number;
}

/** As shells count a program that SIGPIPE ended. */
const EXIT_PIPE = 141;

/** The terminal of this process. */
export function processTerminal(): Terminal {
  // Whoever read us (`head`, a pager) has had enough: that is an end, not a failure.
  process.stdout.on("error", (error: Error & { readonly code?: string }) => {
    if (error.code === "EPIPE") process.exit(EXIT_PIPE);
    throw error;
  });
  const isInteractive = process.stdout.isTTY === true;
  const isPlain = Boolean(process.env["NO_COLOR"]) || process.env["TERM"] === "dumb";
  return {
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    isInteractive,
    colours: isInteractive && !isPlain,
    columns: () => process.stdout.columns || 80,
  };
}
