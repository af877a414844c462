/**
 * TLS that applications speak themselves passes untouched; TLS to our identity, on the application's own
 * port, is ours, with whatever protocol inside.
 */

import { describe, expect, test } from "bun:test";
import { until } from "../support/malla.ts";
import { type ConformanceMesh, GO_REASON, PORTS } from "./mesh.ts";

const LONG_MS = 90_000;
const IDENTITY = "apps.default.serviceaccount.identity.malla.cluster.local";

/** Registers the tests. */
export function testTls(mesh: ConformanceMesh): void {
  /** curl at a name that leads to the pod's own port. */
  const curl = (name: string, port: number, words: string) =>
    mesh.stranger.run(
      `curl -sSk -m 30 --connect-to ${name}:${port}:${mesh.ip}:${port} ${words} https://${name}:${port}/`,
    );

  describe("TLS", () => {
    test(
      "of the application passes with its name as a label, from inside and outside",
      async () => {
        const { out } = await curl("app.example", PORTS.tls, "-w '%{ssl_verify_result}' -v");
        expect(out).toContain("subject: CN=app.example");
        const labels = { direction: "inbound", tls: "opaque", sni: "app.example" };
        await until(() => mesh.metrics("apps", "tcp_open_total", labels) === 1);
        const words = `--connect-to app.example:443:apps:${PORTS.tls}`;
        const inside = await mesh.client.run(
          `curl -sSk -m 30 ${words} https://app.example/tls.crt`,
        );
        expect(inside.out).toContain("BEGIN CERTIFICATE");
        const named = { direction: "outbound", peer: "src", tls: "opaque", sni: "app.example" };
        await until(() => mesh.metrics("client", "tcp_open_total", named) === 1);
        // Between the proxies it is inside the mesh's own TLS.
        expect(mesh.metrics("apps", "tcp_open_total", labels)).toBe(1);
      },
      LONG_MS,
    );

    test("to our identity is terminated: HTTP/1 to an application that speaks it", async () => {
      for (const words of ["--http1.1", "--no-alpn", ""]) {
        const { out } = await curl(IDENTITY, PORTS.http, `${words} -w '%{http_version}'`);
        expect([words, out]).toEqual([words, expect.stringMatching(/^GET \/ .*\n1\.1$/)]);
      }
    }, LONG_MS);

    test.skipIf(GO_REASON !== undefined)(
      "and HTTP/2 inside it, with ALPN and without",
      async () => {
        const ask = mesh.fixture("conformance/h2-client.mjs");
        for (const alpn of ["h2", "none"]) {
          const { out } = await mesh.stranger.run(
            `${mesh.node} ${ask} ${mesh.ip} ${PORTS.h2c} ${IDENTITY} ${alpn}`,
          );
          expect([alpn, out]).toEqual([alpn, "200 hello from Go\n"]);
        }
        const labels = { direction: "inbound", tls: "true", client_id: "" };
        expect(mesh.metrics("apps", "request_total", labels)).toBeGreaterThanOrEqual(2);
      },
      LONG_MS,
    );
  });
}
