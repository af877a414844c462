/** Figures as people read them, and the words for their state. */

/** The class of a success rate: 99 % is the line to look at, 95 % the one to act on. */
export function health(/** @type {number | null} */ rate) {
  if (rate === null) return "idle";
  if (rate < 0.95) return "bad";
  return rate < 0.99 ? "poor" : "good";
}

/** 99.95 % must not become 100 %: only a whole success is shown as such. */
export function percent(/** @type {number | null} */ rate) {
  if (rate === null) return "–";
  if (rate === 1) return "100 %";
  return `${(Math.floor(rate * 10_000) / 100).toFixed(rate < 0.1 ? 1 : 2)} %`;
}

export function perSecond(/** @type {number | null} */ value) {
  if (value === null) return "–";
  if (value >= 10_000) return `${(value / 1_000).toFixed(1)}k`;
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(1);
}

export function milliseconds(/** @type {number | null} */ value) {
  if (value === null) return "–";
  if (value >= 10_000) return `${(value / 1_000).toFixed(1)} s`;
  return value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

export function bytes(/** @type {number} */ value) {
  if (value < 1) return "0";
  const units = ["B", "kB", "MB", "GB"];
  let size = value;
  let unit = 0;
  while (size >= 1_000 && unit < units.length - 1) {
    size /= 1_000;
    unit++;
  }
  return `${size >= 100 || unit === 0 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`;
}

/** Reasons in the contract's words, for people. */
export function reasonText(/** @type {string} */ reason) {
  const text = {
    not_provided_by_service_discovery: "callee is not meshed",
    no_tls_from_remote: "caller is not meshed",
    no_identity: "no identity",
    port_skipped: "port is skipped",
    loopback: "loopback",
    disabled: "turned off",
    opaque: "its own TLS",
  }[reason];
  return text ?? reason.replaceAll("_", " ");
}

/** An identity without the part that all of a mesh share. */
export function shortIdentity(/** @type {string} */ id) {
  return id.replace(/\.serviceaccount\.identity\..*$/, "");
}
