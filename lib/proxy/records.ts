/**
 * What a core writes down of single requests, as its settings say: an access log, traces, usually
 * neither. What only traces need is loaded when there is a first span.
 */

import { describeError } from "../base/fault.ts";
import { Channel } from "../contract/channel.ts";
import type { Attributes, TraceSpan } from "../contract/trace-export.ts";
import { readText } from "../host/files.ts";
import type { LineWriter } from "../host/line-writer.ts";
import type { Registry } from "../telemetry/registry.ts";
import { AccessLog } from "./access-log.ts";
import { channel } from "./control-plane.ts";
import type { CoreHost } from "./core.ts";
import type { Credentials } from "./environment.ts";
import type { ProxySettings } from "./settings.ts";
import { traceResource } from "./trace-resource.ts";
import { TraceQueue } from "./trace-queue.ts";
import { TraceRecorder } from "./trace-recorder.ts";
import type { Recorder } from "./outcome.ts";

/** What records are made from. */
export interface RecordsOptions {
  readonly settings: ProxySettings;
  readonly host: CoreHost;
  readonly registry: Registry;
  /** Our certificate of this moment, for a collector in the mesh. */
  readonly credentials: () => Credentials | null;
}

/** The records of one core. */
export class Records {
  readonly recorders: readonly Recorder[];
  readonly #options: RecordsOptions;
  readonly #lines: LineWriter | null;
  readonly #collector: Channel | null;
  readonly #queue: TraceQueue | null;
  #resource: Promise<Attributes> | null = null;

  constructor(options: RecordsOptions) {
    const { settings, host, registry } = options;
    const { clock, random, log } = host;
    this.#options = options;
    const recorders: Recorder[] = [];
    const { accessLog: format, traceCollector, traceCollectorName } = settings;
    this.#lines = format === undefined ? null : host.openAccessLog();
    if (format !== undefined && this.#lines !== null) {
      recorders.push(new AccessLog({ format, lines: this.#lines, clock, registry }));
    }
    this.#collector = traceCollector === undefined ? null : channel(
      { ...host, settings, credentials: options.credentials },
      traceCollector,
      traceCollectorName,
    );
    this.#queue = this.#collector === null
      ? null
      : new TraceQueue({ clock, random, log, registry, send: (spans) => this.#send(spans) });
    if (this.#queue !== null) {
      recorders.push(new TraceRecorder({ clock, random, spans: this.#queue }));
    }
    this.recorders = recorders;
  }

  /** Writes and sends what waits; resolves soon, whatever became of it. */
  async flush(): Promise<void> {
    await Promise.all([this.#lines?.flushed(), this.#queue?.close()]);
  }

  close(): void {
    this.#collector?.close();
  }

  async #send(spans: readonly TraceSpan[]): Promise<number> {
    const { exportSpans } = await import("../contract/trace-export.ts");
    this.#resource ??= this.#readResource();
    return this.#collector === null
      ? spans.length
      : await exportSpans(this.#collector, await this.#resource, spans);
  }

  async #readResource(): Promise<Attributes> {
    const { settings, host } = this.#options;
    const { traceAttributesPath: path } = settings;
    let file = "";
    try {
      if (path !== undefined) file = await readText(path);
    } catch (thrown) {
      host.log.warn("cannot read the attributes of traces", { error: describeError(thrown) });
    }
    return traceResource(settings, file);
  }
}
