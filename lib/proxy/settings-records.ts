/** The settings of what is written down of single requests: access log and traces. */

import { filePath, hostPort, nonEmpty, oneOf, string } from "../config/mod.ts";

/** Part of `proxySettings`. */
export const recordSettings = {
  accessLog: {
    env: "LINKERD2_PROXY_ACCESS_LOG",
    flag: "access-log",
    type: oneOf(["apache", "json"]),
    help: "In which form a line is written for each request of this pod's clients; absent: none.",
  },
  traceCollector: {
    env: "LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR",
    flag: "trace-collector",
    type: hostPort(),
    help: "Where an OpenTelemetry collector takes spans (OTLP over gRPC); absent: no traces.",
  },
  traceCollectorName: {
    env: "LINKERD2_PROXY_TRACE_COLLECTOR_SVC_NAME",
    flag: "trace-collector-name",
    type: nonEmpty(),
    help: "The collector's identity in the mesh; absent: it is spoken to without TLS.",
  },
  traceServiceName: {
    env: "LINKERD2_PROXY_TRACE_SERVICE_NAME",
    type: nonEmpty(),
    default: "linkerd-proxy",
    help: "The service that spans belong to, where no attribute names the workload.",
  },
  traceAttributesPath: {
    env: "LINKERD2_PROXY_TRACE_ATTRIBUTES_PATH",
    type: filePath(),
    help: 'A file with attributes of all spans, name="value" on each line.',
  },
  traceExtraAttributes: {
    env: "LINKERD2_PROXY_TRACE_EXTRA_ATTRIBUTES",
    type: string(),
    help: "More attributes, name=value on each line.",
  },
  resourceAttributes: {
    env: ["OTEL_RESOURCE_ATTRIBUTES", "LINKERD2_PROXY_OTEL_RESOURCE_ATTRIBUTES"],
    type: string(),
    help: "More attributes, name=value after commas, as OpenTelemetry has it.",
  },
} as const;
