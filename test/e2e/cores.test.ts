/** Sidecars with two cores: both take connections, and their figures come out as one. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";

const LONG_MS = 90_000;
/** That all of them come to one core by chance happens once in 10¹². */
const CONNECTIONS = 40;

/** A CPU limit of two is what the injector makes two cores of. */
const FILES = `apiVersion: v1
kind: Pod
metadata:
  name: files
  labels: { app: files }
  annotations: { config.linkerd.io/proxy-cpu-limit: "2" }
spec:
  containers:
    - name: python
      image: python
      command: [python3, -m, http.server, "8000"]
      ports: [{ containerPort: 8000 }]
---
apiVersion: v1
kind: Service
metadata: { name: files }
spec:
  selector: { app: files }
  ports: [{ port: 80, targetPort: 8000 }]
---
apiVersion: v1
kind: Pod
metadata:
  name: client
  annotations: { config.linkerd.io/proxy-cpu-limit: "2" }
spec:
  containers:
    - name: curl
      image: curl
      command:
        - sh
        - -c
        - |
          until curl -sf -o /dev/null http://files/; do sleep 0.1; done
          for i in $(seq ${CONNECTIONS}); do curl -sf -o /dev/null http://files/ || echo failed; done
          echo asked; sleep 600
`;

const reason = availableParallelism() < 2 ? "a single core" : whyNoMesh("curl", "python3");
if (reason !== undefined) console.log(`skipping proxies with two cores: ${reason}`);

describe.skipIf(reason !== undefined)("a proxy with two cores", () => {
  const laptop = new Laptop("self");

  beforeAll(async () => {
    laptop.write("app.yaml", FILES);
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  async function metrics(pod: string): Promise<string> {
    let ip: string | undefined;
    await until(() => (ip = laptop.podIp(pod)) !== undefined);
    return laptop.inside("curl", "-s", `http://${ip}:4191/metrics`);
  }

  test("takes connections on both, outbound and inbound", async () => {
    await laptop.says("asked");
    expect(laptop.output).not.toContain("failed");
    expect(taken(await metrics("client"), "1")).toBeGreaterThan(0);
    expect(taken(await metrics("client"), "2")).toBeGreaterThan(0);
    // Peers carry requests on few connections, so those without a proxy show that both serve.
    const before = await metrics("files");
    const ip = laptop.podIp("files");
    for (let i = 0; i < CONNECTIONS; i++) {
      expect(laptop.inside("curl", "-sf", `http://${ip}:8000/`)).toContain("<html");
    }
    const after = await metrics("files");
    for (const core of ["1", "2"]) {
      expect(taken(after, core)).toBeGreaterThan(taken(before, core));
    }
    const answered = (text: string) =>
      sum(text, /^response_total\{.*direction="inbound".*\} (\d+)/gm);
    expect(answered(after) - answered(before)).toBe(CONNECTIONS);
  }, LONG_MS);

  test("shows one exposition: each series once, the process's figures as they are", async () => {
    const lines = (await metrics("client")).trim().split("\n").filter((line) => line[0] !== "#");
    const names = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
    expect(names.length).toBe(new Set(names).size);
    expect(lines.filter((line) => line.startsWith("proxy_build_info"))).toHaveLength(1);
    expect(lines.find((line) => line.startsWith("proxy_build_info"))).toEndWith(" 1");
  }, LONG_MS);

  test("drains all cores and leaves nothing", async () => {
    expect(await laptop.end()).toBe(0);
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);
});

function taken(text: string, core: string): number {
  return sum(
    text,
    new RegExp(`^malla_proxy_core_connections_total\\{core="${core}"\\} (\\d+)`, "gm"),
  );
}

function sum(text: string, series: RegExp): number {
  return [...text.matchAll(series)].reduce((total, [, value]) => total + Number(value), 0);
}
