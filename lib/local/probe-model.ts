/** Probes of a container, with Kubernetes' defaults. */

import type { Reader } from "./reader.ts";

/** How a probe asks. A port is a number or the name of one of the container's ports. */
export type ProbeAction =
  | {
    readonly kind: "http";
    readonly path: string;
    readonly port: number | string;
    readonly tls: boolean;
    readonly host: string | null;
    readonly headers: readonly (readonly [string, string])[];
  }
  | { readonly kind: "tcp"; readonly port: number | string }
  | { readonly kind: "exec"; readonly command: readonly string[] };

/** One probe. */
export interface Probe {
  readonly action: ProbeAction;
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

const SECONDS_MAX = 86_400;

/** Reads a probe; null when there is none. */
export function readProbe(probe: Reader): Probe | null {
  if (!probe.present) return null;
  const seconds = (name: string, otherwise: number, least: number): number =>
    probe.at(name).integerOr(otherwise, least, SECONDS_MAX) * 1_000;
  return {
    action: readAction(probe),
    initialDelayMs: seconds("initialDelaySeconds", 0, 0),
    periodMs: seconds("periodSeconds", 10, 1),
    timeoutMs: seconds("timeoutSeconds", 1, 1),
    successThreshold: probe.at("successThreshold").integerOr(1, 1, 1_000),
    failureThreshold: probe.at("failureThreshold").integerOr(3, 1, 100_000),
  };
}

function readAction(probe: Reader): ProbeAction {
  const http = probe.at("httpGet");
  if (http.present) {
    return {
      kind: "http",
      path: http.at("path").textOr("/") || "/",
      port: readPort(http.at("port")),
      tls: http.at("scheme").choice(["HTTP", "HTTPS"], "HTTP") === "HTTPS",
      host: http.at("host").textOr(null),
      headers: http.at("httpHeaders").items().map((header) =>
        [headerText(header.at("name")), headerText(header.at("value"))] as const
      ),
    };
  }
  const tcp = probe.at("tcpSocket");
  if (tcp.present) return { kind: "tcp", port: readPort(tcp.at("port")) };
  const command = probe.at("exec").at("command").texts();
  if (command.length > 0) return { kind: "exec", command };
  // gRPC health checks need HTTP/2; that the port takes connections is what we can tell of it.
  const grpc = probe.at("grpc");
  if (grpc.present) return { kind: "tcp", port: grpc.at("port").integer(1, 65_535) };
  throw probe.wrong("httpGet, tcpSocket, exec or grpc");
}

function readPort(port: Reader): number | string {
  return typeof port.value === "string" ? port.text() : port.integer(1, 65_535);
}

function headerText(text: Reader): string {
  const value = text.textOr("");
  if (/[\r\n\0]/.test(value)) throw text.wrong("a text without line breaks");
  return value;
}
