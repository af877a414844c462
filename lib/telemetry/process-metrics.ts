/** The metrics that every process has: `process_*`, with the names that Prometheus's clients agreed on. */

import type { ProcessStats } from "../host/process-stats.ts";
import type { Registry } from "./registry.ts";

/** Registers the families; returns how to bring them up to date, to be called before each scrape. */
export function registerProcessMetrics(registry: Registry, read: () => ProcessStats): () => void {
  const cpu = registry.counter(
    "process_cpu_seconds_total",
    "User and system CPU time spent in seconds",
  );
  const gauge = (name: string, help: string) => registry.gauge(name, help).with({});
  const startTime = gauge(
    "process_start_time_seconds",
    "When the process started, since the epoch",
  );
  const resident = gauge("process_resident_memory_bytes", "Resident memory in bytes");
  const virtual = gauge("process_virtual_memory_bytes", "Virtual memory in bytes");
  const openFds = gauge("process_open_fds", "Open file descriptors");
  const maxFds = gauge("process_max_fds", "How many file descriptors may be open");
  const threads = gauge("process_threads", "Threads of the process");
  const cpuSeconds = cpu.with({});
  return () => {
    const stats = read();
    cpuSeconds.value = stats.cpuSeconds;
    startTime.set(stats.startTimeSeconds);
    resident.set(stats.residentBytes);
    virtual.set(stats.virtualBytes);
    openFds.set(stats.openFds);
    maxFds.set(stats.maxFds);
    threads.set(stats.threads);
  };
}
