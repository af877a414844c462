import { expect, test } from "bun:test";
import { traceResource } from "./trace-resource.ts";

const NONE = {
  traceServiceName: "linkerd-proxy",
  traceExtraAttributes: undefined,
  resourceAttributes: undefined,
};

test("a proxy without attributes has a service's name", () => {
  expect(traceResource(NONE, "")).toEqual({ "service.name": "linkerd-proxy" });
});

test("the workload of the pod's labels names the service", () => {
  const file = 'app="web"\nlinkerd.io/proxy-deployment="web"\nempty=""\nno value\n';
  const settings = { ...NONE, traceExtraAttributes: "zone=a=b\napp=other" };
  expect(traceResource(settings, file)).toEqual({
    "service.name": "web-linkerd-proxy",
    app: "other",
    "linkerd.io/proxy-deployment": "web",
    empty: "",
    zone: "a=b",
  });
});

test("OpenTelemetry's own variable wins", () => {
  const settings = {
    ...NONE,
    resourceAttributes: "service.name=shop%20web, k8s.pod.name=a,bad%=%",
  };
  expect(traceResource(settings, "")).toEqual({
    "service.name": "shop web",
    "k8s.pod.name": "a",
    "bad%": "%",
  });
});
