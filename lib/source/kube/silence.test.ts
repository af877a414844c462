/** A network that drops all connections of a moment without a word: who asks again must get through. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeMaterials } from "../../../test/support/certificates.ts";
import { FakeApi } from "../../../test/support/fake-api.ts";
import { LossyLine } from "../../../test/support/lossy-line.ts";
import { systemClock } from "../../host/clock.ts";
import { type KubeAccess, kubeconfigAccess } from "./access.ts";
import { KubeClient } from "./client.ts";
import { kubeSource } from "./mod.ts";

const PODS = "/api/v1/pods";
const KINDS = ["Pod", "Service", "Namespace"] as const;
/** More than there are kinds, so that each could find one that has died. */
const KEPT = 8;

const material = makeMaterials(["localhost"]).get("localhost");
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

describe.each(["http", "https"])("over %s", (scheme) => {
  let api: FakeApi;
  let line: LossyLine;
  let access: KubeAccess;

  beforeEach(async () => {
    const { certificateChain: cert = "", privateKey: key = "" } = material ?? {};
    api = scheme === "https" ? new FakeApi({ cert, key }) : new FakeApi();
    ends.push(() => api.stop());
    line = await LossyLine.before(api.port);
    ends.push(() => line.stop());
    const folder = mkdtempSync(join(tmpdir(), "malla-silence-"));
    ends.push(() => rmSync(folder, { recursive: true }));
    const anchors = scheme === "https" ? material?.trustAnchors : undefined;
    writeFileSync(join(folder, "config"), api.kubeconfig({ token: "open sesame" }, anchors));
    const server = `${scheme}://localhost:${line.port}`;
    access = await kubeconfigAccess(join(folder, "config"), { server });
    api.documents.set("/version", { major: "1" });
  });

  /** As many questions at a time leave as many connections behind. */
  async function keepConnections(client: KubeClient): Promise<void> {
    await Promise.all(Array.from({ length: KEPT }, () => client.ask("/version")));
  }

  test("a question fails, and no other one behind it", async () => {
    const client = new KubeClient(access, 200);
    await keepConnections(client);
    line.fallSilent();
    await expect(client.ask("/version")).rejects.toThrow("nothing came for 200 ms");
    for (let index = 0; index < KEPT; index++) {
      expect(await client.ask("/version")).toEqual({ major: "1" });
    }
  });

  test("whoever follows the cluster lists again at the first try", async () => {
    const told: string[] = [];
    let wake = () => {};
    const until = async (condition: () => boolean) => {
      while (!condition()) await new Promise<void>((resolve) => void (wake = resolve));
    };
    const pod = (name: string) => ({
      metadata: { name, namespace: "shop" },
      spec: { containers: [{ name: "app" }] },
    });
    api.put(PODS, pod("a"));
    await keepConnections(new KubeClient(access));
    const pods: string[] = [];
    const watch = await kubeSource(access, systemClock, () => 0, 1).watch(new Set(KINDS), {
      applied({ metadata }) {
        pods.push(metadata.name);
        wake();
      },
      deleted: () => {},
      synced: () => wake(),
      problems: (problems) => told.push(...problems.map(({ message }) => message)),
    });
    ends.push(() => watch.stop());
    await until(() => pods.length > 0);
    while (api.watches < KINDS.length) await turn();
    line.fallSilent();
    api.put(PODS, pod("b"), true);
    // Too much has happened meanwhile.
    api.oldest = 102;
    const asked = api.requests.length;
    await until(() => pods.includes("b"));
    expect(told.filter((message) => !message.endsWith("nothing came for 1200 ms"))).toEqual([]);
    const [first, second] = api.requests.slice(asked).map(({ path }) => path)
      .filter((path) => path.startsWith(PODS));
    expect(first).toContain("watch=true");
    expect(second).toContain("limit=");
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => void systemClock.after(1, resolve));
}
