/** Structured logs on standard error: one JSON object a line, or plain text for people. Owns pino. */

import pino from "pino";

/** Severity, from silent to most talkative. */
export type LogLevel = "silent" | "error" | "warn" | "info" | "debug" | "trace";

/** Facts that go with a message. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines. The message is lower-case text without values; values are fields. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** Changes the level of this logger and of all its children made after. */
  setLevel(level: LogLevel): void;
  level(): LogLevel;
}

/** How a process logs. */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: "json" | "plain";
  /** The mode of the executable, such as `proxy`; it stands in each line. */
  readonly name: string;
}

const PLAIN_LEVELS: Readonly<Record<number, string>> = {
  20: "DEBUG",
  30: "INFO ",
  40: "WARN ",
  50: "ERROR",
};

/** Makes the process's logger; it writes synchronously to standard error. */
export function createLogger(options: LoggerOptions): Logger {
  const target = pino.destination({ dest: 2, sync: true });
  const stream = options.format === "plain"
    ? { write: (line: string) => void target.write(plainLine(line)) }
    : target;
  const log = pino({ level: options.level, base: { mode: options.name } }, stream);
  return {
    error: (message, fields) => log.error(fields ?? {}, message),
    warn: (message, fields) => log.warn(fields ?? {}, message),
    info: (message, fields) => log.info(fields ?? {}, message),
    debug: (message, fields) => log.debug(fields ?? {}, message),
    setLevel: (level) => void (log.level = level),
    level: () => log.level as LogLevel,
  };
}

/** A logger that says nothing, for tests. */
export const silentLogger: Logger = {
  error() {},
  warn() {},
  info() {},
  debug() {},
  setLevel() {},
  level: () => "silent",
};

function plainLine(json: string): string {
  const { level, time, mode, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const at = new Date(Number(time)).toISOString();
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${plainValue(value)}`);
  return `${at} ${PLAIN_LEVELS[Number(level)] ?? level} ${mode}: ${msg}${rest.join("")}\n`;
}

function plainValue(value: unknown): string {
  return typeof value === "string" && /^[^\s"]+$/.test(value) ? value : JSON.stringify(value);
}
