/**
 * An ingress on a laptop: nginx takes requests from outside of the mesh and says in a header where they
 * belong, while all its connections go to one address. Its proxy follows the header; that of the same nginx
 * beside it, which is none of an ingress, does not.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { serviceManifest, writeNginxPod } from "../support/nginx-pods.ts";

const LONG_MS = 120_000;

/** Where requests belong by the first part of their path; each of them has a header of its own. */
const ROUTES = {
  web: "web.default.svc.cluster.local:80",
  bare: "WEB.default.svc.cluster.local",
  unknown: "nobody.default.svc.cluster.local:80",
  closed: "web.default.svc.cluster.local:81",
  address: "10.42.0.7:80",
};

/** A reverse proxy whose upstream is always `plain`; the way to the browser has no header but ours. */
const FRONT = [
  "location / { proxy_pass http://plain/; proxy_http_version 1.1; }",
  ...Object.entries(ROUTES).map(([path, name]) =>
    `location /${path}/ { proxy_pass http://plain/; proxy_http_version 1.1;
      proxy_set_header Host shop.example; proxy_set_header l5d-Dst-Override "${name}"; }`
  ),
].join("\n");

/** What a pod is, and what it has got. */
function saying(name: string): string {
  return `location / { return 200 "${name} $host [$http_l5d_dst_override] $http_l5d_client_id\\n"; }`;
}

const reason = whyNoMesh("nginx", "curl");
if (reason !== undefined) console.log(`skipping the ingress: ${reason}`);

describe.skipIf(reason !== undefined)("an ingress", () => {
  const laptop = new Laptop("self");

  beforeAll(async () => {
    for (const name of ["web", "plain"]) {
      writeNginxPod(laptop, { name, app: name, server: saying(name) });
      laptop.write(`service-${name}.json`, serviceManifest(name, name));
    }
    for (const [name, word] of [["front", "ingress"], ["other", "enabled"]] as const) {
      const annotations = { "malla.dev/inject": word };
      writeNginxPod(laptop, { name, app: name, server: FRONT, annotations });
    }
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  /** The answer of one of the two to somebody without a proxy: status, header, body. */
  function ask(pod: string, path: string): { status: number; head: string; body: string } {
    const url = `http://${laptop.podIp(pod)}${path}`;
    const text = laptop.inside("curl", "-s", "-i", "-m", "20", url);
    const [head = "", body = ""] = text.split("\r\n\r\n");
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head, body };
  }

  function requests(authority: string): number {
    const text = laptop.inside("curl", "-s", `http://${laptop.podIp("front")}:4191/metrics`);
    return text.split("\n")
      .filter((line) => line.startsWith("request_total{") && line.includes(`"${authority}"`))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  test("a request goes to the Service that its header names, by mutual TLS", () => {
    for (const path of ["/web/", "/bare/"]) {
      const { status, body } = ask("front", path);
      expect(status).toBe(200);
      // The host is the client's, the header has ended, and the ingress is known by its certificate.
      expect(body).toMatch(/^web shop\.example \[\] default\.default\.serviceaccount\./);
    }
    expect(requests(ROUTES.web)).toBe(2);
  });

  test("a request without the header goes where its connection goes", () => {
    expect(ask("front", "/").body).toMatch(/^plain plain \[\] default\.default\./);
    expect(requests("plain.default.svc.cluster.local:80")).toBe(1);
  });

  test("what the header may not say is refused, and no client is told of what is inside", () => {
    for (const [path, refused] of [["unknown", 502], ["closed", 403], ["address", 400]] as const) {
      const { status, head } = ask("front", `/${path}/`);
      expect([path, status]).toEqual([path, refused]);
      expect(head).not.toContain("l5d-");
    }
  });

  test("where the pod is no ingress the header means nothing, and goes no further", () => {
    expect(ask("other", "/web/").body).toMatch(/^plain shop\.example \[\] default\.default\./);
  });
});
