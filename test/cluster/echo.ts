/** An application that takes what nginx does not: posts, streams of HTTP/2 and lines; and load on both. */

import { script } from "./load.ts";
import { APPS_IMAGE } from "./mesh-world.ts";
import { SHOP } from "./shop.ts";
import { deployment, service } from "./workloads.ts";

/** As `Load.start` takes it: every kind of traffic, to nginx and to this. */
export const ECHO_LOAD: readonly string[] = [
  "get=get,http://web.shop/page,40",
  "new=new,http://web.shop/page,10",
  "post=post,http://echo.shop:9002/post,20",
  "stream=h2,http://echo.shop:9001/stream,20",
  "tcp=tcp,tcp://echo.shop:9000,10",
];

/** One Service, and Deployments behind it by their names, with the annotations of their pods. */
export function echoObjects(
  workloads: Readonly<Record<string, Readonly<Record<string, string>>>>,
): unknown[] {
  const ports = [9000, 9001, 9002];
  const container = {
    name: "echo",
    image: APPS_IMAGE,
    command: script("echo"),
    ports: ports.map((containerPort) => ({ containerPort })),
    readinessProbe: { tcpSocket: { port: 9000 }, periodSeconds: 1 },
    // As every application does that ends connections of its own accord.
    lifecycle: { preStop: { sleep: { seconds: 3 } } },
  };
  return [
    service("echo", SHOP, ports),
    ...Object.entries(workloads).map(([name, annotations]) => {
      const spec = { terminationGracePeriodSeconds: 30, containers: [container] };
      const made = deployment(name, SHOP, spec, { annotations });
      const labels = { app: "echo", name };
      const { template } = made.spec;
      return {
        ...made,
        spec: {
          ...made.spec,
          selector: { matchLabels: labels },
          template: { ...template, metadata: { ...template.metadata, labels } },
        },
      };
    }),
  ];
}
