/**
 * The counters of a simulated proxy: counts strictly, so that what is counted twice or never ended is
 * found where it happens or at the end of a run.
 */

import type {
  ErrorKind,
  HttpMetrics,
  PathMetrics,
  TransportMetrics,
} from "../../lib/proxy/environment.ts";
import { type Labels, labelsKey } from "../../lib/telemetry/metric.ts";
import { Violation, type World } from "./world.ts";

/** Connections of one label set. */
class Transport implements TransportMetrics {
  opens = 0;
  closes = 0;
  bytesRead = 0;
  bytesWritten = 0;

  opened(): void {
    this.opens++;
  }

  read(bytes: number): void {
    if (!(bytes >= 0)) throw new Violation(`${bytes} bytes read`);
    this.bytesRead += bytes;
  }

  wrote(bytes: number): void {
    if (!(bytes >= 0)) throw new Violation(`${bytes} bytes written`);
    this.bytesWritten += bytes;
  }

  closed(_errno: string): void {
    this.closes++;
    if (this.closes > this.opens) throw new Violation("a connection was counted as closed twice");
  }
}

/** Requests of one label set. */
class Http implements HttpMetrics {
  requests = 0;
  responses = 0;

  request(): void {
    this.requests++;
  }

  response(status: number, success: boolean, latencyMs: number, error: string): void {
    this.responses++;
    if (this.responses > this.requests) throw new Violation("a response was counted twice");
    if (!(latencyMs >= 0)) throw new Violation(`a latency of ${latencyMs} ms`);
    if (success && (error !== "" || status === 0)) {
      throw new Violation(`a success with status ${status} and error "${error}"`);
    }
  }
}

/** All counters of one proxy. */
export class StrictMetrics implements PathMetrics {
  readonly transports = new Map<string, Transport>();
  readonly https = new Map<string, Http>();
  readonly failures = new Map<string, number>();
  readonly #world: World;
  readonly #name: string;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
  }

  transport(labels: Labels): TransportMetrics {
    const key = labelsKey(labels);
    let found = this.transports.get(key);
    if (found === undefined) this.transports.set(key, found = new Transport());
    return found;
  }

  http(labels: Labels): HttpMetrics {
    const key = labelsKey(labels);
    let found = this.https.get(key);
    if (found === undefined) this.https.set(key, found = new Http());
    return found;
  }

  authorized(): void {}

  retried(): void {}

  failed(direction: "inbound" | "outbound", protocol: "http" | "tcp", error: ErrorKind): void {
    const key = `${direction} ${protocol} ${error}`;
    this.failures.set(key, (this.failures.get(key) ?? 0) + 1);
    this.#world.note(() => `${this.#name} counts a failure: ${key}`);
  }

  /** What does not add up when nothing is open any more. */
  unbalanced(): string[] {
    const wrong: string[] = [];
    for (const [key, { opens, closes }] of this.transports) {
      if (opens !== closes) wrong.push(`${opens} opened and ${closes} closed of ${shortKey(key)}`);
    }
    for (const [key, { requests, responses }] of this.https) {
      if (requests !== responses) {
        wrong.push(`${requests} requests, ${responses} ended of ${shortKey(key)}`);
      }
    }
    return wrong;
  }
}

/** Labels that tell one series from the others of a run. */
function shortKey(key: string): string {
  return (key.match(/(?:direction|peer|target_addr)=\S+/g) ?? []).join(" ");
}
