/**
 * gRPC by three libraries (Go's, @grpc/grpc-js, Connect for Node), each as client of each: unary, streams
 * both ways, large messages, metadata, errors at once and late, deadlines, cancellation.
 */

import { describe, expect, test } from "bun:test";
import { until } from "../support/malla.ts";
import { type ConformanceMesh, GO_REASON, PORTS } from "./mesh.ts";

const LONG_MS = 90_000;
/** Ways of calling: the same eleven in every language. */
const TRIALS = 11;

/** How each way of calling went, by the server's address. */
type Results = Record<string, Record<string, string>>;

/** Registers the runs. */
export function testGrpc(mesh: ConformanceMesh): void {
  const servers = () => [
    ...(GO_REASON === undefined ? [`apps:${PORTS.go}`] : []),
    `apps:${PORTS.grpcJs}`,
    `apps:${PORTS.connect}`,
  ];
  const script = () => mesh.fixture("grpc/main.mjs");
  const clients: [string, () => string][] = [
    ["@grpc/grpc-js", () => `${mesh.node} ${script()} client grpc-js`],
    ["Connect", () => `${mesh.node} ${script()} client connect`],
  ];
  if (GO_REASON === undefined) clients.push(["Go's library", () => `${mesh.go.rpc} client`]);

  describe("gRPC", () => {
    test.each(clients)("%s calls each server in each way", async (_name, command) => {
      const { out } = await mesh.client.run(`${command()} ${servers().join(" ")}`);
      const results = JSON.parse(out) as Results;
      for (const server of servers()) {
        const entries = Object.entries(results[server] ?? {});
        expect([server, entries.length]).toEqual([server, TRIALS]);
        const failed = entries.filter(([, outcome]) => outcome !== "ok");
        expect([server, failed]).toEqual([server, []]);
      }
    }, LONG_MS);

    test("both proxies count the calls by status, and which of them are failures", async () => {
      const calls = clients.length * servers().length;
      const count = (pod: "apps" | "client", labels: Record<string, string>) =>
        mesh.metrics(pod, "response_total", labels);
      for (const pod of ["client", "apps"] as const) {
        const direction = pod === "client" ? "outbound" : "inbound";
        const byStatus = (grpc_status: string, classification: string) =>
          count(pod, { direction, grpc_status, classification, status_code: "200" });
        // NOT_FOUND is the caller's affair, DATA_LOSS the server's.
        await until(() => byStatus("5", "success") === calls);
        expect([pod, byStatus("15", "failure")]).toEqual([pod, calls]);
        // unary, large, 100 at once, the streams and the metadata; and a stream that is cancelled may
        // have been ended first.
        const good = calls * (100 + 6);
        expect(byStatus("0", "success")).toBeGreaterThanOrEqual(good);
        expect(byStatus("0", "success")).toBeLessThanOrEqual(good + calls);
        expect([pod, byStatus("5", "failure"), byStatus("15", "success")]).toEqual([pod, 0, 0]);
      }
    }, LONG_MS);
  });
}
