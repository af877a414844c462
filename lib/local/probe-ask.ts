/** Asks one probe once. */

import { probeConnect, probeRequest } from "../host/probe.ts";
import type { Probe, ProbeAction } from "./probe-model.ts";

/** Whom a probe asks. */
export interface ProbeSubject {
  /** The file of the pod's network namespace: probes come from within, past the proxy. */
  readonly namespace: string | null;
  readonly ip: string;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  /** Runs a command in the container; null when it succeeded. */
  run(command: readonly string[]): Promise<string | null>;
}

/** null when all is well, else what is wrong. */
export async function askProbe(probe: Probe, subject: ProbeSubject): Promise<string | null> {
  const { action, timeoutMs } = probe;
  if (action.kind === "exec") return await subject.run(action.command);
  const port = typeof action.port === "number"
    ? action.port
    : subject.ports.find(({ name }) => name === action.port)?.port;
  if (port === undefined) return `the container has no port named "${action.port}"`;
  const target = { namespace: subject.namespace, ip: subject.ip, port, timeoutMs };
  if (action.kind === "tcp") {
    const answer = await probeConnect(target);
    return answer.ok ? null : `${subject.ip}:${port}: ${answer.reason}`;
  }
  const answer = await probeRequest(target, httpRequest(action, subject.ip, port), action.tls);
  const where = `GET ${action.path} of ${subject.ip}:${port}`;
  if (!answer.ok) return `${where}: ${answer.reason}`;
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer.text)?.[1]);
  if (status >= 200 && status < 400) return null;
  return `${where}: ${Number.isNaN(status) ? "the answer is not HTTP" : `status ${status}`}`;
}

/** The request as kubelet sends it. */
export function httpRequest(
  action: Extract<ProbeAction, { readonly kind: "http" }>,
  ip: string,
  port: number,
): string {
  const own = new Map<string, string>([
    ["Host", action.host ?? `${ip}:${port}`],
    ["User-Agent", "kube-probe/malla"],
    ["Accept", "*/*"],
    ["Connection", "close"],
  ]);
  for (const [name, value] of action.headers) {
    for (const known of own.keys()) {
      if (known.toLowerCase() === name.toLowerCase()) own.delete(known);
    }
    own.set(name, value);
  }
  const path = action.path.startsWith("/") ? action.path : `/${action.path}`;
  const headers = [...own].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `GET ${path.replace(/[\s\0]/g, encodeURIComponent)} HTTP/1.1\r\n${headers}\r\n`;
}
